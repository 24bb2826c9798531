"""What the tables and queries of both databases are made of.

Strings that identify something compare byte for byte on every database:
case, accents and trailing blanks make a difference. MariaDB and MySQL would
otherwise take ``cell1``, ``Cell1`` and ``cell1`` with a blank behind it for
one name.
"""

from __future__ import annotations

import contextlib
import datetime
import time
import types
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext import compiler
from sqlalchemy.sql import functions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session
    from sqlalchemy.sql.compiler import SQLCompiler

    Handle = sa.Connection | Session
    """What every query takes: a transaction that the caller opened."""

DUPLICATE = (sa.exc.IntegrityError, oslo_exception.DBDuplicateEntry)
"""What a lost race for a unique key raises, without and with oslo.db."""

_NO_TABLE = ('42P01', 1146)
"""SQLSTATE of PostgreSQL and error number of MariaDB: no such table."""

BigId = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
"""An ascending primary key; sqlite counts up only what it calls INTEGER."""

_NAMING = {
    'ck': 'ck_%(table_name)s_%(constraint_name)s',
    'ix': 'ix_%(table_name)s_%(column_0_N_name)s',
    'pk': 'pk_%(table_name)s',
    'uq': 'uq_%(table_name)s_%(column_0_N_name)s',
}


def metadata() -> sa.MetaData:
    """An empty collection of tables whose keys get the same names anywhere."""
    return sa.MetaData(naming_convention=_NAMING)


def table_options() -> dict[str, Any]:
    """Keyword arguments of every table: InnoDB, four-byte UTF-8."""
    return {
        f'{dialect}_{option}': value
        for dialect in ('mysql', 'mariadb')
        for option, value in (
            ('engine', 'InnoDB'),
            ('charset', 'utf8mb4'),
            ('collate', 'utf8mb4_bin'),
        )
    }


class ExactString(sa.types.TypeDecorator[str]):
    """A string that compares byte for byte, and sorts so.

    :param length: characters.
    :param fixed: all values are of this length and hold no blanks.
    """

    impl = sa.String
    cache_ok = True

    def __init__(self, length: int, *, fixed: bool = False) -> None:
        super().__init__(length)
        self.length = length
        self.fixed = fixed

    def load_dialect_impl(self, dialect: Any) -> Any:
        """The type that compares exactly on this database.

        MariaDB and MySQL have no collation in common that looks at trailing
        blanks; SQLAlchemy knows on which of them it is once it has connected.
        """
        plain: Any = sa.CHAR if self.fixed else sa.VARCHAR
        if dialect.name in ('mysql', 'mariadb'):
            plain = mysql.CHAR if self.fixed else mysql.VARCHAR
            collation = (
                'utf8mb4_nopad_bin'
                if dialect.is_mariadb
                else 'utf8mb4_0900_bin'
            )
            return dialect.type_descriptor(
                plain(self.length, charset='utf8mb4', collation=collation)
            )
        if dialect.name == 'postgresql':
            # Its CHAR never looks at trailing blanks, and saves nothing.
            return dialect.type_descriptor(
                postgresql.VARCHAR(self.length, collation='C')
            )
        return dialect.type_descriptor(plain(self.length))


def uuid_column(name: str, **options: Any) -> sa.Column[str]:
    """A uuid in canonical form: 36 characters, lower case, with dashes."""
    return sa.Column(name, ExactString(36), nullable=False, **options)


def utc_type() -> sa.types.TypeEngine[datetime.datetime]:
    """A moment in UTC without a zone, in microseconds.

    MySQL's plain DATETIME rounds to seconds, also into the future.
    """
    return sa.DateTime().with_variant(
        mysql.DATETIME(fsp=6), 'mysql', 'mariadb'
    )


def utcnow() -> datetime.datetime:
    """Now, in UTC, without a zone, as the tables hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def timestamps() -> tuple[sa.Column[Any], sa.Column[Any]]:
    """``created_at`` and ``updated_at``, set by inserts and updates."""
    return (
        sa.Column('created_at', utc_type(), nullable=False, default=utcnow),
        sa.Column('updated_at', utc_type(), nullable=True, onupdate=utcnow),
    )


class clock(functions.GenericFunction[int]):  # noqa: N801 (an SQL function)
    """The database's clock in microseconds since 1970, for generations.

    One clock for all writers, read by the statement that writes. On sqlite
    all writers share this machine's clock, which is finer than sqlite's.
    """

    type = sa.BigInteger()
    inherit_cache = True
    name = 'cellplug_clock'

    def __init__(self) -> None:
        super().__init__(
            sa.bindparam(
                'cellplug_now',
                callable_=_microseconds,
                type_=sa.BigInteger(),
                unique=True,
            )
        )


def _microseconds() -> int:
    return time.time_ns() // 1000


@compiler.compiles(clock)
def _clock_here(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    (now,) = element.clauses
    return compiler.process(now, **kw)


@compiler.compiles(clock, 'mysql')
@compiler.compiles(clock, 'mariadb')
def _clock_mysql(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    # NOW() and UNIX_TIMESTAMP() depend on the session's time zone, and step
    # back by an hour where it has daylight saving time.
    return (
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))"
    )


@compiler.compiles(clock, 'postgresql')
def _clock_postgresql(element: clock, compiler: SQLCompiler, **kw: Any) -> str:
    # Not now(): that is when the transaction began.
    return 'CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)'


def next_generation(column: sa.Column[int]) -> sa.ColumnElement[int]:
    """``max(old + 1, clock)``, for the SET of an UPDATE.

    It never repeats for one row, and orders its versions also when the row
    is deleted and made anew.
    """
    return sa.case((column >= clock(), column + 1), else_=clock())


def connection(session: Handle) -> sa.Connection:
    """The connection that a session, or a connection, works on."""
    if isinstance(session, sa.Connection):
        return session
    return session.connection()


@contextlib.contextmanager
def savepoint(session: Handle) -> Iterator[None]:
    """Undo what the block did, and that alone, if it raises.

    The error that leaves is the block's own. MariaDB rolls the whole
    transaction back at a deadlock, its savepoints included; the complaint
    about the missing savepoint would hide the deadlock from whoever retries.
    """
    nested = session.begin_nested()
    try:
        yield
    except BaseException:
        with contextlib.suppress(sa.exc.DBAPIError, oslo_exception.DBError):
            nested.rollback()
        raise
    nested.commit()


def insert_absent(
    table: sa.Table, key: sa.Column[Any], **values: Any
) -> Mapping[str, Any]:
    """For each dialect, an INSERT that leaves rows alone that are there.

    Other than an INSERT that fails, it needs no savepoint. And of several
    that wait for one winner on MariaDB, each in turn gets the row's lock
    exclusively, where the shared locks of failing ones deadlock as soon as
    two of them write. How many rows it says it changed means nothing.

    :param key: any column; MariaDB needs one to leave as it is.
    """
    on_mysql = mysql.insert(table).values(values)
    on_mysql = on_mysql.on_duplicate_key_update({key.name: key})
    on_postgresql = postgresql.insert(table).values(values)
    on_sqlite = sqlite.insert(table).values(values)
    return types.MappingProxyType(
        {
            'mysql': on_mysql,
            'mariadb': on_mysql,
            'postgresql': on_postgresql.on_conflict_do_nothing(),
            'sqlite': on_sqlite.on_conflict_do_nothing(),
        }
    )


def upsert(
    table: sa.Table, key: Sequence[sa.Column[Any]], changed: Iterable[str]
) -> Mapping[str, Any]:
    """For each dialect, an INSERT that changes the row that is there.

    :param key: the columns of a unique key.
    :param changed: the columns that take the new values then.
    """
    names = tuple(changed)
    on_mysql = mysql.insert(table)
    on_mysql = on_mysql.on_duplicate_key_update(
        {name: on_mysql.inserted[name] for name in names}
    )
    found: dict[str, Any] = {'mysql': on_mysql, 'mariadb': on_mysql}
    for dialect, insert in (
        ('postgresql', postgresql.insert(table)),
        ('sqlite', sqlite.insert(table)),
    ):
        found[dialect] = insert.on_conflict_do_update(
            index_elements=key,
            set_={name: insert.excluded[name] for name in names},
        )
    return types.MappingProxyType(found)


def is_missing_table(error: Exception) -> bool:
    """Whether a statement failed because its table does not exist."""
    if isinstance(error, oslo_exception.DBNonExistentTable):
        return True
    inner = getattr(error, 'inner_exception', None) or error
    original = getattr(inner, 'orig', None)
    code = getattr(original, 'sqlstate', None) or getattr(
        original, 'pgcode', None
    )
    arguments = getattr(original, 'args', None) or (None,)
    return (
        code in _NO_TABLE
        or arguments[0] in _NO_TABLE
        or 'no such table' in str(arguments[0])
    )
