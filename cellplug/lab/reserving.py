"""Reserve, act, commit: what a service does around a call to a worker."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from collections.abc import Mapping

import cellplug
from cellplug import exception

LOG = logging.getLogger(__name__)

WINDOW = 120
"""Seconds within which a request has ended, or never will.

Well above what a call may take: connecting, waiting for its answer, and a
worker that works on after the caller has given up. A reservation that nobody
ended expires after it, and what is half made by then stays so.
"""

_DOUBT = (
    exception.RPCTimeout,
    exception.DatabaseUnavailable,
    exception.QueueUnavailable,
)
"""What leaves open whether the worker acted, or will."""


@contextlib.contextmanager
def reserving(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    deltas: Mapping[str, int],
    *,
    project_id: str | None = None,
    user_id: str | None = None,
) -> Iterator[None]:
    """Hold the deltas while the block acts; commit when it is done.

    Where the block raised, the reservation is rolled back, unless that leaves
    in doubt whether the worker acted. Given back, what exists would be lost
    to the books; committed, what does not exist would stay in them. So it is
    left as it is: nobody can have what it holds meanwhile. It expires after
    :data:`WINDOW`, and then the truth is counted.

    :param project_id: whose quota; the context's by default, as the user.
    :raises OverQuota: before the block; nothing was reserved.
    """
    quotas = router.quotas
    handle = quotas.reserve(
        context,
        deltas,
        expire=WINDOW,
        project_id=project_id,
        user_id=user_id,
    )
    try:
        yield
    except _DOUBT:
        LOG.warning('reservation %s is left to expire: in doubt', handle)
        raise
    except Exception:
        quotas.rollback(context, handle)
        raise
    try:
        quotas.commit(context, handle)
    except exception.ReservationNotFound:
        # It took longer than the window. A count may have been too early to
        # see what was done here: the next reservation counts anew.
        LOG.warning('reservation %s expired before its commit', handle)
        quotas.usage_reset(
            context,
            sorted(deltas),
            project_id=str(project_id or context.project_id),
            user_id=user_id or context.user_id,
        )
