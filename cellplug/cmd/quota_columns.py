"""How the commands of ``quota`` show amounts."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cliff import columns

from cellplug.cmd import base
from cellplug.objects import quota

if TYPE_CHECKING:
    Column = Sequence[Any]

UNLIMITED = 'unlimited'
"""What -1 is called for people."""

RESERVATION = ('project_id', 'user_id', 'deltas', 'expire', 'handle')
"""The columns of a reservation."""


class _Amount(columns.FormattableColumn[Any]):
    """For people, a number in line with those below it."""

    def __init__(self, value: Any, text: str, width: int) -> None:
        super().__init__(value)
        self._text = text.rjust(width)

    def human_readable(self) -> str:
        """The number, or what it means."""
        return self._text


class _Deltas(columns.FormattableColumn[Any]):
    """What a reservation holds: a line for each resource."""

    def human_readable(self) -> str:
        """By resource."""
        return '\n'.join(f'{name}={n}' for name, n in self._value.items())


class _Moment(columns.FormattableColumn[Any]):
    """A time in UTC; ISO 8601 for machines, breakable for people."""

    def human_readable(self) -> str:
        """Date and time of day."""
        return f'{self._value:%Y-%m-%d %H:%M:%S}Z'

    def machine_readable(self) -> str:
        """As all commands write it."""
        return moment(self._value)


def moment(value: datetime.datetime) -> str:
    """A time in UTC as all commands write it."""
    return f'{value:%Y-%m-%dT%H:%M:%S}Z'


def table(
    rows: Iterable[Sequence[Any]],
    *,
    amounts: Collection[int] = (),
    bounds: Collection[int] = (),
) -> list[base.Row]:
    """Rows as every formatter takes them.

    :param amounts: the numbers of the columns that hold amounts.
    :param bounds: the numbers of those that hold limits.
    """
    by_column: list[Column] = list(zip(*rows, strict=True))
    for number, column in enumerate(by_column):
        if number in amounts:
            by_column[number] = _aligned(column, {})
        elif number in bounds:
            by_column[number] = _aligned(column, {quota.UNLIMITED: UNLIMITED})
    return [base.row(one) for one in zip(*by_column, strict=True)]


def _aligned(values: Column, words: dict[int, str]) -> list[_Amount]:
    texts = [
        '' if value is None else words.get(value, str(value))
        for value in values
    ]
    width = max(map(len, texts))
    return [
        _Amount(value, text, width)
        for value, text in zip(values, texts, strict=True)
    ]


def reservation(one: quota.Reservation) -> base.Row:
    """A reservation as a row."""
    return base.row(
        (
            one.project_id,
            one.user_id,
            _Deltas(dict(one.deltas)),
            _Moment(one.expire),
            one.handle,
        )
    )
