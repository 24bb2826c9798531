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
"""How often a lost conflict is repeated, however long that takes."""

RETRY_FOR = 30.0
"""For how many seconds it is repeated, however often that is.

Ten times are enough for deadlocks. Where several primaries of a cluster write
to one row, a transaction may lose more often to those that are nearer.
"""

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 0.5
_LOST = (1213, 1205, 1020)
"""Of MySQL and MariaDB: deadlock, lock wait, a row that changed."""

_SERIALIZATION_FAILURES = ('40001', '40P01', '55P03')
"""SQLSTATE of PostgreSQL: serialization failure, deadlock, lock wait."""


def is_conflict(error: BaseException) -> bool:
    """Whether repeating the whole transaction may succeed.

    Deadlocks (1213 is also a certification conflict of Galera, at a
    statement or at COMMIT), lock waits (1205) and changed rows (1020) reach
    us as DBDeadlock, if they are worded as oslo.db expects; the rest is
    recognised here.
    """
    if isinstance(error, oslo_exception.DBDeadlock):
        return True
    inner = getattr(error, 'inner_exception', None) or error
    if not isinstance(inner, sa_exc.DBAPIError):
        return False
    state = getattr(inner.orig, 'sqlstate', None) or getattr(
        inner.orig, 'pgcode', None
    )
    if state in _SERIALIZATION_FAILURES:
        return True
    number = next(iter(getattr(inner.orig, 'args', ())), None)
    return number in _LOST or 'database is locked' in str(inner.orig)


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
                if retries >= RETRIES and took >= RETRY_FOR:
                    raise exception.TransactionConflict(
                        function.__qualname__, retries + 1, took
                    ) from exc
                LOG.debug('%s() lost a conflict', function.__qualname__)
            retries += 1
            # Anything from no wait on: who lost together must not meet again.
            sleep(random.uniform(0, wait))
            wait = min(2 * wait, _LONGEST_WAIT)

    return wrapper
