"""To which cell a database belongs.

A cell's database says so itself, in one row, and the API database names the
cell; the two cannot be written in one transaction. So a cell is created in
steps, each of which can be repeated after a crash anywhere:

1. ``schema.CELL.sync`` makes cellplug's tables where they are missing;
2. :func:`begin_claim` writes the uuid as ``pending``, and is committed;
3. the API database gets its row, and is committed;
4. :func:`finish_claim` makes the claim final (``claimed``), and is committed.

A pending claim counts as long as its cell is, or may still be, in the API
database: one that is not in it may be taken over by another cell, and taken
back by whoever of the two has the row in the API database when it finishes.
Every write is guarded by what was read before, so that no lock has to be held
while the API database is asked (only who lost a race holds one).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

from cellplug import exception
from cellplug.db import tables
from cellplug.db.cell import models

IsKnown = Callable[[str], bool]
"""Whether a cell of this uuid is in the API database, as committed now."""

PENDING = 'pending'
CLAIMED = 'claimed'

_ATTEMPTS = 10
"""How many lost races in a row are taken for something else."""

_table = models.cell_identity
_READ = sa.select(_table.c.cell_uuid, _table.c.claim_state).where(
    _table.c.id == 1
)
_READ_NOW = _READ.with_for_update()
_INSERTS = tables.insert_absent(_table, _table.c.id, id=1)
_REPLACE = (
    sa.update(_table)
    .where(
        _table.c.id == 1,
        _table.c.cell_uuid == sa.bindparam('found_uuid'),
        _table.c.claim_state == sa.bindparam('found_state'),
    )
    .values(
        cell_uuid=sa.bindparam('new_uuid'),
        claim_state=sa.bindparam('new_state'),
    )
)
_RELEASE = sa.delete(_table).where(
    _table.c.cell_uuid == sa.bindparam('released')
)


class Identity(NamedTuple):
    """Whose database it is; ``state`` is ``pending`` or ``claimed``."""

    uuid: str
    state: str


def read(session: tables.Handle) -> Identity | None:
    """To which cell the database says it belongs; None: to none yet.

    :raises SchemaMissing: if it lacks cellplug's tables. On PostgreSQL the
        transaction is of no more use then.
    """
    try:
        return _read(session, _READ)
    except (sa.exc.DBAPIError, oslo_exception.DBError) as exc:
        if not tables.is_missing_table(exc):
            raise
        raise exception.SchemaMissing('the cell database') from exc


def begin_claim(
    session: tables.Handle, uuid: str, is_known: IsKnown
) -> Identity:
    """Announce that the database will belong to a cell.

    :returns: what the database says now: this uuid, ``pending`` or, when it
        was claimed before, ``claimed``.
    :raises CellIdentityMismatch: if it belongs to another cell, or a cell in
        the API database is about to claim it.
    """
    return _claim(session, Identity(uuid, PENDING), is_known)


def finish_claim(session: tables.Handle, uuid: str, is_known: IsKnown) -> None:
    """Make a claim final; the cell is in the API database by now.

    :raises CellIdentityMismatch: if another cell has won the database; then
        this one's row in the API database is wrong and has to go.
    """
    _claim(session, Identity(uuid, CLAIMED), is_known)


def force_claim(session: tables.Handle, uuid: str) -> None:
    """Claim a database that no cell has claimed finally.

    :raises CellIdentityMismatch: if it belongs to another cell.
    """
    _claim(session, Identity(uuid, CLAIMED), lambda _: False)


def release(session: tables.Handle, uuid: str) -> bool:
    """Give a cell's claim up; whether there was one.

    Never touches another cell's claim.
    """
    result = session.execute(_RELEASE, {'released': uuid})
    return bool(result.rowcount)  # type: ignore[attr-defined]


def _claim(
    session: tables.Handle, wanted: Identity, is_known: IsKnown
) -> Identity:
    statement = _READ
    for _ in range(_ATTEMPTS):
        found = _read(session, statement)
        # Next time, whatever the isolation level, a winner's row is seen.
        statement = _READ_NOW
        if found is None:
            _insert(session, wanted)
            continue
        if found.uuid == wanted.uuid:
            if found.state in (CLAIMED, wanted.state):
                return found
        elif found.state == CLAIMED or is_known(found.uuid):
            raise exception.CellIdentityMismatch(wanted.uuid, found.uuid)
        if _replace(session, found, wanted):
            return wanted
    raise exception.DatabaseUnavailable(
        f'the database of cell {wanted.uuid}',
        'other processes keep claiming it; try again',
    )


def _insert(session: tables.Handle, wanted: Identity) -> None:
    """Write ``wanted`` if there is nothing yet."""
    dialect = tables.connection(session).dialect
    session.execute(
        _INSERTS[dialect.name],
        {'cell_uuid': wanted.uuid, 'claim_state': wanted.state},
    )


def _replace(
    session: tables.Handle, found: Identity, wanted: Identity
) -> bool:
    """Write ``wanted`` if ``found`` is still there; whether it was."""
    result = session.execute(
        _REPLACE,
        {
            'found_uuid': found.uuid,
            'found_state': found.state,
            'new_uuid': wanted.uuid,
            'new_state': wanted.state,
        },
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]


def _read(
    session: tables.Handle, statement: sa.Select[Any]
) -> Identity | None:
    row = session.execute(statement).first()
    return None if row is None else Identity(row[0], row[1])
