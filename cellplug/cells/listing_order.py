"""The order of a sorted list, which the merge and all databases share.

- Numbers, dates and times sort by size, strings by their code points (which
  is the order of their UTF-8 bytes), bytes and uuids byte by byte.
- None is less than everything: it comes first in an ascending list, and last
  in a descending one.
- Rows that are equal in all sort keys follow each other by a unique key; it
  is the last sort key, and added where the caller does not name it.
"""

from __future__ import annotations

import datetime
import decimal
import operator
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final

from cellplug import exception

Values = tuple[Any, ...]
"""What a row has in the sort keys, in their order."""

Key = tuple[Any, ...]
"""What the values of two rows are compared by: the lesser one comes first."""

DIRECTIONS = ('asc', 'desc')


class Order:
    """Which of two rows comes first.

    :ivar names: the sort keys, the unique one among them.
    :ivar directions: ``asc`` or ``desc`` for each of them.
    """

    def __init__(
        self, names: Sequence[str], directions: Sequence[str]
    ) -> None:
        self.names = tuple(names)
        self.directions = tuple(directions)
        self._descending = tuple(one == 'desc' for one in directions)
        self._get = operator.itemgetter(*self.names)

    def __str__(self) -> str:
        pairs = zip(self.names, self.directions, strict=True)
        return ', '.join(f'{name} {direction}' for name, direction in pairs)

    def values(self, row: Mapping[str, Any]) -> Values:
        """What the row has in the sort keys.

        :raises KeyError: if it has nothing there.
        """
        found = self._get(row)
        return found if len(self.names) > 1 else (found,)

    def key(self, values: Values) -> Key:
        """What to compare the values by.

        :raises TypeError: for a value that has no place in the order.
        """
        found: list[Any] = []
        for value, descending in zip(values, self._descending, strict=True):
            if value is None:
                found += (descending, None)
                continue
            turn = _TURN.get(type(value)) or _turn(value)
            if value != value:  # noqa: PLR0124 (so it is with NaN)
                raise TypeError(f'{value} has no place in an order')
            found += (not descending, turn(value) if descending else value)
        return tuple(found)

    def after(self, values: Values | None) -> dict[str, Any] | None:
        """The values by sort key, as a service's function takes them."""
        if values is None:
            return None
        return dict(zip(self.names, values, strict=True))


def order(
    sort_keys: Any, sort_dirs: Any = None, unique_key: Any = 'uuid'
) -> Order:
    """The order that the caller asks for, made total by the unique key.

    The unique key goes the way of the key before it: then one index serves
    both, forwards or backwards.

    :param sort_keys: names; may be empty.
    :param sort_dirs: ``asc`` or ``desc`` for each; None for ``asc``.
    :raises InvalidInput: for anything else.
    """
    names = _strings('sort_keys', sort_keys)
    if len(set(names)) < len(names):
        raise exception.InvalidInput('sort_keys', 'has one of them twice')
    if not isinstance(unique_key, str) or not unique_key:
        raise exception.InvalidInput('unique_key', 'must be a string')
    directions = ['asc'] * len(names)
    if sort_dirs is not None:
        directions = _strings('sort_dirs', sort_dirs)
    if len(directions) != len(names):
        raise exception.InvalidInput(
            'sort_dirs',
            f'has {len(directions)} for {len(names)} sort keys',
        )
    for direction in directions:
        if direction not in DIRECTIONS:
            raise exception.InvalidInput(
                'sort_dirs', f'{direction!r} is neither asc nor desc'
            )
    if unique_key not in names:
        directions.append(directions[-1] if directions else 'asc')
        names.append(unique_key)
    return Order(names, directions)


def _strings(name: str, given: Any) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise exception.InvalidInput(name, 'is no list of strings')
    if not all(isinstance(one, str) and one for one in given):
        raise exception.InvalidInput(name, 'is no list of strings')
    return list(given)


class _Down:
    """A value that is less where the value is greater."""

    __slots__ = ('value',)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Down):
            return bool(self.value == other.value)
        return NotImplemented

    def __lt__(self, other: object) -> bool:
        if isinstance(other, _Down):
            return bool(other.value < self.value)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]


_TURN: Final[Mapping[type, Callable[[Any], Any]]] = {
    bool: operator.neg,
    int: operator.neg,
    float: operator.neg,
    # The operator would round to the precision of the thread's context.
    decimal.Decimal: decimal.Decimal.copy_negate,
    str: _Down,
    bytes: _Down,
    datetime.datetime: _Down,
    datetime.date: _Down,
    datetime.time: _Down,
    datetime.timedelta: operator.neg,
    uuid.UUID: _Down,
}
"""By type: what has an order, and how to turn it round."""


def _turn(value: Any) -> Callable[[Any], Any]:
    """The same for a subclass of those types."""
    for known, turn in _TURN.items():
        if isinstance(value, known):
            return turn
    raise TypeError(f'a {type(value).__name__} has no place in an order')
