"""Repeating a transaction that lost a conflict: opt-in, outermost only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from typing import ParamSpec
from typing import TypeVar

from oslo_db import api as oslo_db_api
from oslo_db import exception as oslo_exception
from sqlalchemy import exc as sa_exc

from cellplug import exception

P = ParamSpec('P')
R = TypeVar('R')

MAX_RETRIES = 10
"""How often a lost conflict is repeated before its error goes through."""

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 2
_SERIALIZATION_FAILURES = ('40001', '40P01', '55P03')
"""SQLSTATE of PostgreSQL: serialization failure, deadlock, lock wait."""


def is_conflict(error: BaseException) -> bool:
    """Whether repeating the whole transaction may succeed.

    Deadlocks (1213 is also a certification conflict of Galera, at a
    statement or at COMMIT), lock waits (1205) and changed rows (1020) reach
    us as DBDeadlock; the rest is recognised here.
    """
    if isinstance(error, oslo_exception.DBDeadlock):
        return True
    inner = getattr(error, 'inner_exception', None) or error
    if not isinstance(inner, sa_exc.DBAPIError):
        return False
    state = getattr(inner.orig, 'sqlstate', None) or getattr(
        inner.orig, 'pgcode', None
    )
    return state in _SERIALIZATION_FAILURES or (
        'database is locked' in str(inner.orig)
    )


def retrying(
    function: Callable[P, R],
    find_context: Callable[[tuple[Any, ...], dict[str, Any]], Any],
) -> Callable[P, R]:
    """The function, repeated on conflicts; see Database.retrying."""
    repeat: Any = oslo_db_api.wrap_db_retry(
        retry_interval=_FIRST_WAIT,
        max_retries=MAX_RETRIES,
        inc_retry_interval=True,
        max_retry_interval=_LONGEST_WAIT,
        jitter=True,
        retry_on_deadlock=True,
        exception_checker=is_conflict,
    )
    repeated: Callable[P, R] = repeat(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        context = find_context(args, kwargs)
        if context._request_state.open.stack:
            raise exception.TransactionInProgress(
                f'{function.__qualname__}() repeats its transaction on a '
                'conflict, so it must be the outermost; another one is open'
            )
        return repeated(*args, **kwargs)

    return wrapper
