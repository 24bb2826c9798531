"""One process at a time changes a schema.

Every wait has a bound. Nothing that is held or changed for the time being
outlives the call: it belongs to a transaction, or to a connection that is
closed if it cannot be put back as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

from cellplug import exception

PATIENCE = 60.0
"""Seconds that a process waits for another one's migration."""

_METADATA_PATIENCE = 15
"""Seconds that MariaDB waits for a table in use; its default is a day."""

_POLL = 0.1


@contextlib.contextmanager
def exclusive(
    connection: sa.Connection, name: str, patience: float | None = None
) -> Iterator[None]:
    """A transaction in which this process alone changes a schema.

    :param connection: has no transaction open.
    :param name: the schema's, for the lock and for messages.
    :param patience: seconds to wait; :data:`PATIENCE` by default.
    :raises DatabaseUnavailable: if others take longer.
    """
    locks = {
        'mysql': _mysql,
        'mariadb': _mysql,
        'postgresql': _postgresql,
        'sqlite': _sqlite,
    }
    lock = locks[connection.dialect.name]
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    with lock(connection, name, deadline):
        yield


def _gave_up(name: str) -> exception.DatabaseUnavailable:
    return exception.DatabaseUnavailable(
        f'the {name}', 'another process is still changing its schema'
    )


def _wait(attempt: Callable[[], bool], name: str, deadline: float) -> None:
    while not attempt():
        if time.monotonic() >= deadline:
            raise _gave_up(name)
        time.sleep(_POLL)


@contextlib.contextmanager
def _mysql(
    connection: sa.Connection, name: str, deadline: float
) -> Iterator[None]:
    """GET_LOCK: it belongs to the connection and outlives implicit commits.

    The server knows it by name for all databases, so the database is part of
    the name. Short waits, repeated, stay below any read timeout.
    """
    database = connection.scalar(sa.text('SELECT DATABASE()'))
    digest = hashlib.sha256(f'{name}:{database}'.encode()).hexdigest()
    key = {'key': f'cellplug:{digest[:40]}'}
    get = sa.text('SELECT GET_LOCK(:key, 1)')
    try:
        _wait(lambda: bool(connection.scalar(get, key)), name, deadline)
        before = connection.scalar(sa.text('SELECT @@lock_wait_timeout'))
        _set_wait(connection, _METADATA_PATIENCE)
        with connection.begin():
            yield
        _set_wait(connection, int(before))
        connection.execute(sa.text('SELECT RELEASE_LOCK(:key)'), key)
        connection.commit()
    except BaseException:
        # Closing it is what surely frees the lock and forgets the timeout.
        connection.invalidate()
        raise


def _set_wait(connection: sa.Connection, seconds: int) -> None:
    connection.execute(
        sa.text('SET SESSION lock_wait_timeout = :seconds'),
        {'seconds': seconds},
    )
    connection.commit()


@contextlib.contextmanager
def _postgresql(
    connection: sa.Connection, name: str, deadline: float
) -> Iterator[None]:
    """An advisory lock that ends with the transaction; its own per database.

    READ COMMITTED, whatever the engine's default (autocommit would lose the
    lock): what another process committed while this one waited has to be
    seen.
    """
    digest = hashlib.sha256(f'cellplug:{name}'.encode()).digest()
    key = {'key': int.from_bytes(digest[:8], 'big', signed=True)}
    get = sa.text('SELECT pg_try_advisory_xact_lock(:key)')
    connection.execution_options(isolation_level='READ COMMITTED')
    with connection.begin():
        _wait(lambda: bool(connection.scalar(get, key)), name, deadline)
        yield


@contextlib.contextmanager
def _sqlite(
    connection: sa.Connection, name: str, deadline: float
) -> Iterator[None]:
    """BEGIN IMMEDIATE, whatever the engine begins transactions with."""

    def begin() -> bool:
        try:
            connection.exec_driver_sql('BEGIN IMMEDIATE')
        except (sa.exc.OperationalError, oslo_exception.DBError) as exc:
            if 'locked' not in str(exc):
                raise
            return False
        return True

    with connection.begin():
        raw = connection.connection.dbapi_connection
        if getattr(raw, 'in_transaction', False):
            # The engine's own BEGIN; nothing was done in it yet.
            connection.exec_driver_sql('ROLLBACK')
        _wait(begin, name, deadline)
        yield
