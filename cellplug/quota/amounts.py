"""Integers that limits, deltas and counts can be, and names given twice."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from cellplug import exception
from cellplug.objects import quota

_LEGIBLE = 128


def check_limit(name: str, value: Any) -> int:
    """Return the value if it can be a limit.

    :raises InvalidInput: unless it is an integer from -1 (unlimited) to
        ``MAX_LIMIT``.
    """
    return _check(name, value, quota.UNLIMITED, quota.MAX_LIMIT)


def check_delta(name: str, value: Any) -> int:
    """Return the value if so much can be reserved or given back.

    :raises InvalidInput: unless it is an integer of at most ``MAX_AMOUNT``,
        whatever its sign.
    """
    return _check(name, value, -quota.MAX_AMOUNT, quota.MAX_AMOUNT)


def check_value(name: str, value: Any) -> int:
    """Return the value if it can be held against a limit.

    :raises InvalidInput: unless it is an integer from 0 to ``MAX_LIMIT``.
    """
    return _check(name, value, 0, quota.MAX_LIMIT)


def check_count(name: str, value: Any) -> int:
    """Return the value if so much can exist.

    :raises InvalidInput: unless it is an integer from 0 to ``MAX_AMOUNT``.
    """
    return _check(name, value, 0, quota.MAX_AMOUNT)


def _check(name: str, value: Any, least: int, greatest: int) -> int:
    # True is an integer to Python, and 1 to a database.
    if isinstance(value, bool) or not isinstance(value, int):
        raise exception.InvalidInput(
            name, f'{reprlib.repr(value)} is no integer'
        )
    if not least <= value <= greatest:
        # Python refuses to write out integers of thousands of digits.
        shown = value if value.bit_length() < _LEGIBLE else 'the number'
        raise exception.InvalidInput(
            name, f'{shown} is not between {least} and {greatest}'
        )
    return value


def merged(
    argument: str,
    given: Mapping[str, Any] | None,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """What stands in a mapping and in keyword arguments, as one.

    :param argument: what the mapping is called, for messages.
    :raises InvalidInput: if it is no mapping, if a resource is named in
        both, or if none is named at all.
    """
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise exception.InvalidInput(
            argument, f'{type(given).__name__} is no mapping of resources'
        )
    twice = sorted(given.keys() & more.keys())
    if twice:
        raise exception.InvalidInput(
            argument, f'{", ".join(twice)} is given twice'
        )
    values = {**given, **more}
    if not values:
        raise exception.InvalidInput(argument, 'no resource is named')
    return values
