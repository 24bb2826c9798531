"""The ``noop`` quota driver: nothing is counted, everything is admitted."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import interfaces
from cellplug.interfaces import quota as contract
from cellplug.objects import quota

_Context = cellplug_context.RequestContext


class NoopQuota(interfaces.QuotaDriver):
    """Keeps no limits and no books; everything is unlimited.

    *When it is right.* Where something else limits what may be used, or
    nothing has to: a private deployment, a test. No database is needed.

    *What it does not do.* Usages are not known, limits cannot be set
    (NotSupported), and a reservation is an empty handle that ends in no way:
    it may be committed and rolled back any number of times.
    """

    capabilities: frozenset[interfaces.QuotaCapability] = frozenset()

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._host = host

    def close(self) -> None:
        """Nothing to close."""

    def get_limits(
        self,
        context: _Context,
        *,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
        resources: Collection[str] | None = None,
    ) -> dict[str, quota.Limit]:
        return {}

    def get_class_limits(
        self, context: _Context, quota_class: str
    ) -> dict[str, quota.Limit]:
        return {}

    def get_users_limits(
        self, context: _Context, project_id: str
    ) -> dict[str, dict[str, quota.Limit]]:
        return {}

    def set_limits(
        self,
        context: _Context,
        limits: Mapping[str, int | None],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        raise _not_kept()

    def set_class_limits(
        self,
        context: _Context,
        limits: Mapping[str, int | None],
        *,
        quota_class: str,
    ) -> None:
        raise _not_kept()

    def get_usages(
        self,
        context: _Context,
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> dict[str, quota.Usage]:
        return {}

    def get_users(self, context: _Context, project_id: str) -> list[str]:
        return []

    def get_reservations(
        self,
        context: _Context,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> list[quota.Reservation]:
        return []

    def reserve(
        self,
        context: _Context,
        deltas: Mapping[str, int],
        *,
        project_id: str,
        user_id: str | None,
        defaults: Mapping[str, int],
        count: contract.Count,
        expire: quota.Expire = None,
        quota_class: str | None = None,
        per_project: Collection[str] = (),
    ) -> str:
        """An empty handle, once it is clear that ``expire`` is a time."""
        try:
            quota.expiry(expire, now=self._host.clock(), default=0)
        except ValueError as exc:
            raise exception.InvalidInput('expire', str(exc)) from None
        return ''

    def commit(self, context: _Context, handle: str) -> None:
        """Nothing."""

    def rollback(self, context: _Context, handle: str) -> None:
        """Nothing."""

    def expire(self, context: _Context) -> int:
        """Nothing expires."""
        return 0

    def refresh(
        self,
        context: _Context,
        resources: Collection[str],
        *,
        project_id: str,
        user_id: str | None = None,
        count: contract.Count,
        per_project: Collection[str] = (),
    ) -> frozenset[str]:
        """Nothing is counted, and nothing stays due."""
        return frozenset()

    def reset(
        self,
        context: _Context,
        resources: Collection[str],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        """Nothing."""


def _not_kept() -> exception.NotSupported:
    return exception.NotSupported(
        'the noop quota driver keeps no limits; choose another one by '
        '[quota] driver'
    )
