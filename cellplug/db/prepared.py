"""Statements that every request makes: composed once, compiled once.

Of a look-up of one row, SQLAlchemy's ``execute`` takes two fifths: it finds
the compiled statement in a cache, and builds a result that knows all about
its columns. Here the compiled text goes straight to the driver's cursor, and
the row comes back as the driver made it.

Only where nothing is lost by it: on connections in autocommit, or in a
transaction that has begun, of drivers whose connections know by themselves of
forks and bounds. What an error means
to the connection and to the caller is for SQLAlchemy and oslo.db to say: they
are handed it by the (private) method that they would meet it in themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import TypeGuard

import sqlalchemy as sa

from cellplug.db import statements
from cellplug.db import tables

_DRIVERS = ('pymysql', 'psycopg')


class Prepared:
    """A SELECT whose columns need no conversion: strings and integers.

    :param statement: its values are bound parameters, by name.
    """

    def __init__(
        self, statement: sa.Select[Any] | sa.CompoundSelect[Any]
    ) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}

    def first(
        self, session: tables.Handle, **values: Any
    ) -> Sequence[Any] | None:
        """The first row, None if there is none.

        :param values: of the parameters, by name.
        """
        if _is_direct(session):
            row: Sequence[Any] | None
            row = self._fetch(session, values, 'fetchone')
            return row
        return session.execute(self._statement, values).first()

    def rows(
        self, session: tables.Handle, **values: Any
    ) -> Sequence[Sequence[Any]]:
        """All rows.

        :param values: of the parameters, by name.
        """
        if _is_direct(session):
            rows: Sequence[Sequence[Any]]
            rows = self._fetch(session, values, 'fetchall')
            return rows
        return session.execute(self._statement, values).all()

    def _fetch(
        self, connection: sa.Connection, values: dict[str, Any], fetch: str
    ) -> Any:
        text, order = self._text(connection.dialect)
        arguments: Any = values
        if order is not None:
            arguments = [values[name] for name in order]
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        try:
            cursor.execute(text, arguments)
            found = getattr(cursor, fetch)()
            cursor.close()
        except BaseException as exc:  # noqa: BLE001 (raised by what is called)
            connection._handle_dbapi_exception(
                exc, text, arguments, cursor, None
            )
        statements.note_answer(connection, driver)
        return found

    def _text(self, dialect: sa.Dialect) -> tuple[str, list[str] | None]:
        """The statement in a driver's words, and the order of its values."""
        found = self._compiled.get(dialect.driver)
        if found is None:
            compiled = self._statement.compile(dialect=dialect)
            order = compiled.positiontup if compiled.positional else None
            found = self._compiled[dialect.driver] = (str(compiled), order)
        return found


def _is_direct(session: tables.Handle) -> TypeGuard[sa.Connection]:
    """Whether it may be passed by: a connection of ours that has begun.

    In autocommit there is nothing to begin.
    """
    if not isinstance(session, sa.Connection):
        return False
    dialect = session.dialect
    return dialect.driver in _DRIVERS and (
        getattr(dialect, 'skip_autocommit_rollback', False)
        or session.in_transaction()
    )
