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
from cellplug.objects import identifiers
from cellplug.objects import quota
from cellplug.quota import amounts
from cellplug.quota import checks
from cellplug.quota import counting
from cellplug.quota import limits as quota_limits
from cellplug.quota import resources as quota_resources
from cellplug.quota import subject

LOG = logging.getLogger(__name__)

Context = cellplug_context.RequestContext
RESERVABLE = quota_resources.ReservableResource


class QuotaEngine(checks.Checks):
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
        handle = self._driver.reserve(
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
        # Not to be done twice: ``router.run`` looks at it.
        context._request_state.act()
        return handle

    def commit(self, context: Context, handle: str) -> None:
        """Turn a reservation into use.

        :raises ReservationNotFound: if it ended before: expired, rolled back
            or committed. Where what was reserved has been made all the same,
            call :meth:`usage_reset` for its resources, project and user:
            whoever counted after the expiry may have counted too early.
        """
        self._driver.commit(context, _checked_handle(handle))
        context._request_state.act()

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
            that the reservation expired. What the block made exists; its
            usages have been marked, so that the next reservation counts them
            anew. Where that failed, it is logged.
        """
        # As it is now, whatever the block does to the context or the mapping.
        project, user = subject.of(context, project_id, user_id)
        wanted = dict(amounts.merged('deltas', deltas, more))
        handle = self.reserve(
            context,
            wanted,
            expire=expire,
            project_id=project,
            user_id=user,
        )
        try:
            yield handle
        except BaseException:
            self._give_back(context, handle)
            raise
        try:
            self.commit(context, handle)
        except exception.ReservationNotFound:
            self._have_counted(context, sorted(wanted), project, user)
            raise

    def _give_back(self, context: Context, handle: str) -> None:
        try:
            self.rollback(context, handle)
        except Exception:
            LOG.exception(
                'Rolling back reservation %s failed; it ends when it expires',
                handle,
            )

    def _have_counted(
        self,
        context: Context,
        names: list[str],
        project_id: str,
        user_id: str | None,
    ) -> None:
        """What the expiry marked may have been counted since: too early."""
        try:
            self._driver.reset(
                context, names, project_id=project_id, user_id=user_id
            )
        except Exception:
            LOG.exception(
                'What was made is missing from the usages of project %s: call '
                'usage_reset, or "quota reset", for %s',
                project_id,
                ', '.join(names),
            )

    def expire(self, context: Context) -> int:
        """End the reservations past their time; how many that were."""
        return self._driver.expire(context)

    def get_reservations(
        self,
        context: Context,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> list[quota.Reservation]:
        """The reservations that have not ended, the next to expire first.

        :param project_id: None for those of all projects.
        :param user_id: None for those of all users.
        """
        for name, value in (('project_id', project_id), ('user_id', user_id)):
            if value is not None:
                identifiers.check_id(name, value)
        return self._driver.get_reservations(
            context, project_id=project_id, user_id=user_id
        )

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
        It reads each cell's primary, also by ``reader`` without ``.primary``:
        what a replica does not know yet would be admitted twice. It joins no
        transaction of the caller's.

        :param timeout: seconds for all cells together; by default that of
            ``router.scatter_gather``.
        :returns: the sums, and the cells that did not answer.
        :raises Exception: what ``fn`` raises, unless that says that the cell
            does not answer; a note names the cell.
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
