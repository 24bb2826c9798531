"""What is watched of each statement, and of each error, of an engine.

A frame is found by the ``info`` of the connection it has checked out. Of
PyMySQL's connections nothing is watched here: they see to it themselves.
"""

from __future__ import annotations

import os
import re
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from oslo_db.sqlalchemy import exc_filters

from cellplug import exception
from cellplug.db import forking
from cellplug.db import mysql

_IN_ERROR = 3
"""libpq's PQTRANS_INERROR, for psycopg and psycopg2."""

_PG_LOST = re.compile(
    r'connection to server .* failed|connection failed:|connection timeout|'
    r'server closed the connection|the connection is (lost|closed)|'
    r'connection lost|could not connect to server|terminating connection',
    re.DOTALL,
)


def watch(engine: sa.Engine) -> None:
    """Watch the statements of a fresh engine.

    Refused are those of a child of a fork on its parent's connections, and
    those of a transaction that the server has ended by itself.
    """
    if engine.dialect.driver == 'pymysql':
        _listen_before_oslo(engine, _pass_ours)
        sa.event.listen(engine, 'handle_error', _doom)
        return
    sa.event.listen(engine, 'connect', _connected)
    # Not before_cursor_execute: what that raises oslo.db wraps and logs.
    sa.event.listen(engine, 'before_execute', _asking)
    sa.event.listen(engine, 'commit', _asking)
    sa.event.listen(engine, 'after_cursor_execute', _answered)
    name = engine.dialect.name
    if name == 'sqlite':
        sa.event.listen(
            engine, 'before_cursor_execute', _begin_immediate, retval=True
        )
    if name == 'mysql':
        sa.event.listen(engine, 'handle_error', _doom)
        sa.event.listen(engine, 'rollback', _redeem)
    if name == 'postgresql':
        sa.event.listen(engine, 'handle_error', _lost_postgresql, retval=True)
        sa.event.listen(engine, 'commit', _refuse_aborted)


def _connected(dbapi_connection: Any, record: Any) -> None:
    record.info['cellplug_pid'] = os.getpid()


def _asking(connection: sa.Connection, *_: Any) -> None:
    info = connection.info
    forking.check(info.get('cellplug_pid', 0))
    frame = info.get('cellplug_frame')
    if frame is not None and frame.doomed is not None:
        raise frame.doomed


def note_answer(connection: sa.Connection, driver: Any) -> None:
    """A statement was answered that went past the events.

    :param driver: the driver's own connection.
    """
    if not isinstance(driver, mysql.Connection):
        _answered(connection)


def _answered(connection: sa.Connection, *_: Any) -> None:
    frame = connection.info.get('cellplug_frame')
    if frame is not None:
        frame.heard = True


def _listen_before_oslo(engine: sa.Engine, listener: Any) -> None:
    """See errors before oslo.db's filters, which wrap and log what is ours.

    SQLAlchemy ignores ``insert`` for this event, so theirs is put off.
    """
    filters = exc_filters.handler
    sa.event.remove(engine, 'handle_error', filters)
    sa.event.listen(engine, 'handle_error', listener)
    sa.event.listen(engine, 'handle_error', filters, retval=True)


def _pass_ours(context: sa.engine.ExceptionContext) -> None:
    """Let pass as it is what a connection of ours refused by itself."""
    error = context.original_exception
    if isinstance(error, exception.CellplugError | oslo_exception.DBError):
        raise error


def _doom(context: sa.engine.ExceptionContext) -> None:
    """Remember that the server has rolled back everything.

    The server goes on in autocommit, as it were: what comes now, after a
    caller that swallowed the error, would be half a transaction.
    """
    arguments = context.original_exception.args
    if context.connection is None or arguments[:1] == ():
        return
    if arguments[0] not in mysql.ROLLED_BACK:
        return
    error = context.chained_exception or context.sqlalchemy_exception
    driver: Any = context.connection.connection.dbapi_connection
    if isinstance(driver, mysql.Connection):
        driver.refuse(error or context.original_exception)
        return
    frame = context.connection.info.get('cellplug_frame')
    if frame is not None and frame.doomed is None:
        frame.doomed = error


def _redeem(connection: sa.Connection) -> None:
    """Let a caller begin anew that has rolled back everything itself."""
    if connection.invalidated:
        return
    frame = connection.info.get('cellplug_frame')
    if frame is not None:
        frame.doomed = None


def _refuse_aborted(connection: sa.Connection) -> None:
    """Refuse a COMMIT that PostgreSQL would answer with ROLLBACK."""
    driver: Any = connection.connection.dbapi_connection
    if hasattr(driver, 'pgconn'):
        status = driver.pgconn.transaction_status
    else:
        status = driver.info.transaction_status
    if status == _IN_ERROR:
        raise exception.TransactionAborted(
            'a statement failed and its error was swallowed, so the database '
            'would commit nothing; let the error pass, or use '
            'writer.savepoint around what may fail'
        )


def _begin_immediate(
    connection: sa.Connection,
    cursor: Any,
    statement: str,
    values: Any,
    *_: Any,
) -> tuple[str, Any]:
    """Start a writer with its lock: a later upgrade could not wait for it.

    The BEGIN is oslo.db's, whose listener cannot be preceded by another.
    """
    options = connection.get_execution_options()
    if statement == 'BEGIN' and options.get('cellplug_writer'):
        statement = 'BEGIN IMMEDIATE'
    return statement, values


def _lost_postgresql(
    context: sa.engine.ExceptionContext,
) -> BaseException | None:
    """Recognise what oslo.db's filters miss: libpq words it anew."""
    error = context.sqlalchemy_exception
    if not isinstance(error, sa.exc.OperationalError):
        return None
    if not _PG_LOST.search(str(context.original_exception)):
        return None
    context.is_disconnect = True
    ours: BaseException = oslo_exception.DBConnectionError(error)
    return ours
