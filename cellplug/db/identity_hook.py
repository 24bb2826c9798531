"""Proof, on each new connection, that a database is the cell's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cellplug import exception

_STATEMENT = 'SELECT cell_uuid FROM cell_identity'
_MISSING_TABLE = (
    '42P01',  # PostgreSQL, SQLSTATE
    '1146',  # MariaDB and MySQL, errno
    'no such table',  # sqlite
)


def checker(cell_uuid: str, cell_name: str) -> Callable[[Any, Any], None]:
    """A connection hook that refuses a database of another cell.

    :returns: a function of dialect and DBAPI connection, which raises
        CellIdentityMismatch or CellIdentityMissing; a backend's error goes
        through.
    """

    def check(dialect: Any, dbapi_connection: Any) -> None:
        found = _read(dialect, dbapi_connection)
        if found is None:
            raise exception.CellIdentityMissing(cell_uuid, cell_name)
        if found != cell_uuid:
            raise exception.CellIdentityMismatch(cell_uuid, found)

    return check


def _read(dialect: Any, dbapi_connection: Any) -> str | None:
    cursor = dbapi_connection.cursor()
    try:
        cursor.execute(_STATEMENT)
        row = cursor.fetchone()
    except dialect.loaded_dbapi.Error as exc:
        if not _lacks_table(exc):
            raise
        return None
    finally:
        cursor.close()
        dialect.do_rollback(dbapi_connection)
    return str(row[0]) if row else None


def _lacks_table(error: Any) -> bool:
    code = getattr(error, 'sqlstate', None) or getattr(error, 'pgcode', None)
    arguments = getattr(error, 'args', ())
    first = str(arguments[0]) if arguments else ''
    return any(
        mark in (code, first) or (' ' in mark and mark in first)
        for mark in _MISSING_TABLE
    )
