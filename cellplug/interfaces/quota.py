"""Who may use how much, across all cells: the quota driver's contract."""

from __future__ import annotations

import abc
import datetime
import enum
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping

from cellplug import context as cellplug_context
from cellplug.interfaces import base
from cellplug.objects import quota

Expire = int | float | datetime.timedelta | datetime.datetime | None
Context = cellplug_context.RequestContext
Count = Callable[[Collection[str]], Mapping[str, int]]
"""Counts what exists in all cells, for the resources named."""


class QuotaCapability(enum.Enum):
    """What a quota driver can do beyond answering."""

    LIMITS = 'limits'
    """Limits can be set and are kept."""

    RESERVATIONS = 'reservations'
    """Usage is tracked: a reservation holds what it reserved."""


class QuotaDriver(base.Driver):
    """Keeps limits, usages and reservations; admits or refuses.

    *Vocabulary.* A limit is an integer, -1 for unlimited. A usage is
    ``in_use + reserved``, kept for a project's total and for each of its
    users. A reservation is a set of deltas under one opaque handle, a str;
    it ends exactly once: by commit, rollback or expiry.

    *Atomicity.* :meth:`reserve` takes all its deltas or none. At no instant,
    in any process, does ``in_use + reserved`` exceed a limit that was in
    force when the last reservation was admitted, nor does either fall below
    zero. commit, rollback and expire may race on one handle: one wins.

    *Transactions.* reserve, commit, rollback, expire and refresh run in
    transactions of their own, retried where the database asks for it, and
    raise TransactionInProgress while the request has an API transaction open.
    The readers join it.

    *Blocking.* No lock is held while cells are asked. Every wait is bounded
    by the API database's timeouts.

    Resources are given by name; the engine has checked that they exist, and
    resolves limits down to the configured default.
    """

    @abc.abstractmethod
    def get_limits(
        self,
        context: Context,
        *,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
    ) -> dict[str, quota.Limit]:
        """The limits that are set, by resource; absent means the default.

        Resolution: user, project, quota class, class ``default``.
        """

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
        """The usages that are known, by resource."""

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
        expire: Expire = None,
    ) -> str:
        """Take the deltas and return a handle, or raise OverQuota.

        A negative delta is always admitted, and counts only at its commit.

        :param defaults: the limit of each resource where none is set.
        :param count: counts the truth, for usages that are missing or due.
        :param expire: seconds, a timedelta or a moment; 24 hours by default.
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
        """Roll back what is past its time; how many reservations that was."""

    @abc.abstractmethod
    def refresh(
        self,
        context: Context,
        resources: Collection[str],
        *,
        project_id: str,
        user_id: str | None = None,
        count: Count,
    ) -> None:
        """Count the truth and store it where nothing changed meanwhile."""
