"""Mappings as entries: lists of what JSON has.

An entry's first element is its kind, its second its *stamp*: the moment (in
epoch seconds, on the clock of the process) just before the question that it
answers was put to the backend. So it was true at that moment or later.
"""

from __future__ import annotations

import datetime
from typing import Any

from cellplug import objects
from cellplug_drivers.resolver.memcached import codec

INSTANCE = 'i'
"""Stamp, generation, cell uuid, generation of the cell, project, user."""

CELL = 'c'
"""Stamp, generation, then the fields of a cell."""

NONE = 'n'
"""Stamp: there was no such thing."""

TOMBSTONE = 't'
"""Stamp, and the generation below which nothing may follow, or null."""


def instance(
    mapping: objects.InstanceMapping, stamp: float, cell_generation: int
) -> codec.Entry:
    """Of an instance; its cell has an entry of its own."""
    return [
        INSTANCE,
        stamp,
        mapping.generation,
        mapping.cell_uuid,
        cell_generation,
        mapping.project_id,
        mapping.user_id,
    ]


def to_instance(
    uuid: str, entry: codec.Entry, cell: objects.CellMapping
) -> objects.InstanceMapping:
    """The instance; the cell is of the entry's generation or newer."""
    return objects.InstanceMapping(
        instance_uuid=uuid,
        cell_uuid=entry[3],
        project_id=entry[5],
        user_id=entry[6],
        generation=entry[2],
        cell=cell,
    )


def cell(mapping: objects.CellMapping, stamp: float) -> codec.Entry:
    """Of a cell, with all its fields."""
    return [
        CELL,
        stamp,
        mapping.generation,
        mapping.uuid,
        mapping.name,
        mapping.database_connection,
        mapping.slave_connection,
        mapping.transport_url,
        str(mapping.state),
        _text(mapping.created_at),
        _text(mapping.updated_at),
    ]


def to_cell(entry: codec.Entry) -> objects.CellMapping:
    """The cell."""
    return objects.CellMapping(
        generation=entry[2],
        uuid=entry[3],
        name=entry[4],
        database_connection=entry[5],
        slave_connection=entry[6],
        transport_url=entry[7],
        state=objects.CellState(entry[8]),
        created_at=_time(entry[9]),
        updated_at=_time(entry[10]),
    )


def least(entry: codec.Entry | None) -> Any:
    """The generation below which nothing may replace the entry, or None."""
    return entry[2] if entry is not None and len(entry) > 2 else None


def _text(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _time(text: str | None) -> datetime.datetime | None:
    return None if text is None else datetime.datetime.fromisoformat(text)
