"""Repeating a transaction that lost a conflict: opt-in, outermost only."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable
from typing import Any
from typing import ParamSpec
from typing import TypeVar

from oslo_db import exception as oslo_exception
from sqlalchemy import exc as sa_exc

from cellplug import exception

LOG = logging.getLogger(__name__)

P = ParamSpec('P')
R = TypeVar('R')

RETRIES = 10
"""How often a lost conflict is repeated, however long that takes.

Not a lock wait: it has waited already, for as long as the database lets it
(MariaDB: 50 s by default), and ten more would be minutes.
"""

RETRY_FOR = 30.0
"""For how many seconds anything is repeated, however often that is.

Ten times are enough for deadlocks. Where several primaries of a cluster write
to one row, a transaction may lose more often to those that are nearer.
"""

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 0.5
_LOST = (1213, 1020)
"""Of MySQL and MariaDB: deadlock, a row that changed."""

_SERIALIZATION_FAILURES = ('40001', '40P01')
"""SQLSTATE of PostgreSQL: serialization failure, deadlock."""

_LOCK_WAITS = (1205, '55P03')
"""Number of MySQL and MariaDB, SQLSTATE of PostgreSQL."""

_SQLITE_LOCK_WAIT = 'database is locked'


def is_conflict(error: BaseException) -> bool:
    """Whether repeating the whole transaction may succeed.

    Deadlocks (1213 is also a certification conflict of Galera, at a
    statement or at COMMIT), lock waits (1205) and changed rows (1020) reach
    us as DBDeadlock, if they are worded as oslo.db expects; the rest is
    recognised here.
    """
    if isinstance(error, oslo_exception.DBDeadlock) or has_waited(error):
        return True
    state, number, _ = _said(error)
    return state in _SERIALIZATION_FAILURES or number in _LOST


def has_waited(error: BaseException) -> bool:
    """Whether it is a conflict of a kind that has taken its time: a lock wait.

    Who holds the lock may be frozen, or idle in its transaction.
    """
    state, number, words = _said(error)
    return (
        state in _LOCK_WAITS
        or number in _LOCK_WAITS
        or _SQLITE_LOCK_WAIT in words
    )


def _said(error: BaseException) -> tuple[Any, Any, str]:
    """What the database said: SQLSTATE, the first argument, the words."""
    inner = getattr(error, 'inner_exception', None) or error
    if not isinstance(inner, sa_exc.DBAPIError):
        return None, None, ''
    orig = inner.orig
    state = getattr(orig, 'sqlstate', None) or getattr(orig, 'pgcode', None)
    number = next(iter(getattr(orig, 'args', ())), None)
    return state, number, str(orig)


def retrying(
    function: Callable[P, R],
    find_context: Callable[[tuple[Any, ...], dict[str, Any]], Any],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[P, R]:
    """The function, repeated on conflicts; see Database.retrying."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        context = find_context(args, kwargs)
        if context._request_state.open.stack:
            raise exception.TransactionInProgress(
                f'{function.__qualname__}() repeats its transaction on a '
                'conflict, so it must be the outermost; another one is open'
            )
        began = clock()
        wait, retries = _FIRST_WAIT, 0
        while True:
            try:
                return function(*args, **kwargs)
            except Exception as exc:
                if not is_conflict(exc):
                    raise
                took = clock() - began
                enough = retries >= RETRIES or has_waited(exc)
                if enough and took >= RETRY_FOR:
                    raise exception.TransactionConflict(
                        function.__qualname__, retries + 1, took
                    ) from exc
                LOG.debug('%s() lost a conflict', function.__qualname__)
            retries += 1
            # Anything from no wait on: who lost together must not meet again.
            sleep(random.uniform(0, wait))
            wait = min(2 * wait, _LONGEST_WAIT)

    return wrapper
