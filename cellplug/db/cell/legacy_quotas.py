"""Queries of limits in a cell's database, from before the API database.

The tables are the service's: they may be missing, and were made by others.
Rows that a soft delete left behind do not count. ``deleted`` may be a number,
a truth value, bits, a string or missing altogether: ``is_live`` alone says
what it means, and SQL only passes over what is certainly deleted. What locks
or writes does not name it, and :func:`is_empty` and :func:`page`, which do,
need to run in autocommit, where a statement that fails spoils nothing.

A database that takes ``a`` and ``A`` for one is answered in Python: strings
match exactly, as they do in the API database.
"""

from __future__ import annotations

import contextlib
import itertools
import types
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

from cellplug.db import limit_tables
from cellplug.db import tables
from cellplug.db.cell import legacy_quotas_rows as rows_

_ERRORS = (sa.exc.DBAPIError, oslo_exception.DBError)
_NO_COLUMN = ('42703', 1054)
"""SQLSTATE of PostgreSQL and error number of MariaDB: no such column."""

_MISFITS = (*_NO_COLUMN, '42883', '22P02', '42804')
"""Of PostgreSQL as well: a column that does not compare with a string."""

Row = rows_.Row
WrongShapeError = rows_.WrongShapeError
parse = rows_.parse
effective = rows_.effective

_CHUNK = 200
"""How many rows are read at once where some may turn out to be deleted."""


def _table(name: str) -> sa.TableClause:
    columns = ('id', *limit_tables.OWNERS[name], 'resource', 'hard_limit')
    return sa.table(name, *(sa.column(one) for one in columns))


_TABLES: Mapping[str, sa.TableClause] = types.MappingProxyType(
    {name: _table(name) for name in limit_tables.OWNERS}
)


def read(
    session: tables.Handle,
    table: str,
    owner: Mapping[str, str],
    *,
    lock: bool = False,
    skip_locked: bool = False,
) -> list[Row]:
    """The limits of one owner, by id; none if there is no such table.

    :param table: one of :data:`.limit_tables.OWNERS`.
    :param owner: columns and what is in them.
    :param lock: keep others from changing them; waits for who does.
    :param skip_locked: leave out what others hold instead of waiting for
        them, where the database can: MariaDB from 10.6 on, MySQL from 8.0
        on, PostgreSQL.
    :raises WrongShapeError: if the table is another one of that name.
    """
    source = _TABLES[table]
    statement: Any = sa.select(sa.literal_column('*')).select_from(source)
    statement = statement.order_by(source.c.id)
    for name, value in owner.items():
        statement = statement.where(source.c[name] == value)
    if lock:
        skip = skip_locked and _can_skip(tables.connection(session).dialect)
        statement = statement.with_for_update(skip_locked=skip)
    try:
        with tables.savepoint(session) if lock else contextlib.nullcontext():
            found = session.execute(statement).mappings()
            keys, rows = [*found.keys()], found.all()
    except _ERRORS as exc:
        if tables.is_missing_table(exc):
            return []
        raise _explained(exc, table) from exc
    names = (*limit_tables.OWNERS[table], 'resource')
    return [
        row
        for row in rows_.rows_that_live(table, keys, rows)
        if owner.items() <= dict(zip(names, row.key, strict=True)).items()
    ]


def _can_skip(dialect: Any) -> bool:
    if dialect.name not in ('mysql', 'mariadb'):
        return True
    least = (10, 6) if dialect.is_mariadb else (8, 0, 1)
    return bool(dialect.server_version_info >= least)


def is_empty(session: tables.Handle, table: str) -> bool:
    """Whether no limit stands in the table, or there is no such table.

    :raises WrongShapeError: if the table is another one of that name.
    """
    return not page(session, table, None, 1)


def page(
    session: tables.Handle, table: str, after: int | None, count: int
) -> list[Row]:
    """Limits in the order of their ids; none if there is no such table.

    :param after: only those with a greater id; None for all.
    :raises WrongShapeError: if the table is another one of that name.
    """
    return list(itertools.islice(_living(session, table, after), count))


def _living(
    session: tables.Handle, table: str, after: int | None
) -> Iterator[Row]:
    """The rows that live, read as they are needed."""
    source = _TABLES[table]
    while True:
        statement: Any = sa.select(sa.literal_column('*')).select_from(source)
        statement = statement.order_by(source.c.id).limit(_CHUNK)
        if after is not None:
            statement = statement.where(source.c.id > after)
        last, rows = _chunk(session, table, statement)
        yield from rows
        if last is None:
            return
        after = last


def _chunk(
    session: tables.Handle, table: str, statement: Any
) -> tuple[Any, list[Row]]:
    """The rows of a chunk that live; the id at its end if there is more."""
    for one in (statement.where(_may_live(table)), statement):
        try:
            found = session.execute(one).mappings()
            keys, rows = [*found.keys()], found.all()
        except _ERRORS as exc:
            if tables.is_missing_table(exc):
                break
            if one is statement or not _is_missing_column(exc):
                raise _explained(exc, table) from exc
        else:
            last = rows[-1]['id'] if len(rows) == _CHUNK else None
            return last, rows_.rows_that_live(table, keys, rows)
    return None, []


def _may_live(table: str) -> Any:
    """What leaves out most rows that are deleted, and none that lives.

    Not all of them: how a value looks as text is up to the database.
    """
    deleted = sa.cast(sa.column('deleted'), sa.String(255))
    row_id = sa.cast(_TABLES[table].c.id, sa.String(255))
    return sa.or_(
        deleted.is_(None),
        deleted.in_(rows_.LIVE),
        sa.not_(sa.or_(deleted.in_(rows_.DELETED), deleted == row_id)),
    )


def _explained(error: Exception, table: str) -> Exception:
    """The error, or what it means."""
    return rows_.WrongShapeError(table) if _is_misfit(error) else error


def _is_missing_column(error: Exception) -> bool:
    return _is_one_of(error, _NO_COLUMN) or 'no such column' in str(
        _original(error)
    )


def _is_misfit(error: Exception) -> bool:
    return _is_missing_column(error) or _is_one_of(error, _MISFITS)


def _is_one_of(error: Exception, codes: Sequence[Any]) -> bool:
    original = _original(error)
    state = getattr(original, 'sqlstate', None) or getattr(
        original, 'pgcode', None
    )
    number = next(iter(getattr(original, 'args', ())), None)
    return state in codes or number in codes


def _original(error: Exception) -> Any:
    inner = getattr(error, 'inner_exception', None) or error
    return getattr(inner, 'orig', None)


def delete(session: tables.Handle, table: str, rows: Iterable[Row]) -> int:
    """Delete rows for good; how many there were."""
    source = _TABLES[table]
    ids = sorted(row.id for row in rows)
    if not ids:
        return 0
    result: Any = session.execute(
        sa.delete(source).where(source.c.id.in_(ids))
    )
    return int(result.rowcount)
