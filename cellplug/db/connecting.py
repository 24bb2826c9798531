"""What happens on each new DBAPI connection, and between its uses.

In this order: connect with bounds, set the isolation level, prove the cell's
identity; afterwards, ping at check-out what was idle for a while. All of it
hangs on public SQLAlchemy events of one engine. Three private things are
touched: the pool's pre-ping flag, which oslo.db always sets and which costs a
round trip for every transaction; with PyMySQL the flag that says whether
anybody listens to the engine, since asking costs a tenth of a read; and which
pool a connection that is checked out belongs to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from cellplug.db import mysql
from cellplug.db import settings as db_settings
from cellplug.db import sqlite
from cellplug.db import statements

ConnectionHook = Callable[[Any, Any], None]
"""Called with the engine's dialect and each new DBAPI connection."""

_GRACE = 2.0
"""Seconds the client waits longer than the server is told to work."""


def prepare(
    engine: sa.Engine,
    settings: db_settings.EngineSettings,
    *,
    autocommit: bool,
    shared: mysql.Shared,
    make_room: Callable[[], None],
    may_create: bool,
    hooks: tuple[ConnectionHook, ...] = (),
) -> None:
    """Make a fresh engine behave as the settings say.

    :param autocommit: its connections run in autocommit, for single reads.
    :param make_room: called before each new connection is opened.
    :param may_create: a missing file of sqlite's is made.
    :param hooks: run on each new connection, after the above; what one
        raises refuses the connection.
    """
    engine.hide_parameters = True
    engine.pool._pre_ping = False
    # First: a listener that connects by itself ends the event.
    sa.event.listen(engine, 'do_connect', lambda *_: make_room())
    _bound_connect(engine, settings, shared)
    if engine.dialect.name == 'sqlite' and not may_create:
        sa.event.listen(engine, 'do_connect', _existing_file)
    _set_isolation(engine, settings, autocommit)
    for hook in hooks:
        _refuse_or_pass(engine, hook)
    _ping_after_idling(engine, settings.ping_after)
    statements.watch(engine)
    if engine.dialect.driver == 'pymysql':
        _tell_of_savepoints_alone(engine)


def _tell_of_savepoints_alone(engine: sa.Engine) -> None:
    """Have events only on connections that have had a savepoint.

    What listens now is oslo.db's bookkeeping of savepoints; errors are the
    dialect's events. SQLAlchemy raises the engine's flag by itself for
    whoever comes to listen.
    """
    engine._has_events = False
    dialect: Any = engine.dialect
    do_savepoint = dialect.do_savepoint

    def do_savepoint_with_events(connection: Any, name: str) -> None:
        connection._has_events = True
        do_savepoint(connection, name)

    dialect.do_savepoint = do_savepoint_with_events


def _bound_connect(
    engine: sa.Engine,
    settings: db_settings.EngineSettings,
    shared: mysql.Shared,
) -> None:
    driver = engine.dialect.driver
    bounds = _BOUNDS.get(driver)
    if bounds is None:
        return
    bound = bounds(settings)

    def do_connect(
        dialect: Any, record: Any, cargs: Any, cparams: dict[str, Any]
    ) -> Any:
        for key, value in bound.items():
            cparams.setdefault(key, value)
        if 'read_timeout' not in bound:
            return None
        # A copy: SQLAlchemy keeps these for the next connection.
        arguments = dict(cparams)
        seconds = arguments['read_timeout']
        if isinstance(seconds, int | float) and seconds > 0:
            # The server is to give up first, and then the client.
            arguments['read_timeout'] = seconds + type(seconds)(_GRACE)
            record.info['cellplug_statement_timeout'] = seconds
        if driver == 'pymysql':
            return mysql.Connection(*cargs, shared=shared, **arguments)
        return dialect.connect(*cargs, **arguments)

    sa.event.listen(engine, 'do_connect', do_connect)
    if driver in ('psycopg', 'psycopg2'):
        _bound_postgresql(engine, settings)
    if driver in ('pymysql', 'mysqldb'):
        sa.event.listen(engine, 'connect', _bound_statements)


def _bound_statements(dbapi_connection: Any, record: Any) -> None:
    seconds = record.info.get('cellplug_statement_timeout')
    if seconds is not None:
        mysql.bound_statements(dbapi_connection, seconds)


def _existing_file(
    dialect: Any, record: Any, cargs: Any, cparams: dict[str, Any]
) -> None:
    cparams['factory'] = sqlite.ExistingConnection


def _bound_postgresql(
    engine: sa.Engine, settings: db_settings.EngineSettings
) -> None:
    """Have the server give up first, and then the client.

    psycopg2 knows no bound on a read: there, a silent server is noticed by
    TCP alone. Nor is a child of a fork kept from its connections, other than
    by the events of statements and commits.
    """
    timeout = f'-c statement_timeout={int(settings.read_timeout * 1000)}'
    connect = None
    if engine.dialect.driver == 'psycopg':
        # Imported here since psycopg is an optional dependency.
        from cellplug.db import postgresql  # noqa: PLC0415

        connect = postgresql.connection_class(
            settings.read_timeout + _GRACE
        ).connect

    def do_connect(
        dialect: Any, record: Any, cargs: Any, cparams: dict[str, Any]
    ) -> Any:
        options = cparams.get('options', '')
        if 'statement_timeout' not in options:
            cparams['options'] = f'{options} {timeout}'.strip()
        return connect(*cargs, **cparams) if connect else None

    sa.event.listen(engine, 'do_connect', do_connect)


def _pymysql_bounds(settings: db_settings.EngineSettings) -> dict[str, Any]:
    return {
        'connect_timeout': settings.connect_timeout,
        'read_timeout': settings.read_timeout,
        'write_timeout': settings.write_timeout,
    }


def _mysqldb_bounds(settings: db_settings.EngineSettings) -> dict[str, Any]:
    return {
        key: max(1, round(value))
        for key, value in _pymysql_bounds(settings).items()
    }


def _libpq_bounds(settings: db_settings.EngineSettings) -> dict[str, Any]:
    return {
        # libpq takes a connect_timeout of 1 for 2.
        'connect_timeout': max(2, round(settings.connect_timeout)),
        'tcp_user_timeout': int((settings.read_timeout + _GRACE) * 1000),
    }


def _sqlite_bounds(settings: db_settings.EngineSettings) -> dict[str, Any]:
    return {
        'timeout': settings.read_timeout,
        'factory': sqlite.Connection,
    }


_BOUNDS = {
    'pymysql': _pymysql_bounds,
    'mysqldb': _mysqldb_bounds,
    'psycopg': _libpq_bounds,
    'psycopg2': _libpq_bounds,
    'pysqlite': _sqlite_bounds,
}


_READ_ONLY = {
    'mysql': 'SET SESSION TRANSACTION READ ONLY',
    'mariadb': 'SET SESSION TRANSACTION READ ONLY',
    'postgresql': 'SET default_transaction_read_only = on',
}


def _set_isolation(
    engine: sa.Engine, settings: db_settings.EngineSettings, autocommit: bool
) -> None:
    if engine.dialect.name == 'sqlite':
        return
    level = 'AUTOCOMMIT' if autocommit else settings.isolation_level
    read_only = _READ_ONLY.get(engine.dialect.name) if autocommit else None
    if autocommit:
        # No ROLLBACK at check-in for what has nothing to roll back.
        engine.dialect.skip_autocommit_rollback = True

    def set_level(dbapi_connection: Any, record: Any) -> None:
        engine.dialect.set_isolation_level(dbapi_connection, level)  # type: ignore[arg-type]
        if read_only is not None:
            # What a single read writes would be committed at once.
            cursor = dbapi_connection.cursor()
            cursor.execute(read_only)
            cursor.close()

    sa.event.listen(engine, 'connect', set_level)


def _refuse_or_pass(engine: sa.Engine, hook: ConnectionHook) -> None:
    def check(dbapi_connection: Any, record: Any) -> None:
        try:
            hook(engine.dialect, dbapi_connection)
        except BaseException:
            dbapi_connection.close()
            raise

    sa.event.listen(engine, 'connect', check)


def _ping_after_idling(engine: sa.Engine, seconds: float) -> None:
    def checkin(dbapi_connection: Any, record: Any) -> None:
        record.info['cellplug_idle_since'] = time.monotonic()
        # Nothing idle keeps a transaction that is over, and its session.
        record.info.pop('cellplug_frame', None)
        if record.info.pop('cellplug_pool', engine.pool) is not engine.pool:
            # Its pool was replaced, and should not keep it.
            record.invalidate()

    def checkout(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        # Its own, which the engine's may have replaced a moment ago.
        record.info['cellplug_pool'] = proxy._pool
        since = record.info.get('cellplug_idle_since')
        if since is None or time.monotonic() - since < seconds:
            return
        try:
            alive = engine.dialect.do_ping(dbapi_connection)
        except engine.dialect.loaded_dbapi.Error as exc:
            raise sa.exc.DisconnectionError(str(exc)) from exc
        if not alive:
            raise sa.exc.DisconnectionError('the ping was not answered')

    sa.event.listen(engine, 'checkin', checkin)
    sa.event.listen(engine, 'checkout', checkout)
