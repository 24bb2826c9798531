"""Queries of how far migrations have come, per job and cell."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite

from cellplug.db import limit_tables
from cellplug.db import tables
from cellplug.db.api import models

_state = models.migration_state
_CHANGED = ('marker', 'state', 'updated_at')


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """How far a job has come in a cell.

    :ivar marker: the key of the last row it looked at; None: it begins anew.
    :ivar state: a word of the job's own, '' if it has said nothing.
    """

    marker: str | None = None
    state: str = ''


def _upsert() -> Mapping[str, Any]:
    on_mysql = mysql.insert(_state)
    on_mysql = on_mysql.on_duplicate_key_update(
        {name: on_mysql.inserted[name] for name in _CHANGED}
    )
    found: dict[str, Any] = {'mysql': on_mysql, 'mariadb': on_mysql}
    for dialect, insert in (
        ('postgresql', postgresql.insert(_state)),
        ('sqlite', sqlite.insert(_state)),
    ):
        found[dialect] = insert.on_conflict_do_update(
            index_elements=[_state.c.job, _state.c.cell_uuid],
            set_={name: insert.excluded[name] for name in _CHANGED},
        )
    return types.MappingProxyType(found)


_UPSERT = _upsert()
_THIS = (
    _state.c.job == sa.bindparam('this_job'),
    _state.c.cell_uuid == sa.bindparam('this_cell'),
)
_GET = sa.select(_state.c.marker, _state.c.state).where(*_THIS)
_DELETE = sa.delete(_state).where(*_THIS)
_EMPTY = (
    sa.select(_state.c.job, _state.c.cell_uuid, models.cell_mapping.c.name)
    .select_from(
        _state.outerjoin(
            models.cell_mapping,
            models.cell_mapping.c.uuid == _state.c.cell_uuid,
        )
    )
    .where(
        _state.c.state == limit_tables.EMPTY,
        _state.c.job.in_(tuple(limit_tables.OWNERS)),
    )
)


def get(session: tables.Handle, job: str, cell_uuid: str) -> State:
    """How far it has come; nowhere, if nobody has begun it."""
    values = {'this_job': job, 'this_cell': cell_uuid}
    row = session.execute(_GET, values).first()
    return State() if row is None else State(row[0], row[1])


def put(
    session: tables.Handle,
    job: str,
    cell_uuid: str,
    marker: str | None,
    state: str,
) -> None:
    """Note how far it has come."""
    upsert = _UPSERT[tables.connection(session).dialect.name]
    values = {
        'job': job,
        'cell_uuid': cell_uuid,
        'marker': marker,
        'state': state,
        'updated_at': tables.utcnow(),
    }
    session.execute(upsert, values)


def clear(session: tables.Handle, job: str, cell_uuid: str) -> None:
    """Forget that anybody has begun it."""
    session.execute(_DELETE, {'this_job': job, 'this_cell': cell_uuid})


def empty_tables(session: tables.Handle) -> frozenset[tuple[str, str]]:
    """(table, cell) of each legacy table that is known to be empty.

    By the cell's uuid, and once more by its name if it has one here.
    """
    found = set()
    for job, cell_uuid, name in session.execute(_EMPTY):
        found |= {(job, cell_uuid), (job, name or cell_uuid)}
    return frozenset(found)
