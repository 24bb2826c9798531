"""Queries of how far migrations have come, per job and cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

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


def empty_marks(
    columns: Callable[[Any, Any, Any], Sequence[Any]],
) -> sa.Select[Any]:
    """What is marked as an empty legacy table, also within a larger query.

    :param columns: what to select, of the table, the cell's uuid, and its
        name if it has one here.
    """
    cell = models.cell_mapping
    # Literals: prepared queries bind what changes from call to call alone.
    return (
        sa.select(*columns(_state.c.job, _state.c.cell_uuid, cell.c.name))
        .select_from(_state.outerjoin(cell, cell.c.uuid == _state.c.cell_uuid))
        .where(
            _state.c.state == sa.literal_column(f"'{limit_tables.EMPTY}'"),
            _state.c.job.in_(
                [sa.literal_column(f"'{job}'") for job in limit_tables.OWNERS]
            ),
        )
    )


_UPSERT = tables.upsert(_state, [_state.c.job, _state.c.cell_uuid], _CHANGED)
_THIS = (
    _state.c.job == sa.bindparam('this_job'),
    _state.c.cell_uuid == sa.bindparam('this_cell'),
)
_GET = sa.select(_state.c.marker, _state.c.state).where(*_THIS)
_EMPTY = empty_marks(lambda *columns: columns)


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


def empty_tables(session: tables.Handle) -> frozenset[tuple[str, str]]:
    """(table, cell) of each legacy table that is known to be empty.

    By the cell's uuid, and once more by its name if it has one here.
    """
    found = set()
    for job, cell_uuid, name in session.execute(_EMPTY):
        found |= {(job, cell_uuid), (job, name or cell_uuid)}
    return frozenset(found)
