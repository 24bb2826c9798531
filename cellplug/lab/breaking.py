"""The break room: which cells are broken, and in what way."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Protocol

from cellplug.lab import errors

PATIENCE = 1.0
"""Seconds that the lab waits for a connection to what may be broken."""

SLOWNESS = 0.5
"""Seconds by which each answer of a slow cell is late."""


class Kind(enum.StrEnum):
    """What can become of a cell's database and message queue."""

    HANG = 'hang'
    """Connections are accepted, and nothing is ever answered."""

    SLOW = 'slow'
    """Each answer is late by :data:`SLOWNESS`."""

    REFUSE = 'refuse'
    """Nobody listens; what was connected is cut off."""

    READONLY = 'readonly'
    """The database takes no writes; the message queue works."""

    GARBAGE = 'garbage'
    """Something answers that is no database and no message queue."""


MEANINGS: Mapping[Kind, str] = types.MappingProxyType(
    {
        Kind.HANG: 'accepts connections, never answers',
        Kind.SLOW: f'each answer is late by {SLOWNESS:g} s',
        Kind.REFUSE: 'nobody listens',
        Kind.READONLY: 'the database takes no writes',
        Kind.GARBAGE: 'answers with what is no answer',
    }
)
"""For people."""


class Room(Protocol):
    """Breaks cells and heals them, while requests flow."""

    def damage(self, cell: str, kind: Kind) -> None:
        """From now on, the cell is broken in this way.

        :param cell: the name of one that was named from the beginning.
        """

    def heal(self, cell: str) -> None:
        """From now on, it is whole again."""


def parse(texts: Iterable[str]) -> dict[str, Kind]:
    """What ``--break cell2=hang,cell3=slow`` asks for, by the cell's name.

    :raises LabUsageError: naming what cannot be read.
    """
    found: dict[str, Kind] = {}
    for item in ','.join(texts).split(','):
        cell, equals, kind = (part.strip() for part in item.partition('='))
        if not (cell and equals):
            raise errors.LabUsageError(
                f'--break: {item!r} is not CELL=KIND, e.g. cell2=hang'
            )
        if kind not in list(Kind):
            raise errors.LabUsageError(
                f'--break: {cell} cannot be {kind!r}; kinds are '
                + ', '.join(Kind)
            )
        if cell in found:
            raise errors.LabUsageError(f'--break: {cell} is named twice')
        found[cell] = Kind(kind)
    return found


def check_names(cells: Iterable[str], count: int) -> None:
    """Refuse what is none of the cells that take instances.

    :param count: how many of those there are.
    :raises LabUsageError: naming it.
    """
    known = [f'cell{number + 1}' for number in range(count)]
    for cell in cells:
        if cell not in known:
            those = known[0] if count == 1 else f'{known[0]} to {known[-1]}'
            raise errors.LabUsageError(
                f'--break: {cell!r} cannot be broken here, {those} can'
            )
