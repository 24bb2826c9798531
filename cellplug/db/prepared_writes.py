"""Statements that change rows: composed once, compiled once.

In a transaction, the rows that were changed stay locked while the next
statement is prepared; of the time that takes, most is SQLAlchemy's. Here, as
in :mod:`.prepared`, the compiled text goes straight to the driver's cursor,
and what an error means is for SQLAlchemy and oslo.db to say.

The drivers are those whose connections know by themselves of forks, and of
transactions that the server has ended: nothing else is lost by it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cellplug.db import statements
from cellplug.db import tables

_DRIVERS = ('pymysql', 'psycopg')
"""Those that take Python's strings, integers and moments as they are."""


class Change:
    """An INSERT, UPDATE or DELETE.

    :param statement: its values are bound parameters, by name: strings,
        integers, moments. There are no other ones in it.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._compiled: dict[str, str] = {}

    def change(self, session: tables.Handle, values: Mapping[str, Any]) -> int:
        """Execute it; how many rows it found to change.

        :param values: of the parameters, by name.
        """
        connection = tables.connection(session)
        if connection.dialect.driver in _DRIVERS:
            changed: int = self._execute(connection, values, rows=False)
            return changed
        return connection.execute(self._statement, values).rowcount

    def returned(
        self, session: tables.Handle, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Execute it; the rows that its RETURNING names.

        :param values: of the parameters, by name.
        """
        connection = tables.connection(session)
        if connection.dialect.driver in _DRIVERS:
            rows: Sequence[Sequence[Any]] = self._execute(
                connection, values, rows=True
            )
            return rows
        return connection.execute(self._statement, values).all()

    def _execute(
        self,
        connection: sa.Connection,
        values: Mapping[str, Any],
        *,
        rows: bool,
    ) -> Any:
        found = self._compiled.get(connection.dialect.driver)
        text = found or self._compile(connection.dialect)
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        try:
            cursor.execute(text, values)
            answer = cursor.fetchall() if rows else cursor.rowcount
            cursor.close()
        except BaseException as exc:  # noqa: BLE001 (raised by what is called)
            connection._handle_dbapi_exception(exc, text, values, cursor, None)
        statements.note_answer(connection, driver)
        return answer

    def _compile(self, dialect: sa.Dialect) -> str:
        """The statement in a driver's words.

        By names, which both drivers know: PyMySQL writes each value as SQL,
        and what stands in several places would be written as often.
        """
        named = copy.copy(dialect)
        named.paramstyle, named.positional = 'pyformat', False
        text = str(self._statement.compile(dialect=named))
        self._compiled[dialect.driver] = text
        return text
