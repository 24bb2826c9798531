"""A SQLAlchemy select, read page by page in an order that all cells share.

What is merged has to be sorted by one rule everywhere, whatever a server, a
database or a column says of collations, and wherever a database puts NULL:
strings by their code points, and NULL as less than everything. The statements
made here say so themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from cellplug import exception
from cellplug.db import collating

Rows = list[dict[str, Any]]

_PREFIX = 'cellplug_after_'

_KEPT = 64
"""Statements that one function keeps: by sort keys, directions, NULLs."""


def sorted_select(
    select: sa.Select[Any],
    *,
    columns: Mapping[str, Any] | Iterable[str] | None = None,
    as_stored: Iterable[str] = (),
) -> Callable[..., Rows]:
    """The function for ``router.list_sorted`` that reads this select.

    It is ``rows(context, sort_keys, sort_dirs, limit, after)`` and works in
    the transaction that is open; a service puts its ``db.reader.single``
    around it. The rows are dictionaries by the names of the select's columns.

    :param select: what to list, without order and limit. Whatever callers
        may sort by is among its columns.
    :param columns: what callers may sort by: names of columns, or the
        expression that each name stands for; by default all columns.
    :param as_stored: those of them that are compared as the database does by
        itself, so that an index serves them. To be used where that is the
        order of code points: uuids in lower case, and strings of a binary
        collation that does not ignore trailing blanks.
    :raises InvalidInput: for what is no select, and names it does not have;
        from the function, for a sort key that is none.
    """
    if not isinstance(select, sa.Select):
        raise exception.InvalidInput(
            'select', f'a {type(select).__name__} is no SQLAlchemy select()'
        )
    pages = _Pages(select, columns, frozenset(as_stored))

    def rows(
        context: Any,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
        limit: int | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> Rows:
        return pages.read(context.session, sort_keys, sort_dirs, limit, after)

    return rows


class _Pages:
    """The pages of one select.

    Statements are kept, so that the cells of one request, and the pages of
    one listing, share them: composing one costs more than running it.
    """

    def __init__(
        self,
        select: sa.Select[Any],
        columns: Mapping[str, Any] | Iterable[str] | None,
        as_stored: frozenset[str],
    ) -> None:
        self._select = select
        self._columns = _columns(select, columns)
        self._as_stored = as_stored
        unknown = sorted(as_stored - self._columns.keys())
        if unknown:
            raise exception.InvalidInput(
                'as_stored', f'{unknown[0]!r} is nothing that can be sorted by'
            )
        self._nullable = _may_add_null(select)
        self._made: dict[Any, sa.Select[Any]] = {}

    def read(
        self,
        session: Any,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
        limit: int | None,
        after: Mapping[str, Any] | None,
    ) -> Rows:
        """Run the select from there on."""
        connection: sa.Connection = (
            session
            if isinstance(session, sa.Connection)
            else session.connection()
        )
        dialect = connection.dialect
        keys = [
            collating.SortKey(
                name,
                self._column(name),
                descending=direction == 'desc',
                nullable=self._nullable,
                as_stored=name in self._as_stored,
            )
            for name, direction in zip(sort_keys, sort_dirs, strict=True)
        ]
        values: list[Any] = []
        if after is not None:
            values = [key.bound(after[key.name]) for key in keys]
        nulls = tuple(value is None for value in values)
        # Dialects are made once for each engine; what they say here depends
        # on what the server is.
        kind = (dialect.name, getattr(dialect, 'is_mariadb', False))
        known = (*sort_keys, *sort_dirs, nulls, limit is None, kind)
        statement = self._made.get(known)
        if statement is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            statement = self._statement(keys, nulls, limit, dialect)
            self._made[known] = statement
        given = {
            f'{_PREFIX}{index}': value
            for index, value in enumerate(values)
            if value is not None
        }
        if limit is not None:
            given['cellplug_limit'] = limit
        found = connection.execute(statement, given)
        names = list(found.keys())
        return [dict(zip(names, row, strict=True)) for row in found]

    def _column(self, name: str) -> Any:
        try:
            return self._columns[name]
        except KeyError:
            known = ', '.join(sorted(self._columns))
            raise exception.InvalidInput(
                'sort_keys', f'{name!r} is none of {known}'
            ) from None

    def _statement(
        self,
        keys: Sequence[collating.SortKey],
        nulls: Sequence[bool],
        limit: int | None,
        dialect: Any,
    ) -> sa.Select[Any]:
        statement = self._select.order_by(None)
        if nulls:
            statement = statement.where(_after(keys, nulls, dialect))
        statement = statement.order_by(
            *[key.ordering(dialect) for key in keys]
        )
        if limit is not None:
            statement = statement.limit(sa.bindparam('cellplug_limit'))
        return statement


def _after(
    keys: Sequence[collating.SortKey], nulls: Sequence[bool], dialect: Any
) -> sa.ColumnElement[bool]:
    """What is true of the rows that come after the values.

    By a first key, or by the next one where the first is equal. That the
    first is not less is said on its own: it is what an index can be used by.
    """
    whole: sa.ColumnElement[bool] = sa.false()
    for index in range(len(keys) - 1, -1, -1):
        key, null = keys[index], nulls[index]
        name = f'{_PREFIX}{index}'
        beyond = key.beyond(name, null, dialect)
        equal = key.equal(name, null, dialect)
        whole = sa.or_(beyond, sa.and_(equal, whole))
    first = keys[0]
    if nulls[0] or first.nullable or len(keys) == 1:
        return whole
    return sa.and_(first.not_before(f'{_PREFIX}0', dialect), whole)


def _columns(
    select: sa.Select[Any], columns: Mapping[str, Any] | Iterable[str] | None
) -> dict[str, Any]:
    selected = dict(select.selected_columns.items())
    if columns is None:
        return selected
    if isinstance(columns, str):
        raise exception.InvalidInput('columns', 'is one name; pass a list')
    for name in columns:
        if name not in selected:
            raise exception.InvalidInput(
                'columns', f'{name!r} is no column of the select'
            )
    if isinstance(columns, Mapping):
        return dict(columns)
    return {name: selected[name] for name in columns}


def _may_add_null(select: sa.Select[Any]) -> bool:
    """Whether a column that takes no NULL may have one all the same.

    By an outer join. And what is read of another select says of its columns
    what the tables say, whatever that one joins or unites them with.
    """
    return any(
        isinstance(part, sa.SelectBase)
        or (isinstance(part, sa.Join) and (part.isouter or part.full))
        for source in select.get_final_froms()
        for part in visitors.iterate(source)
    )
