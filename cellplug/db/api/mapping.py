"""Mapping instances to cells that are locked: what is there, what is new.

Whoever calls this has the cells locked, or knows that they cannot go.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import tables
from cellplug.db.api import inserting
from cellplug.db.api import mapping_rows
from cellplug.db.api import models
from cellplug.db.api import unjoined
from cellplug.objects import CellMapping
from cellplug.objects import CellState
from cellplug.objects import InstanceMapping

Row = inserting.Row
Cells = Mapping[str, CellMapping]

_instance = models.instance_mapping

_ATTEMPTS = 5
"""How often in a row somebody may unmap what was in the way."""

_FEW = 2
"""Below this it takes fewer round trips to look than to be told."""

_THESE = mapping_rows.SELECT.where(
    _instance.c.instance_uuid.in_(sa.bindparam('instances', expanding=True))
)


def get_known(
    session: tables.Handle, uuids: Iterable[str], cells: Cells
) -> dict[str, InstanceMapping]:
    """Where these instances live; cells that are known are not read."""
    rows = [
        row
        for batch in unjoined.batches(uuids)
        for row in session.execute(_THESE, {'instances': batch})
    ]
    found = mapping_rows.with_cells(session, rows, cells)
    return {one.instance_uuid: one for one in found}


def chunks(rows: Mapping[str, Row]) -> Iterator[list[Row]]:
    """The rows in the order in which they are locked, some at a time."""
    rest = iter(sorted(rows))
    while batch := list(itertools.islice(rest, inserting.CHUNK)):
        yield [rows[uuid] for uuid in batch]


def insert(
    session: tables.Handle, wanted: Sequence[Row], cells: Cells
) -> dict[str, InstanceMapping]:
    """Insert what is not there.

    What somebody else inserted is seen at the look behind it. It may be
    deleted in between, so there are several.

    :param wanted: at most :data:`.inserting.CHUNK`, sorted, each once.
    :returns: the mappings of all of them.
    :raises InstanceAlreadyMapped: names the first that is in another cell.
    """
    done: dict[str, InstanceMapping] = {}
    missing = list(wanted)
    for _ in range(_ATTEMPTS):
        done.update(_insert_once(session, missing, cells))
        missing = [row for row in missing if row.instance_uuid not in done]
        if not missing:
            return done
        found = get_known(
            session, [row.instance_uuid for row in missing], cells
        )
        for row in missing:
            if row.instance_uuid in found:
                refuse_other_cell(found[row.instance_uuid], row.cell_uuid)
        done.update(found)
        missing = [row for row in missing if row.instance_uuid not in done]
        if not missing:
            return done
    raise exception.InstanceMappingNotFound(missing[0].instance_uuid)


def take_in(
    session: tables.Handle, rows: Sequence[Row], cells: Cells
) -> tuple[dict[str, InstanceMapping], dict[str, InstanceMapping]]:
    """Insert what is not there, and raise for none that is elsewhere.

    :param rows: as for :func:`insert`.
    :returns: what was mapped before, and what was not; of the latter,
        somebody else may have mapped one in this moment, also elsewhere.
    """
    there = get_known(session, [row.instance_uuid for row in rows], cells)
    missing = [row for row in rows if row.instance_uuid not in there]
    made: dict[str, InstanceMapping] = {}
    for _ in range(_ATTEMPTS):
        made.update(_insert_once(session, missing, cells))
        unsure = [
            row.instance_uuid
            for row in missing
            if row.instance_uuid not in made
        ]
        made.update(get_known(session, unsure, cells))
        missing = [row for row in missing if row.instance_uuid not in made]
        if not missing:
            return there, made
    raise exception.InstanceMappingNotFound(missing[0].instance_uuid)


def refuse_other_cell(mapping: InstanceMapping, cell_uuid: str) -> None:
    """Raise InstanceAlreadyMapped, unless it is in this cell."""
    if mapping.cell_uuid != cell_uuid:
        raise exception.InstanceAlreadyMapped(
            mapping.instance_uuid, mapping.cell_uuid, cell_uuid
        )


def refuse_closed(
    session: tables.Handle, rows: Collection[Row], cells: Cells
) -> None:
    """Refuse what is new in a cell that takes nothing new.

    What is mapped there already stays, and to map it again is nothing new.

    :raises CellStateForbids: naming the cell.
    :raises InstanceAlreadyMapped: if it is in another cell.
    """
    closed = {
        uuid
        for uuid, cell in cells.items()
        if cell.state is not CellState.ENABLED
    }
    wanted = [row for row in rows if row.cell_uuid in closed]
    if not wanted:
        return
    found = get_known(session, [row.instance_uuid for row in wanted], cells)
    for row in wanted:
        if row.instance_uuid not in found:
            refuse_state(cells[row.cell_uuid])
        refuse_other_cell(found[row.instance_uuid], row.cell_uuid)


def refuse_state(cell: CellMapping) -> None:
    """Raise CellStateForbids if the cell takes nothing new."""
    if cell.state is not CellState.ENABLED:
        raise exception.CellStateForbids(
            cell.uuid, cell.name, str(cell.state), 'it takes no new instances'
        )


def _insert_once(
    session: tables.Handle, rows: list[Row], cells: Cells
) -> dict[str, InstanceMapping]:
    """What was new for certain, by instance."""
    if len(rows) < _FEW:
        if rows:
            inserting.insert_missing(session, rows)
        return {}
    generations, created_at = inserting.insert_many(session, rows)
    return {
        row[0]: InstanceMapping(
            instance_uuid=row[0],
            cell_uuid=row[1],
            project_id=row[2],
            user_id=row[3],
            generation=generations[row[0]],
            cell=cells.get(row[1]),
            created_at=created_at,
        )
        for row in (rows if generations else ())
        if row[0] in generations
    }
