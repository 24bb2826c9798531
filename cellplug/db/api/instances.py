"""Queries of instance mappings in the API database.

Every function works in the caller's transaction, which runs READ COMMITTED
(on sqlite: began with BEGIN IMMEDIATE, if it writes), and leaves it usable
when it raises.

Lock order: the cells' rows by uuid (shared), then the mappings by instance.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import prepared
from cellplug.db import tables
from cellplug.db.api import cells
from cellplug.db.api import inserting
from cellplug.db.api import models
from cellplug.db.api import unjoined
from cellplug.objects import CellMapping
from cellplug.objects import InstanceMapping

_instance = models.instance_mapping
_cell = models.cell_mapping

BATCH, get_unjoined = unjoined.BATCH, unjoined.get_unjoined

_ATTEMPTS = 5
"""How often in a row somebody may unmap what was in the way."""

_COLUMNS = (
    _instance.c.instance_uuid,
    _instance.c.cell_uuid,
    _instance.c.project_id,
    _instance.c.user_id,
    _instance.c.generation,
    _instance.c.created_at,
    _instance.c.updated_at,
)
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
_MANY = _SELECT.where(
    _instance.c.instance_uuid.in_(sa.bindparam('instances', expanding=True))
)
_LIST = _SELECT.order_by(_instance.c.instance_uuid)
_COUNT = sa.select(sa.func.count()).where(
    _instance.c.cell_uuid == sa.bindparam('cell')
)
_DELETE = sa.delete(_instance).where(
    _instance.c.instance_uuid.in_(sa.bindparam('instances', expanding=True))
)
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

    One query per :data:`BATCH` instances.
    """
    seen: dict[str, CellMapping] = {}
    found = {}
    for batch in unjoined.batches(uuids):
        for row in session.execute(_MANY, {'instances': batch}):
            mapping = _from_row(row, seen)
            found[mapping.instance_uuid] = mapping
    return found


def list_(
    session: tables.Handle,
    *,
    project_id: str | None = None,
    cell_uuid: str | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[InstanceMapping]:
    """Mappings in the order of their instances' uuids.

    :param marker: an instance's uuid, mapped or not: begin behind it.
    :param limit: at most so many; None: all.
    """
    statement = _LIST
    if project_id is not None:
        statement = statement.where(_instance.c.project_id == project_id)
    if cell_uuid is not None:
        statement = statement.where(_instance.c.cell_uuid == cell_uuid)
    if marker is not None:
        statement = statement.where(_instance.c.instance_uuid > marker)
    if limit is not None:
        statement = statement.limit(limit)
    seen: dict[str, CellMapping] = {}
    return [_from_row(row, seen) for row in session.execute(statement)]


def count(session: tables.Handle, cell_uuid: str) -> int:
    """How many instances are mapped to a cell."""
    return session.execute(_COUNT, {'cell': cell_uuid}).scalar_one()


def map(  # noqa: A001 (the vocabulary's word)
    session: tables.Handle,
    instance_uuid: str,
    cell_uuid: str,
    project_id: str,
    user_id: str | None = None,
    *,
    has_row: bool = True,
) -> InstanceMapping:
    """Map an instance to a cell.

    An instance that is mapped to this cell already stays as it is. Of
    several transactions that map one instance at once, one wins; the others
    wait for it. The cell's row stays locked (shared) until the transaction
    ends.

    :param has_row: False for a cell that is none of this database's.
    :raises CellMappingNotFound: if there is no such cell (any more).
    :raises InstanceAlreadyMapped: if the instance is in another cell.
    """
    wanted = InstanceMapping(
        instance_uuid=instance_uuid, cell_uuid=cell_uuid,
        project_id=project_id, user_id=user_id,
    )  # fmt: skip
    cells.lock_all(session, [cell_uuid] if has_row else [])
    return _insert(session, [wanted])[instance_uuid]


def map_many(
    session: tables.Handle,
    mappings: Iterable[InstanceMapping],
    *,
    has_row: bool = True,
) -> list[InstanceMapping]:
    """Map many instances: all of them, or none if it raises.

    Each as :func:`map` does it.

    :param mappings: of each, ``instance_uuid``, ``cell_uuid``,
        ``project_id`` and ``user_id`` are looked at.
    :returns: the mappings as they are now, in the order of ``mappings``.
    :raises CellMappingNotFound: if one of the cells does not exist.
    :raises InstanceAlreadyMapped: names the first instance in the way.
    """
    asked = list(mappings)
    wanted: dict[str, InstanceMapping] = {}
    for mapping in asked:
        first = wanted.setdefault(mapping.instance_uuid, mapping)
        _refuse_other_cell(first, mapping.cell_uuid)
    done: dict[str, InstanceMapping] = {}
    with tables.savepoint(session):
        if has_row:
            cells.lock_all(session, {one.cell_uuid for one in asked})
        for batch in unjoined.batches(wanted):
            done.update(_insert(session, [wanted[uuid] for uuid in batch]))
    return [done[mapping.instance_uuid] for mapping in asked]


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
    has_row: bool = True,
) -> InstanceMapping:
    """Point an instance's mapping at another cell: compare and set.

    :param expected_generation: of the mapping as the caller knows it.
    :raises CellMappingNotFound: if there is no such cell (any more).
    :raises InstanceMappingNotFound: if the instance is not mapped.
    :raises StaleRoute: if the mapping has changed since; it stays as it is.
    """
    cells.lock_all(session, [cell_uuid] if has_row else [])
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


def _from_row(row: Any, seen: dict[str, CellMapping]) -> InstanceMapping:
    """The mapping in a row of ``_SELECT``; equal cells become one object."""
    uuid = row[1]
    cell = seen.get(uuid)
    if cell is None and row[len(_COLUMNS)] is not None:
        cell = seen[uuid] = cells.from_columns(*row[len(_COLUMNS) :])
    return InstanceMapping(
        instance_uuid=row[0],
        cell_uuid=uuid,
        project_id=row[2],
        user_id=row[3],
        generation=row[4],
        cell=cell,
        created_at=row[5],
        updated_at=row[6],
    )


def _insert(
    session: tables.Handle, wanted: Sequence[InstanceMapping]
) -> dict[str, InstanceMapping]:
    """Insert what is not there; the cells are locked.

    What somebody else inserted is seen at the look behind it. It may be
    deleted in between, so there are several.
    """
    uuids = [one.instance_uuid for one in wanted]
    missing = list(wanted)
    for _ in range(_ATTEMPTS):
        inserting.insert_missing(session, missing)
        found = get_many(session, uuids)
        missing = []
        for one in wanted:
            if one.instance_uuid in found:
                _refuse_other_cell(found[one.instance_uuid], one.cell_uuid)
            else:
                missing.append(one)
        if not missing:
            return found
    raise exception.InstanceMappingNotFound(missing[0].instance_uuid)


def _refuse_other_cell(mapping: InstanceMapping, cell_uuid: str) -> None:
    if mapping.cell_uuid != cell_uuid:
        raise exception.InstanceAlreadyMapped(
            mapping.instance_uuid, mapping.cell_uuid, cell_uuid
        )
