"""The quota engine: what services call as ``router.quotas``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.interfaces import quota as interface
from cellplug.objects import quota
from cellplug.quota import administration
from cellplug.quota import amounts
from cellplug.quota import counting
from cellplug.quota import limits as quota_limits
from cellplug.quota import resources as quota_resources
from cellplug.quota import subject

LOG = logging.getLogger(__name__)

Context = cellplug_context.RequestContext
RESERVABLE = quota_resources.ReservableResource
ABSOLUTE = quota_resources.AbsoluteResource
COUNTABLE = quota_resources.CountableResource


class QuotaEngine(administration.Administration):
    """Admits requests, or refuses them; the limits hold across all cells.

    A service registers its resources, and for each request reserves what it
    is going to make, makes it, and commits; or rolls back. What is reserved
    counts like what is in use: so no two requests get the last place.

    Project and user are the context's, where a call names none. For another
    project than the context's no user is assumed: its total alone counts.

    Safe for any number of threads, and in a child after a fork.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        driver: interface.QuotaDriver,
        *,
        scatter: counting.Scatter,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(conf, driver)
        self._scatter = scatter
        self._clock = clock

    # -- reservations ------------------------------------------------------

    def reserve(
        self,
        context: Context,
        deltas: Mapping[str, int] | None = None,
        /,
        *,
        expire: quota.Expire = None,
        project_id: str | None = None,
        user_id: str | None = None,
        **more: int,
    ) -> str:
        """Reserve all the deltas, or none of them.

        :param deltas: units by resource. A negative one gives back, when it
            is committed, and is always admitted.
        :param expire: when the reservation ends by itself: seconds or a
            timedelta from now, or a moment (UTC, if it has no zone); by
            default what the driver is configured for, 24 hours.
        :returns: an opaque handle, which anybody may commit or roll back; it
            may travel in JSON and RPC.
        :raises OverQuota: says what is over, and how much could be had.
        :raises InvalidInput: for what is no amount or time; nothing was
            reserved. QuotaResourceUnknown and QuotaResourceWrongKind name
            all names that cannot be.
        :raises CountIncomplete: if a usage had to be counted, and a cell did
            not answer.
        :raises TransactionInProgress: while this request has a transaction
            open on the API database.
        """
        project_id, user_id = subject.of(context, project_id, user_id)
        wanted = amounts.merged('deltas', deltas, more)
        self._known.check(wanted, RESERVABLE)
        for name, delta in wanted.items():
            amounts.check_delta(name, delta)
        try:
            quota.expiry(expire, now=self._clock(), default=0)
        except ValueError as exc:
            raise exception.InvalidInput('expire', str(exc)) from None
        return self._driver.reserve(
            context,
            wanted,
            project_id=project_id,
            user_id=user_id,
            defaults=self._limits.defaults(wanted),
            count=counting.Counter(self._known.live, context, project_id),
            expire=expire,
            quota_class=quota_limits.class_of(context, project_id),
            per_project=self._known.per_project(wanted),
        )

    def commit(self, context: Context, handle: str) -> None:
        """Turn a reservation into use.

        :raises ReservationNotFound: if it ended before: expired, rolled back
            or committed.
        """
        self._driver.commit(context, _checked_handle(handle))

    def rollback(self, context: Context, handle: str) -> None:
        """Give back what was reserved; one that ended before is ignored."""
        self._driver.rollback(context, _checked_handle(handle))

    @contextlib.contextmanager
    def reserving(
        self,
        context: Context,
        deltas: Mapping[str, int] | None = None,
        /,
        *,
        expire: quota.Expire = None,
        project_id: str | None = None,
        user_id: str | None = None,
        **more: int,
    ) -> Iterator[str]:
        """A block that reserves, commits at its end, rolls back if it raises.

        It yields the handle, which the block leaves alone. A rollback that
        fails is logged, and what the block raised goes on; the reservation
        then ends when it expires.

        :raises ReservationNotFound: at the end of a block that took so long
            that the reservation expired. What the block made exists; the
            usage is counted anew before the next reservation.
        """
        handle = self.reserve(
            context,
            deltas,
            expire=expire,
            project_id=project_id,
            user_id=user_id,
            **more,
        )
        try:
            yield handle
        except BaseException:
            self._give_back(context, handle)
            raise
        self.commit(context, handle)

    def _give_back(self, context: Context, handle: str) -> None:
        try:
            self.rollback(context, handle)
        except Exception:
            LOG.exception(
                'Rolling back reservation %s failed; it ends when it expires',
                handle,
            )

    # -- checks ------------------------------------------------------------

    def limit_check(
        self,
        context: Context,
        values: Mapping[str, int] | None = None,
        /,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
        **more: int,
    ) -> None:
        """Hold values against the project's and the user's limits.

        The values alone: what is in use is not looked at. For absolute
        resources; of a reservable one, it tells whether so much could ever
        be reserved.

        :raises OverQuota: if a limit is below its value; its headroom is the
            limit.
        :raises InvalidInput: for a value that is negative or no integer.
        """
        project_id, user_id = subject.of(context, project_id, user_id)
        wanted = amounts.merged('values', values, more)
        self._known.check(wanted, ABSOLUTE, RESERVABLE)
        for name, value in wanted.items():
            amounts.check_value(name, value)
        levels = self._levels(context, wanted, project_id, user_id)
        quota_limits.check_values(
            wanted, levels, [{}] * len(levels), _is_beyond
        )

    def count(
        self,
        context: Context,
        resource: str,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> int:
        """What exists now, counted; of all the project without a ``user_id``.

        :raises CountIncomplete: if a cell did not answer.
        """
        self._known.check([resource], COUNTABLE, RESERVABLE)
        project_id, _ = subject.of(context, project_id, None)
        _, user_id = subject.checked(project_id, user_id)
        count = counting.Counter(self._known.live, context, project_id)
        return counting.complete(count, [resource], user_id)[resource]

    def count_check(
        self,
        context: Context,
        deltas: Mapping[str, int] | None = None,
        /,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
        **more: int,
    ) -> None:
        """Whether so much more of countable resources may be made.

        They are counted now: for the project, and for the user where the
        user has limits. Nothing is reserved; two requests may both pass.

        :raises OverQuota: if what exists and the delta are beyond a limit. A
            negative delta is never over.
        :raises CountIncomplete: if a cell did not answer.
        """
        project_id, user_id = subject.of(context, project_id, user_id)
        wanted = amounts.merged('deltas', deltas, more)
        self._known.check(wanted, COUNTABLE)
        for name, delta in wanted.items():
            amounts.check_delta(name, delta)
        levels = self._levels(context, wanted, project_id, user_id)
        limited = quota_limits.limited(levels)
        count = counting.Counter(self._known.live, context, project_id)
        used = [
            counting.complete(count, limited, user)
            for user in (None, user_id)[: len(levels)]
        ]
        quota_limits.check_values(wanted, levels, used, _would_be_beyond)

    def _levels(
        self,
        context: Context,
        names: Mapping[str, Any],
        project_id: str,
        user_id: str | None,
    ) -> list[dict[str, quota.Limit]]:
        return self._limits.of_both(context, names, project_id, user_id)

    # -- counting ----------------------------------------------------------

    def count_in_cells(
        self,
        context: Context,
        fn: Callable[..., Mapping[str, int]],
        *args: Any,
        timeout: float | None = None,
        skip_cell0: bool = False,
    ) -> quota.Counts:
        """Add up what ``fn(cctxt, *args)`` counts in each cell.

        What a resource's ``sync`` calls: ``fn`` returns counts by resource.

        :param timeout: seconds for all cells together; by default that of
            ``router.scatter_gather``.
        :returns: the sums, and the cells that did not answer.
        """
        outcomes = self._scatter(
            context, fn, *args, timeout=timeout, skip_cell0=skip_cell0
        )
        return counting.summed(outcomes)


def _checked_handle(handle: Any) -> str:
    if not isinstance(handle, str):
        raise exception.InvalidInput(
            'handle', f'{type(handle).__name__} is no handle of a reservation'
        )
    return handle


def _is_beyond(value: int, limit: int, used: int) -> bool:
    return value > limit


def _would_be_beyond(delta: int, limit: int, used: int) -> bool:
    return delta >= 0 and used + delta > limit
