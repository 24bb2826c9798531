"""Insert instance mappings where there are none, many at a time."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import sqlalchemy as sa

from cellplug.db import tables
from cellplug.db.api import models

_table = models.instance_mapping

CHUNK = 5000
"""How many rows one statement inserts: about a megabyte, twelve at most."""

_INSERTS = tables.insert_absent(_table, _table.c.id, generation=tables.clock())

_COLUMNS = (
    'instance_uuid',
    'cell_uuid',
    'project_id',
    'user_id',
    'generation',
    'created_at',
)
_HEAD = (
    f'INSERT INTO {_table.name} '  # noqa: S608 (our own names)
    f'({", ".join(_COLUMNS)}) VALUES '
)

# What was there stays as it is, and leaves a token in a variable of the
# connection's: of an INSERT that leaves rows alone, neither MySQL nor MariaDB
# says whether there were any.
_NOTING = ' ON DUPLICATE KEY UPDATE id = id + 0 * (@cellplug_there := {:d})'
_NOTED = sa.text(
    f'SELECT @cellplug_there, generation FROM {_table.name} '  # noqa: S608
    'WHERE instance_uuid = :instance'
)
_TELLING = ' ON CONFLICT DO NOTHING RETURNING instance_uuid, generation'


class Row(NamedTuple):
    """What is inserted; the database adds the generation."""

    instance_uuid: str
    cell_uuid: str
    project_id: str
    user_id: str | None


class Inserted(NamedTuple):
    """What is known of a statement that inserted many rows.

    :ivar generations: by instance, of rows that are new for certain.
    :ivar created_at: of those rows.
    """

    generations: dict[str, int]
    created_at: datetime.datetime


def insert_missing(session: tables.Handle, rows: Sequence[Row]) -> None:
    """Insert the instances that are not mapped, and leave the others alone.

    Waits for transactions that are inserting one of them.

    :param rows: in the order in which they are to be locked.
    """
    dialect = tables.connection(session).dialect
    session.execute(_INSERTS[dialect.name], [row._asdict() for row in rows])


def insert_many(session: tables.Handle, rows: Sequence[Row]) -> Inserted:
    """As :func:`insert_missing`, of many: in one statement, and told of.

    The statement is written here and goes to the driver as it is: to have it
    composed, and each row of it looked at, would take as long as it takes to
    run.

    :returns: the rows that are new. MySQL and MariaDB tell of all or none:
        if any instance was mapped before, none is in it. An old SQLite tells
        of none.
    """
    connection = tables.connection(session)
    now = tables.utcnow()
    values = [value for row in rows for value in row]
    text = _HEAD + _places(connection.dialect, len(rows), now)
    if connection.dialect.name in ('mysql', 'mariadb'):
        found = _insert_noting(connection, text, values, rows)
    elif connection.dialect.insert_returning:
        told = connection.exec_driver_sql(text + _TELLING, tuple(values))
        found = {row[0]: row[1] for row in told}
    else:
        insert_missing(session, rows)
        found = {}
    return Inserted(found, now)


def _insert_noting(
    connection: sa.Connection,
    text: str,
    values: Sequence[Any],
    rows: Sequence[Row],
) -> dict[str, int]:
    """One clock for all rows of a statement: so one row tells its time."""
    token = random.getrandbits(62)
    text += _NOTING.format(token)
    connection.exec_driver_sql(text, tuple(values))
    one = {'instance': rows[0].instance_uuid}
    there, generation = connection.execute(_NOTED, one).one()
    if there == token:
        return {}
    return dict.fromkeys((row.instance_uuid for row in rows), generation)


def _places(dialect: sa.Dialect, count: int, now: datetime.datetime) -> str:
    """What follows VALUES, a place for each value of a row."""
    place = '?' if dialect.paramstyle == 'qmark' else '%s'
    clock = tables.clock().compile(
        dialect=dialect, compile_kwargs={'literal_binds': True}
    )
    places = ', '.join([place] * len(Row._fields))
    row = f"({places}, {clock}, '{now:%Y-%m-%d %H:%M:%S.%f}')"
    return ', '.join([row] * count)
