"""What a reservation changes, by the limits and the time of now."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping

from cellplug import context as cellplug_context
from cellplug import db
from cellplug.objects import quota
from cellplug_drivers.quota.database import levels
from cellplug_drivers.quota.database import limits as quota_limits
from cellplug_drivers.quota.database import settings as quota_settings

_queries = db.quota_queries
_Context = cellplug_context.RequestContext

Plan = Callable[[_Context], _queries.Taking]
"""Makes what is to be reserved, for a context with a transaction open."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asked for; see :class:`.interfaces.QuotaDriver`."""

    handle: str
    deltas: Mapping[str, int]
    project_id: str
    user_id: str | None
    quota_class: str | None
    defaults: Mapping[str, int]
    per_project: Collection[str]
    expire: quota.Expire


class Planning:
    """Plans reservations."""

    def __init__(
        self, settings: quota_settings.Settings, limits: quota_limits.Limits
    ) -> None:
        self._settings = settings
        self._limits = limits

    def prepare(
        self, context: _Context, wanted: Wanted, *, look_up: bool = True
    ) -> Plan:
        """The plan of one attempt.

        To be called with no transaction open: as long as limits may stand in
        cells, those are asked here.

        :param look_up: whether the plan knows the limits. Else the statements
            that reserve look for them: it is a query less.
        """
        who = (wanted.project_id, wanted.user_id, wanted.quota_class)
        known = None
        if self._limits.may_ask_cells:
            known = self._limits.resolve(context, *who, wanted.deltas)

        def plan(own: _Context) -> _queries.Taking:
            limits = known
            if limits is None and look_up:
                limits = self._limits.resolve(own, *who)
            # Not before the counting: none shall be born expired.
            now = self._settings.now()
            return _queries.Taking(
                handle=wanted.handle,
                project_id=wanted.project_id,
                entries=_entries(wanted, limits),
                expire=self._settings.expiry(wanted.expire, now),
                now=quota_settings.moment(now),
                freshness=self._settings.freshness(now),
                looks_up=limits is None,
                quota_class=_class(wanted),
            )

        return plan


def _class(wanted: Wanted) -> str | None:
    """The class to look in beside ``default``."""
    name = wanted.quota_class
    return None if name == db.limit_queries.DEFAULT_CLASS else name


def _entries(
    wanted: Wanted, limits: levels.Resolved | None
) -> tuple[_queries.Entry, ...]:
    """What the reservation changes, in the order of locks."""
    user_id, entries = wanted.user_id, []
    of_project, of_user = (limits.project, limits.user) if limits else ({}, {})
    for resource, delta in wanted.deltas.items():
        owners = [(_queries.TOTAL, of_project)]
        if user_id is not None and resource not in wanted.per_project:
            owners.append((user_id, of_user))
        for owner, named in owners:
            limit = _limit(resource, named, wanted.defaults)
            entries.append(_queries.Entry(resource, owner, delta, limit))
    return _queries.ordered(entries)


def _limit(
    resource: str,
    named: Mapping[str, quota.Limit],
    defaults: Mapping[str, int],
) -> int:
    """The limit in force: the one that is set, else the default."""
    found = named.get(resource)
    if found is None:
        return defaults.get(resource, quota.UNLIMITED)
    return found.limit
