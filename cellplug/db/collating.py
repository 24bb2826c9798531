"""One order on every database: what a column is sorted and compared by."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from cellplug import exception

_BINARY = frozenset({'utf8mb4_nopad_bin', 'utf8mb4_0900_bin', 'C', 'POSIX'})
"""Collations that sort by code points, and ignore no trailing blanks."""


class SortKey:
    """A column, and which way it is sorted.

    :param nullable: it may be NULL, whatever the column says.
    :param as_stored: it is compared as the database does by itself.
    :ivar name: what callers call it.
    :ivar nullable: it may be NULL.
    :raises InvalidInput: for a type whose order differs from one database to
        the other.
    """

    def __init__(
        self,
        name: str,
        column: Any,
        *,
        descending: bool,
        nullable: bool,
        as_stored: bool,
    ) -> None:
        self.name = name
        # A mapped class's attribute is more than its column.
        element = getattr(column, '__clause_element__', None)
        self._column: Any = column if element is None else element()
        self.nullable: bool = nullable or getattr(
            self._column, 'nullable', True
        )
        self._descending = descending
        self._as_stored = as_stored
        self._type: Any = self._column.type
        check(name, self._type)

    def bound(self, value: Any) -> Any:
        """The value as the column's type takes it."""
        if isinstance(value, str) and _returns_uuid(self._type):
            return uuid.UUID(value)
        return value

    def ordering(self, dialect: Any) -> Any:
        """What stands in ORDER BY."""
        compared = self._compared(dialect)
        ordering = compared.desc() if self._descending else compared.asc()
        if not self.nullable or dialect.name != 'postgresql':
            # NULL is the least by itself.
            return ordering
        if self._descending:
            return ordering.nulls_last()
        return ordering.nulls_first()

    def equal(
        self, name: str, null: bool, dialect: Any
    ) -> sa.ColumnElement[bool]:
        """The column is what the parameter of that name is."""
        if null:
            return self._null()
        equal: sa.ColumnElement[bool]
        equal = self._compared(dialect) == self._parameter(name)
        return equal

    def beyond(
        self, name: str, null: bool, dialect: Any
    ) -> sa.ColumnElement[bool]:
        """The column comes after the parameter."""
        if null:
            # Ascending, after NULL comes all that is none; descending, NULL
            # is the last.
            return sa.false() if self._descending else ~self._null()
        beyond: sa.ColumnElement[bool]
        if not self._descending:
            beyond = self._compared(dialect) > self._parameter(name)
            return beyond
        beyond = self._compared(dialect) < self._parameter(name)
        return sa.or_(beyond, self._null()) if self.nullable else beyond

    def not_before(self, name: str, dialect: Any) -> sa.ColumnElement[bool]:
        """The column, which is not NULL, is the parameter or comes after."""
        compared, parameter = self._compared(dialect), self._parameter(name)
        found: sa.ColumnElement[bool] = (
            compared <= parameter
            if self._descending
            else compared >= parameter
        )
        return found

    def _null(self) -> sa.ColumnElement[bool]:
        null: sa.ColumnElement[bool] = self._column.is_(None)
        return null

    def _parameter(self, name: str) -> Any:
        return sa.bindparam(name, type_=self._type)

    def _compared(self, dialect: Any) -> Any:
        if self._as_stored:
            return self._column
        return compared(self._column, self._type, dialect)


def check(name: str, kind: Any) -> None:
    """Refuse a type that databases sort by rules of their own.

    :raises InvalidInput: says what to do instead.
    """
    kind = _plain(kind)
    reason = None
    if isinstance(kind, sa.Enum):
        reason = 'an Enum is sorted by different rules; cast it to String'
    elif isinstance(kind, sa.Float) and not _is_double(kind):
        reason = (
            'a Float is rounded when it is read, and no page can begin after '
            'it; make it Double or Numeric'
        )
    elif isinstance(kind, sa.JSON | sa.ARRAY | sa.PickleType | sa.Interval):
        reason = f'{type(kind).__name__} has no order that databases share'
    elif isinstance(kind, sa.types.NullType):
        reason = 'its type is not known; say it by sa.type_coerce()'
    if reason is not None:
        raise exception.InvalidInput('sort_keys', f'{name!r}: {reason}')


def compared(column: Any, kind: Any, dialect: Any) -> Any:
    """The column, made to compare by code points where it is a string."""
    here = kind.dialect_impl(dialect)
    plain = _plain(here)
    mysql = dialect.name in ('mysql', 'mariadb')
    if isinstance(_plain(kind), sa.Uuid):
        # MariaDB's own UUID sorts by the moment that some uuids hold.
        return sa.cast(column, sa.CHAR(36)) if mysql else column
    if not isinstance(plain, sa.String):
        return column
    if getattr(plain, 'collation', None) in _BINARY:
        return column
    if mysql:
        # Whatever its character set is; without, its collation would not do.
        wide = sa.func.convert(column.op('USING')(sa.text('utf8mb4')))
        wide.type = kind
        return sa.collate(
            wide,
            'utf8mb4_nopad_bin' if dialect.is_mariadb else 'utf8mb4_0900_bin',
        )
    return sa.collate(
        column, 'C' if dialect.name == 'postgresql' else 'BINARY'
    )


def _plain(kind: Any) -> Any:
    while isinstance(kind, sa.types.TypeDecorator):
        kind = kind.impl_instance
    return kind


def _is_double(kind: Any) -> bool:
    return isinstance(kind, sa.Double) or (kind.precision or 0) > 24


def _returns_uuid(kind: Any) -> bool:
    plain = _plain(kind)
    return isinstance(plain, sa.Uuid) and bool(plain.as_uuid)
