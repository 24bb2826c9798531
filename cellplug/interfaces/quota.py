"""Who may use how much, across all cells: the quota driver's contract."""

from __future__ import annotations

import abc
import enum
from collections.abc import Collection
from collections.abc import Mapping
from typing import Protocol

from cellplug import context as cellplug_context
from cellplug.interfaces import base
from cellplug.objects import quota

Context = cellplug_context.RequestContext


class Count(Protocol):
    """Counts the truth, across all cells.

    A driver calls it with no transaction open and no lock held: it may take
    as long as the slowest cell.
    """

    def __call__(
        self, resources: Collection[str], user_id: str | None, /
    ) -> quota.Counts:
        """What exists now of the project's resources.

        :param user_id: counts what is this user's; None all of the project.
        :returns: each resource, and the cells that did not answer.
        :raises CellplugError: if nothing could be counted. InvalidInput says
            that what counts is broken: no driver passes that over.
        """
        ...


class QuotaCapability(enum.Enum):
    """What a quota driver can do beyond answering."""

    LIMITS = 'limits'
    """Limits can be set and are kept."""

    RESERVATIONS = 'reservations'
    """Usage is tracked: a reservation holds what it reserved.

    Without it nothing is counted, and nothing refused: reserve returns ``''``
    (once it is clear that ``expire`` is a time), commit, rollback and reset
    do nothing, whatever the handle, expire ends none, refresh leaves nothing
    out, and no usage and no reservation is known.
    """


class QuotaDriver(base.Driver):
    """Keeps limits, usages and reservations; admits or refuses.

    *Vocabulary.* A limit is an integer, -1 for unlimited. A usage is
    ``in_use + reserved``, kept for a project's total and for each of its
    users. A reservation is a set of deltas under one opaque handle, a str;
    it ends exactly once: by commit, rollback or expiry.

    *Atomicity.* :meth:`reserve` takes all its deltas or none. At no instant,
    in any process, does ``in_use + reserved`` exceed a limit that was in
    force when the last reservation was admitted, nor does either fall below
    zero: where an end would take one there, the books were wrong; it is zero
    then, and due. commit, rollback and expire may race on one handle: one
    wins.

    *Counting.* A usage that is not known is counted when it is first needed,
    and counted anew when it is due: see :meth:`refresh`. A count is stored
    only if nothing was reserved, and no reservation was open or ended, while
    it was made: what a reservation under way has created already would be
    counted twice. So a usage on which some reservation is always open stays
    due, and the last value stands. By default a count is not stored while a
    cell did not answer, and what would need it raises CountIncomplete.

    *Transactions.* reserve, commit, rollback, expire, refresh, reset and the
    setters run in transactions of their own, retried where the database asks
    for it, and raise TransactionInProgress while the request has an API
    transaction open. The readers join it.

    *Blocking.* No lock is held while cells are asked. Every wait is bounded
    by the API database's timeouts.

    Resources are given by name; the engine has checked that they exist and
    that amounts are integers within ``objects.quota.MAX_AMOUNT``, and resolves
    limits down to the configured default.
    """

    @abc.abstractmethod
    def get_limits(
        self,
        context: Context,
        *,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
        resources: Collection[str] | None = None,
    ) -> dict[str, quota.Limit]:
        """The limits that are set, by resource; absent means the default.

        Resolution: user, project, quota class, class ``default``.

        :param resources: what the caller needs to know; None for everything.
            Others may be in the answer or not. A driver that cannot answer
            for all of them raises; it need not, where it cannot answer for
            another.
        """

    @abc.abstractmethod
    def get_class_limits(
        self, context: Context, quota_class: str
    ) -> dict[str, quota.Limit]:
        """The limits that this very class sets, by resource."""

    @abc.abstractmethod
    def get_users_limits(
        self, context: Context, project_id: str
    ) -> dict[str, dict[str, quota.Limit]]:
        """The limits that users of a project have of their own, by user."""

    @abc.abstractmethod
    def set_limits(
        self,
        context: Context,
        limits: Mapping[str, int | None],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        """Set limits; None removes one, and it does not rise again.

        All of them, or none if it raises.

        :raises NotSupported: without the capability LIMITS.
        """

    @abc.abstractmethod
    def set_class_limits(
        self,
        context: Context,
        limits: Mapping[str, int | None],
        *,
        quota_class: str,
    ) -> None:
        """Set the limits of a quota class; None removes one.

        :raises NotSupported: without the capability LIMITS.
        """

    @abc.abstractmethod
    def get_usages(
        self,
        context: Context,
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> dict[str, quota.Usage]:
        """The usages that are known, by resource.

        :param user_id: None for the project's total.
        """

    @abc.abstractmethod
    def get_users(self, context: Context, project_id: str) -> list[str]:
        """The users of a project whose usages are known, sorted."""

    @abc.abstractmethod
    def get_reservations(
        self,
        context: Context,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> list[quota.Reservation]:
        """The reservations that have not ended, the next to expire first.

        :param project_id: None for those of all projects.
        :param user_id: None for those of all users.
        """

    @abc.abstractmethod
    def reserve(
        self,
        context: Context,
        deltas: Mapping[str, int],
        *,
        project_id: str,
        user_id: str | None,
        defaults: Mapping[str, int],
        count: Count,
        expire: quota.Expire = None,
        quota_class: str | None = None,
        per_project: Collection[str] = (),
    ) -> str:
        """Take the deltas and return a handle, or raise OverQuota.

        A delta is over where it is not negative, the limit is not either,
        and ``in_use + reserved + delta`` is beyond it: for the project's
        total, and for the user's own usage under the user's limit. A negative
        delta is always admitted, and counts only at its commit.

        :param user_id: None reserves for the project's total alone.
        :param defaults: the limit of each resource where none is set.
        :param count: counts the truth, for usages that are missing or due.
        :param expire: when the reservation ends by itself, as
            ``objects.quota.expiry`` takes it, from the moment on at which it
            is taken; in 24 hours by default.
        :param quota_class: the project's, for its limits.
        :param per_project: the resources that have no usage of users.
        :raises OverQuota: names every resource that is over; nothing was
            reserved. What was counted on the way is kept.
        :raises InvalidInput: if ``expire`` is no time in the future; nothing
            was reserved.
        :raises CountIncomplete: if a usage had to be counted, and a cell did
            not answer.
        """

    @abc.abstractmethod
    def commit(self, context: Context, handle: str) -> None:
        """Turn the reservation into use.

        :raises ReservationNotFound: if it ended before: expired, rolled back
            or committed.
        """

    @abc.abstractmethod
    def rollback(self, context: Context, handle: str) -> None:
        """Give back what was reserved. A handle that ended is ignored."""

    @abc.abstractmethod
    def expire(self, context: Context) -> int:
        """Roll back what is past its time; how many reservations that was.

        Their usages are due from then on: what they were for may exist. One
        that cannot be ended hides no other.

        :raises CellplugError: at the end, if one could not be ended: what the
            first one raised.
        """

    @abc.abstractmethod
    def refresh(
        self,
        context: Context,
        resources: Collection[str],
        *,
        project_id: str,
        user_id: str | None = None,
        count: Count,
        per_project: Collection[str] = (),
    ) -> frozenset[str]:
        """Count the truth and store it where nothing changed meanwhile.

        The project's total and the user's usage, as far as they are known;
        of resources in ``per_project``, the total alone.

        :param user_id: None refreshes all users that have a usage.
        :returns: the resources of which a count was not stored, as something
            was reserved meanwhile; they are due from then on.
        :raises CountIncomplete: if a cell did not answer; nothing was stored.
        """

    @abc.abstractmethod
    def reset(
        self,
        context: Context,
        resources: Collection[str],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        """Have the next reservation count these usages anew.

        :param user_id: None for the total and all users.
        """
