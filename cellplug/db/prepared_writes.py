"""Statements that change rows: composed once, compiled once.

Of a statement that changes one row, SQLAlchemy's ``execute`` takes a good
part of the time, and in a transaction the row is locked meanwhile. Here the
compiled text goes straight to the driver, by way of SQLAlchemy's own
``exec_driver_sql``, which sees to errors and events.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cellplug.db import tables

_DRIVERS = ('pymysql', 'psycopg')
"""Those that take Python's strings, integers and moments as they are."""


class Change:
    """An INSERT, UPDATE or DELETE of plain values.

    :param statement: its values are bound parameters, by name: strings,
        integers, moments.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def change(self, session: tables.Handle, values: Mapping[str, Any]) -> int:
        """Execute it; how many rows it changed, or would have left as are.

        :param values: of the parameters, by name.
        """
        rowcount: int = self._execute(session, values).rowcount
        return rowcount

    def returned(
        self, session: tables.Handle, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Execute it; the rows that its RETURNING names.

        :param values: of the parameters, by name.
        """
        rows: Sequence[Sequence[Any]] = self._execute(session, values).all()
        return rows

    def _execute(
        self, session: tables.Handle, values: Mapping[str, Any]
    ) -> Any:
        connection = tables.connection(session)
        driver = connection.dialect.driver
        if driver not in _DRIVERS:
            return connection.execute(self._statement, values)
        text, order = self._compiled.get(driver) or self._compile(connection)
        arguments: Any = values
        if order is not None:
            arguments = tuple([values[name] for name in order])
        return connection.exec_driver_sql(text, arguments)

    def _compile(
        self, connection: sa.Connection
    ) -> tuple[str, tuple[str, ...] | None]:
        dialect = connection.dialect
        compiled = self._statement.compile(dialect=dialect)
        order = None
        if compiled.positional:
            order = tuple(compiled.positiontup)
        found = self._compiled[dialect.driver] = (str(compiled), order)
        return found
