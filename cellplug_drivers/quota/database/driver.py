"""The ``database`` quota driver: exact, in the API database."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug.interfaces import quota as contract
from cellplug.objects import quota
from cellplug_drivers.quota.database import admission
from cellplug_drivers.quota.database import counting
from cellplug_drivers.quota.database import ending
from cellplug_drivers.quota.database import limits as quota_limits
from cellplug_drivers.quota.database import options as quota_options
from cellplug_drivers.quota.database import planning
from cellplug_drivers.quota.database import settings as quota_settings

_queries = db.quota_queries
_Context = cellplug_context.RequestContext
_Usages = dict[str, quota.Usage]


def _get_usages(context: _Context, project_id: str, user_id: str) -> _Usages:
    return _queries.get_usages(context.session, project_id, user_id)


def _get_users(context: _Context, project_id: str) -> list[str]:
    return _queries.get_users(context.session, project_id)


def _get_reservations(
    context: _Context, project_id: str | None, user_id: str | None
) -> list[quota.Reservation]:
    return _queries.get_reservations(context.session, project_id, user_id)


class DatabaseQuota(interfaces.QuotaDriver):
    """Keeps limits, usages and reservations in the API database.

    *When it is right.* Always: it is the default. No limit is exceeded,
    however many processes reserve at once, and none has to know of another.

    *What it costs.* To reserve: one UPDATE for each usage (a project's total
    and the user's, for each resource), which looks its limit up, and one
    INSERT. To commit or roll back: one DELETE, and an UPDATE for each usage.
    Requests of one project follow each other through its totals; those of
    different projects do not meet.

    *What a crash costs.* What the process had reserved stays reserved until
    it expires (``reservation_expire``). Then the next reservation that would
    need it ends it, if ``expire`` did not, and counts.

    *What is due and busy.* A count is exact only if no reservation was open
    while it was made, and nobody is kept waiting for that. So while some
    reservation on a usage is always open, the last count stands: what exists
    beyond the books (made by what died before its commit, or without a
    reservation) is admitted on top of the limit until a moment without one.
    The log warns of it, once in ten minutes for a project.

    *On a Galera cluster* any node will do. A transaction that lost to another
    node's is repeated, and what has to be known for sure waits until the
    node has it: before somebody is refused, or told that a reservation has
    ended. Fewer conflicts, and more throughput, come of one node for all
    writers of this database.

    *Clocks.* Times of expiry are written and read by the clocks of the
    processes' hosts: keep those together (NTP).

    *Needs* ``[api_database] connection``. While the database is down every
    method raises DatabaseUnavailable. If it was lost during a COMMIT, that
    may have succeeded: a reservation whose handle nobody got expires.
    """

    capabilities = frozenset(interfaces.QuotaCapability)

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        return quota_options.all_options()

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        own = cellplug_context.InternalContext(
            request_id=f'req-quota-{os.getpid()}'
        )
        reader = host.database.api.reader.primary.single.connection
        settings = quota_settings.Settings(options, host.clock)
        self._settings = settings
        self._database = host.database
        self._limits = quota_limits.Limits(options, host)
        self._planning = planning.Planning(settings, self._limits)
        self._counting = counting.Counting(settings, host, own)
        self._endings = ending.Endings(settings, host, own)
        self._admission = admission.Admission(
            settings, host, own, self._counting, self._endings
        )
        self._usages: Callable[..., _Usages] = reader(_get_usages)
        self._users: Callable[..., list[str]] = reader(_get_users)
        self._reservations: Callable[..., list[quota.Reservation]] = reader(
            _get_reservations
        )

    def close(self) -> None:
        """Nothing to close: the engines are the router's."""

    def get_limits(
        self,
        context: _Context,
        *,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
        resources: Collection[str] | None = None,
    ) -> dict[str, quota.Limit]:
        return self._limits.get_limits(
            context,
            project_id=project_id,
            user_id=user_id,
            quota_class=quota_class,
            resources=resources,
        )

    def get_class_limits(
        self, context: _Context, quota_class: str
    ) -> dict[str, quota.Limit]:
        return self._limits.get_class_limits(context, quota_class)

    def get_users_limits(
        self, context: _Context, project_id: str
    ) -> dict[str, dict[str, quota.Limit]]:
        return self._limits.get_users_limits(context, project_id)

    def set_limits(
        self,
        context: _Context,
        limits: Mapping[str, int | None],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        self._limits.set_limits(
            context, limits, project_id=project_id, user_id=user_id
        )

    def set_class_limits(
        self,
        context: _Context,
        limits: Mapping[str, int | None],
        *,
        quota_class: str,
    ) -> None:
        self._limits.set_class_limits(context, limits, quota_class=quota_class)

    def get_usages(
        self,
        context: _Context,
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> _Usages:
        return self._usages(context, project_id, user_id or _queries.TOTAL)

    def get_users(self, context: _Context, project_id: str) -> list[str]:
        return self._users(context, project_id)

    def get_reservations(
        self,
        context: _Context,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> list[quota.Reservation]:
        return self._reservations(context, project_id, user_id)

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
        self._refuse_inside(context)
        if not deltas:
            raise exception.InvalidInput('deltas', 'name no resource')
        self._settings.expiry(expire, self._settings.now())
        wanted = planning.Wanted(
            handle=str(uuid.uuid4()),
            deltas=deltas,
            project_id=project_id,
            user_id=user_id,
            quota_class=quota_class,
            defaults=defaults,
            per_project=per_project,
            expire=expire,
        )
        self._admission.reserve(
            functools.partial(self._planning.prepare, context, wanted), count
        )
        return wanted.handle

    def commit(self, context: _Context, handle: str) -> None:
        self._refuse_inside(context)
        self._endings.commit(handle)

    def rollback(self, context: _Context, handle: str) -> None:
        self._refuse_inside(context)
        self._endings.rollback(handle)

    def expire(self, context: _Context) -> int:
        self._refuse_inside(context)
        return self._endings.expire()

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
        self._refuse_inside(context)
        users = None if user_id is None else [_queries.TOTAL, user_id]

        def look() -> counting.States:
            found = self._counting.look(project_id, resources, users)
            return {
                (resource, user): state
                for (resource, user), state in found.items()
                if user == _queries.TOTAL or resource not in per_project
            }

        states = look()
        if self._endings.expire_on(states.values()):
            states = look()
        stored = self._counting.refresh(project_id, states, count)
        left = {key: one for key, one in states.items() if key not in stored}
        self._counting.mark_due(left)
        return frozenset(name for name, _ in left)

    def reset(
        self,
        context: _Context,
        resources: Collection[str],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        self._refuse_inside(context)
        users = None if user_id is None else [_queries.TOTAL, user_id]
        states = self._counting.look(project_id, resources, users)
        self._counting.mark_due(states)

    def _refuse_inside(self, context: _Context) -> None:
        if self._database.has_open_api_transaction(context):
            raise exception.TransactionInProgress(
                'quotas are reserved, ended and counted in transactions of '
                'their own, and this request has one open on the API '
                'database; do it before that begins, or after it has ended'
            )
