"""Queries of cells in the API database.

Every function works in the caller's transaction, which runs READ COMMITTED
(on sqlite: began with BEGIN IMMEDIATE, if it writes).

Lock order: a cell's row before rows of instance mappings. Whoever maps an
instance shares the lock on its cell's row, whoever deletes the cell holds it
alone; so no mapping can name a cell that is gone.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import tables
from cellplug.db.api import models
from cellplug.objects import CellMapping
from cellplug.objects import CellState
from cellplug.objects import identifiers
from cellplug.objects import urls

_cell = models.cell_mapping
_instance = models.instance_mapping

ESSENTIALS: tuple[sa.Column[Any], ...] = (
    _cell.c.uuid,
    _cell.c.name,
    _cell.c.database_connection,
    _cell.c.transport_url,
    _cell.c.slave_connection,
    _cell.c.state,
    _cell.c.generation,
)
COLUMNS = (*ESSENTIALS, _cell.c.created_at, _cell.c.updated_at)
"""What :func:`from_columns` takes, in this order; times may be left out."""

_SELECT = sa.select(*COLUMNS)
_BY_UUID = _SELECT.where(_cell.c.uuid == sa.bindparam('cell'))
_BY_NAME = _SELECT.where(_cell.c.name == sa.bindparam('cell'))
_ALL = _SELECT.order_by(_cell.c.id)
_SHARED = _BY_UUID.with_for_update(read=True)
_LOCKED = _BY_UUID.with_for_update()
_INSERT = sa.insert(_cell).values(generation=tables.clock())
_UPDATE = (
    sa.update(_cell)
    .where(_cell.c.uuid == sa.bindparam('cell'))
    .values(generation=tables.next_generation(_cell.c.generation))
)
_DELETE = sa.delete(_cell).where(_cell.c.uuid == sa.bindparam('cell'))
_INSTANCES = sa.select(sa.func.count()).where(
    _instance.c.cell_uuid == sa.bindparam('cell')
)

_UNIQUE = {
    'uuid': 'uuid',
    'name': 'name',
    'database_digest': 'database_connection',
    'transport_digest': 'transport_url',
}
"""The columns that no two cells share, and what the caller calls them."""

_RIVALS = sa.select(_cell.c.name, *(_cell.c[key] for key in _UNIQUE)).where(
    sa.or_(*(_cell.c[key] == sa.bindparam(f'new_{key}') for key in _UNIQUE)),
    _cell.c.uuid != sa.bindparam('own'),
)


def from_columns(
    uuid: str,
    name: str,
    database_connection: str,
    transport_url: str,
    slave_connection: str | None,
    state: str,
    generation: int,
    created_at: datetime.datetime | None = None,
    updated_at: datetime.datetime | None = None,
) -> CellMapping:
    """The cell whose :data:`COLUMNS` these are."""
    return CellMapping(
        uuid=uuid,
        name=name,
        database_connection=database_connection,
        transport_url=transport_url,
        slave_connection=slave_connection,
        state=CellState(state),
        generation=generation,
        created_at=created_at,
        updated_at=updated_at,
    )


def get(session: tables.Handle, cell: str) -> CellMapping:
    """The cell of this uuid or name.

    :param cell: matched exactly; what looks like a uuid is one.
    :raises CellMappingNotFound: if there is none.
    """
    if identifiers.is_uuid_like(cell):
        uuid = identifiers.canonical_uuid('cell', cell)
        return _one(session, _BY_UUID, uuid)
    return _one(session, _BY_NAME, cell)


def get_all(session: tables.Handle) -> list[CellMapping]:
    """Every cell, in the order in which they were created."""
    return [from_columns(*row) for row in session.execute(_ALL)]


def lock(session: tables.Handle, uuid: str) -> CellMapping:
    """The cell; it cannot be changed or deleted before the transaction ends.

    Any number of transactions may hold it so. Waits for one that changes or
    deletes the cell.

    :raises CellMappingNotFound: if there is none (any more).
    """
    return _one(session, _SHARED, uuid)


def lock_all(
    session: tables.Handle, uuids: Iterable[str]
) -> dict[str, CellMapping]:
    """Lock several cells, in the one order; the cells, by uuid."""
    return {uuid: lock(session, uuid) for uuid in sorted(uuids)}


def create(session: tables.Handle, values: Mapping[str, Any]) -> CellMapping:
    """Write a new cell.

    :param values: ``uuid``, ``name``, ``database_connection``,
        ``transport_url``, and optionally ``slave_connection`` and ``state``;
        all of them checked.
    :raises CellMappingExists: if another cell has this uuid, name, database
        or message queue, also one that was created at the same moment. The
        transaction stays usable.
    """
    row = {'slave_connection': None, 'state': CellState.ENABLED, **values}
    row = _stored(row)
    with _unique(session, row, own=''):
        session.execute(_INSERT, row)
    return _one(session, _BY_UUID, row['uuid'])


def update(
    session: tables.Handle, uuid: str, values: Mapping[str, Any]
) -> CellMapping:
    """Change what is in ``values``, and nothing else.

    The generation grows, if anything was passed. Waits for transactions that
    are mapping instances to the cell.

    :param values: any of ``name``, ``database_connection``,
        ``transport_url``, ``slave_connection`` and ``state``, checked.
    :raises CellMappingNotFound: if there is no such cell.
    :raises CellMappingExists: as :func:`create`.
    """
    if values:
        row = _stored(values)
        with _unique(session, row, own=uuid):
            session.execute(_UPDATE, {'cell': uuid, **row})
    return _one(session, _BY_UUID, uuid)


def delete(session: tables.Handle, uuid: str) -> CellMapping:
    """Delete a cell that no instance is mapped to.

    Waits for transactions that are mapping instances to it; those that come
    later wait for this one, and find the cell gone.

    :returns: the cell as it was when it was deleted.
    :raises CellMappingNotFound: if there is no such cell.
    :raises CellInUse: with the number of instances mapped to it.
    """
    cell = _one(session, _LOCKED, uuid)
    instances = session.execute(_INSTANCES, {'cell': uuid}).scalar_one()
    if instances:
        raise exception.CellInUse(uuid, cell.name, instances)
    session.execute(_DELETE, {'cell': uuid})
    return cell


def _one(
    session: tables.Handle, statement: sa.Select[Any], cell: str
) -> CellMapping:
    row = session.execute(statement, {'cell': cell}).first()
    if row is None:
        raise exception.CellMappingNotFound(cell)
    return from_columns(*row)


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns for these values: digests follow their URLs."""
    row = dict(values)
    if 'state' in row:
        row['state'] = str(row['state'])
    if 'database_connection' in row:
        row['database_digest'] = urls.database_digest(
            row['database_connection']
        )
    if 'transport_url' in row:
        row['transport_digest'] = urls.transport_digest(row['transport_url'])
    return row


def check_unique(
    session: tables.Handle, values: Mapping[str, Any], own: str = ''
) -> None:
    """Raise CellMappingExists if another cell has one of the unique values.

    Also for brokers that are another cell's too, with the same virtual host.

    :param values: as for :func:`create` or :func:`update`.
    :param own: the uuid of the cell that may have them.
    """
    _refuse_rivals(session, _stored(values), own)
    wanted = values.get('transport_url')
    if wanted is None:
        return
    for cell in get_all(session):
        if cell.uuid != own and urls.same_queue(wanted, cell.transport_url):
            raise exception.CellMappingExists('transport_url', cell.name)


@contextlib.contextmanager
def _unique(
    session: tables.Handle, row: Mapping[str, Any], own: str
) -> Iterator[None]:
    """Turn what breaks a unique key into CellMappingExists.

    The look before tells people which key and whose. Somebody may take the
    key after it; then the same look tells it again, since what databases
    say about the key that was broken differs.
    """
    _refuse_rivals(session, row, own)
    try:
        with tables.savepoint(session):
            yield
    except tables.DUPLICATE:
        _refuse_rivals(session, row, own)
        raise


def _refuse_rivals(
    session: tables.Handle, row: Mapping[str, Any], own: str
) -> None:
    wanted = {key: row.get(key) for key in _UNIQUE}
    binds = {f'new_{key}': value for key, value in wanted.items()}
    rivals = session.execute(_RIVALS, {**binds, 'own': own}).mappings().all()
    for key, attribute in _UNIQUE.items():
        for rival in rivals:
            if wanted[key] is not None and rival[key] == wanted[key]:
                raise exception.CellMappingExists(attribute, rival['name'])
