"""Queries of limits in a cell's database, from before the API database.

The tables are the service's: they may be missing, and were made by others.
Rows that a soft delete left behind do not count. ``deleted`` may be a number
(0 for rows that live), a truth value, a string or missing altogether: so what
locks or writes does not name it, and :func:`is_empty` and :func:`page`, which
do, need to run in autocommit, where a statement that fails spoils nothing.

A database that takes ``a`` and ``A`` for one is answered in Python: strings
match exactly, as they do in the API database.
"""

from __future__ import annotations

import contextlib
import dataclasses
import decimal
import types
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

from cellplug.db import limit_tables
from cellplug.db import tables
from cellplug.objects import quota

_ERRORS = (sa.exc.DBAPIError, oslo_exception.DBError)
_NO_COLUMN = ('42703', 1054)
"""SQLSTATE of PostgreSQL and error number of MariaDB: no such column."""

_LIVE = ('0', 'false', 'f', '')
"""How ``deleted`` of a row that lives looks, as text."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A limit as it stands in a cell; nothing of it has been checked.

    :ivar owner: the values of the table's columns that say whose it is.
    """

    id: int
    owner: tuple[Any, ...]
    resource: Any
    hard_limit: Any

    @property
    def key(self) -> tuple[Any, ...]:
        """Whose it is, and what of."""
        return (*self.owner, self.resource)


def _table(name: str) -> sa.TableClause:
    columns = ('id', *limit_tables.OWNERS[name], 'resource', 'hard_limit')
    return sa.table(name, *(sa.column(one) for one in columns))


_TABLES: Mapping[str, sa.TableClause] = types.MappingProxyType(
    {name: _table(name) for name in limit_tables.OWNERS}
)


def _select(source: sa.TableClause, what: str = '*') -> Any:
    """All columns by default, whichever there are."""
    return sa.select(sa.literal_column(what)).select_from(source)


def _rows(name: str, mappings: Iterable[Any]) -> list[Row]:
    found = []
    owners = limit_tables.OWNERS[name]
    for row in mappings:
        if _is_live(row.get('deleted')):
            owner = tuple(row[column] for column in owners)
            limit = row['hard_limit']
            found.append(Row(row['id'], owner, row['resource'], limit))
    return found


def _is_live(deleted: Any) -> bool:
    return deleted is None or str(deleted).strip().lower() in _LIVE


def parse(hard_limit: Any) -> int:
    """The limit that a row states; null means unlimited.

    :raises ValueError: if it is none that the API database can hold.
    """
    if hard_limit is None:
        return quota.UNLIMITED
    try:
        limit = int(decimal.Decimal(str(hard_limit)))
        exact = limit == decimal.Decimal(str(hard_limit))
    except (ArithmeticError, ValueError):
        exact, limit = False, 0
    if not exact:
        raise ValueError(f'hard_limit {hard_limit!r} is no integer')
    if not quota.UNLIMITED <= limit <= quota.MAX_LIMIT:
        raise ValueError(
            f'hard_limit {limit} is out of range: {quota.UNLIMITED} to '
            f'{quota.MAX_LIMIT}'
        )
    return limit


def effective(hard_limit: Any) -> int:
    """The limit as the service in the cell takes it, unlimited if negative.

    :raises ValueError: if it is no limit.
    """
    with contextlib.suppress(ArithmeticError, ValueError):
        if decimal.Decimal(str(hard_limit)) < 0:
            return quota.UNLIMITED
    return parse(hard_limit)


def read(
    session: tables.Handle,
    table: str,
    owner: Mapping[str, str],
    *,
    lock: bool = False,
) -> list[Row]:
    """The limits of one owner, by id; none if there is no such table.

    :param table: one of :data:`.limit_tables.OWNERS`.
    :param owner: columns and what is in them.
    :param lock: keep others from changing them; waits for who does.
    """
    source = _TABLES[table]
    statement = _select(source).order_by(source.c.id)
    for name, value in owner.items():
        statement = statement.where(source.c[name] == value)
    if lock:
        statement = statement.with_for_update()
    try:
        with tables.savepoint(session) if lock else contextlib.nullcontext():
            found = _rows(table, session.execute(statement).mappings())
    except _ERRORS as exc:
        if tables.is_missing_table(exc):
            return []
        raise
    names = (*limit_tables.OWNERS[table], 'resource')
    return [
        row
        for row in found
        if owner.items() <= dict(zip(names, row.key, strict=True)).items()
    ]


def is_empty(session: tables.Handle, table: str) -> bool:
    """Whether no limit stands in the table, or there is no such table."""
    statement = _select(_TABLES[table], '1').limit(1)
    return not _among_live(session, statement)


def page(
    session: tables.Handle, table: str, after: int | None, count: int
) -> list[Row]:
    """Limits in the order of their ids; none if there is no such table.

    :param after: only those with a greater id; None for all.
    """
    source = _TABLES[table]
    statement = _select(source).order_by(source.c.id).limit(count)
    if after is not None:
        statement = statement.where(source.c.id > after)
    return _rows(table, _among_live(session, statement))


def _among_live(session: tables.Handle, statement: Any) -> Sequence[Any]:
    """What the statement finds among the rows that live."""
    deleted = sa.cast(sa.column('deleted'), sa.String(16))
    live = statement.where(
        sa.or_(sa.column('deleted').is_(None), deleted.in_(_LIVE))
    )
    for one in (live, statement):
        try:
            return session.execute(one).mappings().all()
        except _ERRORS as exc:
            if tables.is_missing_table(exc):
                break
            if one is statement or not _is_missing_column(exc):
                raise
    return []


def _is_missing_column(error: Exception) -> bool:
    inner = getattr(error, 'inner_exception', None) or error
    original = getattr(inner, 'orig', None)
    code = getattr(original, 'sqlstate', None) or getattr(
        original, 'pgcode', None
    )
    arguments = getattr(original, 'args', None) or (None,)
    return (
        code in _NO_COLUMN
        or arguments[0] in _NO_COLUMN
        or 'no such column' in str(arguments[0])
    )


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
