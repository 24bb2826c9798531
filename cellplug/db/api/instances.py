"""Queries of instance mappings in the API database.

Every function works in the caller's transaction, which runs READ COMMITTED
(on sqlite: began with BEGIN IMMEDIATE, if it writes), and leaves it usable
when it raises.

Lock order: the cells' rows by uuid (shared), then the mappings by instance.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import prepared
from cellplug.db import tables
from cellplug.db.api import cells
from cellplug.db.api import mapping
from cellplug.db.api import mapping_lists
from cellplug.db.api import mapping_rows
from cellplug.db.api import models
from cellplug.db.api import unjoined
from cellplug.objects import CellMapping
from cellplug.objects import InstanceMapping

_instance = models.instance_mapping
_cell = models.cell_mapping

BATCH, get_unjoined = unjoined.BATCH, unjoined.get_unjoined
list_, count = mapping_lists.list_, mapping_lists.count

Row = mapping.Row
"""What is to be mapped: instance, cell, project and user."""

_COLUMNS = mapping_rows.COLUMNS
_JOIN = _instance.outerjoin(_cell, _instance.c.cell_uuid == _cell.c.uuid)
_SELECT = sa.select(*_COLUMNS, *cells.COLUMNS).select_from(_JOIN)
# What routing needs: a column more costs a pure Python driver 3 % more.
_BY_UUID = _SELECT.where(_instance.c.instance_uuid == sa.bindparam('instance'))
_ONE = prepared.Prepared(
    _BY_UUID.with_only_columns(*_COLUMNS[1:5], *cells.ESSENTIALS)
)
_BRIEF = prepared.Prepared(
    _BY_UUID.with_only_columns(*_COLUMNS[1:5], _cell.c.generation)
)
_THESE = _instance.c.instance_uuid.in_(
    sa.bindparam('instances', expanding=True)
)
_JOINED = _SELECT.where(_THESE)
_ALONE = mapping_rows.SELECT.where(_THESE)
_DELETE = sa.delete(_instance).where(_THESE)
_MOVE = (
    sa.update(_instance)
    .where(
        _instance.c.instance_uuid == sa.bindparam('instance'),
        _instance.c.generation == sa.bindparam('expected'),
    )
    .values(
        cell_uuid=sa.bindparam('cell'),
        generation=tables.next_generation(_instance.c.generation),
    )
)


def get(
    session: tables.Handle,
    instance_uuid: str,
    known: Mapping[str, CellMapping] | None = None,
) -> InstanceMapping:
    """Where an instance lives, with its cell: one query.

    Every request comes here: no times are read; :func:`get_many` reads them.

    :param known: cells by uuid; one that still has the generation which the
        database names is not read again, else a second query reads it.
    :raises InstanceMappingNotFound: if it is not mapped.
    """
    row: Any = None
    cell = None
    if known:
        row = _BRIEF.first(session, instance=instance_uuid)
        cell = known.get(row[0]) if row else None
    if cell is None or cell.generation != row[4]:
        row = _ONE.first(session, instance=instance_uuid)
        if row is None:
            raise exception.InstanceMappingNotFound(instance_uuid)
        cell = None if row[4] is None else cells.from_columns(*row[4:])
    return InstanceMapping(
        instance_uuid=instance_uuid,
        cell_uuid=row[0],
        project_id=row[1],
        user_id=row[2],
        generation=row[3],
        cell=cell,
    )


def get_many(
    session: tables.Handle, uuids: Iterable[str]
) -> dict[str, InstanceMapping]:
    """Where these instances live; those that are not mapped are left out.

    One query per :data:`BATCH` instances. The first reads the cells as well;
    those behind it, the cells that are new.
    """
    seen: dict[str, CellMapping] = {}
    found: dict[str, InstanceMapping] = {}
    width = len(_COLUMNS)
    for number, batch in enumerate(unjoined.batches(uuids)):
        statement = _ALONE if number else _JOINED
        rows = session.execute(statement, {'instances': batch}).all()
        if number:
            mapping_rows.find_cells(session, rows, seen)
        else:
            for row in rows:
                if row[width] is not None and row[1] not in seen:
                    seen[row[1]] = cells.from_columns(*row[width:])
        for row in rows:
            found[row[0]] = mapping_rows.from_row(row, seen.get(row[1]))
    return found


def map(  # noqa: A001 (the vocabulary's word)
    session: tables.Handle,
    instance_uuid: str,
    cell_uuid: str,
    project_id: str,
    user_id: str | None = None,
    *,
    existing: bool = False,
    own_cells: mapping.Cells | None = None,
) -> InstanceMapping:
    """Map an instance to a cell.

    An instance that is mapped to this cell already stays as it is, whatever
    the cell's state. Of several transactions that map one instance at once,
    one wins; the others wait for it. The cell's row stays locked (shared)
    until the transaction ends.

    :param existing: it lives there already: the cell's state is no matter.
    :param own_cells: by uuid, for cells that are none of this database's.
    :raises CellMappingNotFound: if there is no such cell (any more).
    :raises CellStateForbids: if the cell takes no new instances.
    :raises InstanceAlreadyMapped: if the instance is in another cell.
    """
    row = Row(instance_uuid, cell_uuid, project_id, user_id)
    locked = _locked(session, [cell_uuid], own_cells)
    if not existing:
        mapping.refuse_closed(session, [row], locked)
    return mapping.insert(session, [row], locked)[instance_uuid]


def map_many(
    session: tables.Handle,
    mappings: Iterable[InstanceMapping | Row],
    *,
    existing: bool = False,
    own_cells: mapping.Cells | None = None,
) -> list[InstanceMapping]:
    """Map many instances: all of them, or none if it raises.

    Each as :func:`map` does it.

    :param mappings: of each, ``instance_uuid``, ``cell_uuid``,
        ``project_id`` and ``user_id`` are looked at.
    :returns: the mappings as they are now, in the order of ``mappings``.
    :raises CellMappingNotFound: if one of the cells does not exist.
    :raises CellStateForbids: names the first cell that takes nothing new.
    :raises InstanceAlreadyMapped: names the first instance in the way.
    """
    wanted: dict[str, Row] = {}
    asked = []
    for one in mappings:
        row = _row(one) if isinstance(one, InstanceMapping) else one
        asked.append(row.instance_uuid)
        first = wanted.setdefault(row.instance_uuid, row)
        if first.cell_uuid != row.cell_uuid:
            raise exception.InstanceAlreadyMapped(
                row.instance_uuid, first.cell_uuid, row.cell_uuid
            )
    done: dict[str, InstanceMapping] = {}
    named = {row.cell_uuid for row in wanted.values()}
    with tables.savepoint(session):
        locked = _locked(session, named, own_cells)
        for chunk in mapping.chunks(wanted):
            if not existing:
                mapping.refuse_closed(session, chunk, locked)
            done.update(mapping.insert(session, chunk, locked))
    return [done[uuid] for uuid in asked]


def take_in(
    session: tables.Handle,
    rows: Iterable[Row],
    *,
    own_cells: mapping.Cells | None = None,
) -> tuple[dict[str, InstanceMapping], dict[str, InstanceMapping]]:
    """Map those instances that are not mapped, whatever the cells' states.

    For rows that were found in their cells: raises for none that is mapped
    to another one.

    :param rows: not very many: they are locked together.
    :returns: what was mapped before, and what was not, both by instance and
        as it is now. Each of them may be in another cell than was asked for.
    :raises CellMappingNotFound: if one of the cells does not exist.
    """
    wanted = {row.instance_uuid: row for row in rows}
    named = {row.cell_uuid for row in wanted.values()}
    locked = _locked(session, named, own_cells)
    there: dict[str, InstanceMapping] = {}
    made: dict[str, InstanceMapping] = {}
    for chunk in mapping.chunks(wanted):
        before, after = mapping.take_in(session, chunk, locked)
        there.update(before)
        made.update(after)
    return there, made


def unmap(session: tables.Handle, uuids: Iterable[str]) -> int:
    """Delete the mappings of these instances; how many there were."""
    return sum(
        session.execute(_DELETE, {'instances': batch}).rowcount  # type: ignore[attr-defined]
        for batch in unjoined.batches(uuids)
    )


def move(
    session: tables.Handle,
    instance_uuid: str,
    cell_uuid: str,
    expected_generation: int,
    *,
    existing: bool = False,
    own_cells: mapping.Cells | None = None,
) -> InstanceMapping:
    """Point an instance's mapping at another cell: compare and set.

    :param expected_generation: of the mapping as the caller knows it.
    :param existing: as for :func:`map`.
    :raises CellMappingNotFound: if there is no such cell (any more).
    :raises CellStateForbids: if the cell takes no new instances.
    :raises InstanceMappingNotFound: if the instance is not mapped.
    :raises StaleRoute: if the mapping has changed since; it stays as it is.
    """
    locked = _locked(session, [cell_uuid], own_cells)
    if not existing:
        mapping.refuse_state(locked[cell_uuid])
    values: dict[str, Any] = {'instance': instance_uuid, 'cell': cell_uuid}
    values['expected'] = expected_generation
    result = session.execute(_MOVE, values)
    now = get_many(session, [instance_uuid]).get(instance_uuid)
    if now is None:
        raise exception.InstanceMappingNotFound(instance_uuid)
    if not result.rowcount:  # type: ignore[attr-defined]
        raise exception.StaleRoute(
            instance_uuid, expected_generation, now.generation
        )
    return now


def _locked(
    session: tables.Handle,
    uuids: Iterable[str],
    own_cells: mapping.Cells | None,
) -> mapping.Cells:
    """The cells as they are until the transaction ends."""
    if own_cells is not None:
        return own_cells
    return cells.lock_all(session, uuids)


def _row(one: InstanceMapping) -> Row:
    return Row(one.instance_uuid, one.cell_uuid, one.project_id, one.user_id)
