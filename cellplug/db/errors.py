"""A backend that is down, told from an error of the service's own."""

from __future__ import annotations

import re
from typing import Any

from oslo_db import exception as oslo_exception
from sqlalchemy import exc as sa_exc

from cellplug import exception
from cellplug.db import sources
from cellplug.db import tables
from cellplug.db.api import models

_CANCELLED = ('57014', 1969, 3024)
"""Of a statement that the server ended as it took too long: PostgreSQL's
SQLSTATE, MariaDB's number, MySQL's."""

_TIMED_OUT = re.compile('timed out|no answer within')
"""What PyMySQL and our psycopg connections say when they stop waiting."""

CONNECT_ERRORS = (
    sa_exc.DBAPIError,
    sa_exc.TimeoutError,
    oslo_exception.DBError,
    OSError,
)
"""What says, while connecting, that the database cannot be reached."""


def unavailable(
    error: BaseException,
    label: sources.Label,
    *,
    unanswered: bool,
    connected: bool = False,
) -> exception.DatabaseUnavailable | None:
    """The DatabaseUnavailable that ``error`` means, None if it means none.

    :param unanswered: whether no statement of the transaction was answered.
        One that took too long may be answered too late, and would do so
        again: that is no reason to repeat it.
    :param connected: whether the transaction still has its connection. Then
        what was lost is another database, which the service asks by itself.
    """
    if isinstance(error, exception.CellplugError):
        return None
    if not (_was_ended(error) if connected else _is_down(error)):
        return None
    return label.unavailable(
        reason(error),
        before_first_statement=unanswered and not _took_too_long(error),
    )


def api_schema_missing(error: BaseException) -> exception.SchemaMissing | None:
    """The SchemaMissing that ``error`` means, None if it means none.

    :param error: met in the API database, where a service may keep tables of
        its own; only cellplug's count.
    """
    if not isinstance(error, sa_exc.DBAPIError | oslo_exception.DBError):
        return None
    if not tables.is_missing_table(error):
        return None
    if not any(name in reason(error) for name in models.METADATA.tables):
        return None
    return exception.SchemaMissing(
        'the API database', hint='run: cellplug-manage api-db sync'
    )


def _is_down(error: BaseException) -> bool:
    if isinstance(
        error, oslo_exception.DBConnectionError | sa_exc.TimeoutError
    ):
        return True
    if isinstance(error, sa_exc.DBAPIError):
        return error.connection_invalidated or _was_cancelled(error)
    return False


def _was_ended(error: BaseException) -> bool:
    return isinstance(error, sa_exc.DBAPIError) and _was_cancelled(error)


def _took_too_long(error: BaseException) -> bool:
    inner = getattr(error, 'inner_exception', None) or error
    if isinstance(inner, sa_exc.DBAPIError) and _was_cancelled(inner):
        return True
    return bool(_TIMED_OUT.search(reason(error)))


def _was_cancelled(error: sa_exc.DBAPIError) -> bool:
    original = error.orig
    state = getattr(original, 'sqlstate', None) or getattr(
        original, 'pgcode', None
    )
    number = next(iter(getattr(original, 'args', ())), None)
    return state in _CANCELLED or number in _CANCELLED


def reason(error: BaseException) -> str:
    """What the database's driver said, in one line, without a URL.

    Drivers name host, port, user and database, and never the password.
    """
    if isinstance(error, exception.CellplugError):
        return str(error)
    inner = getattr(error, 'inner_exception', None) or error
    original = getattr(inner, 'orig', None) or inner
    if isinstance(original, sa_exc.TimeoutError):
        return 'no connection became free in time'
    arguments: tuple[Any, ...] = getattr(original, 'args', ())
    text = str(arguments[1] if len(arguments) == 2 else original)
    return ' '.join(text.split()) or type(original).__name__
