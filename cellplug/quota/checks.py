"""The part of the engine that checks and counts, and reserves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellplug import context as cellplug_context
from cellplug.objects import quota
from cellplug.quota import administration
from cellplug.quota import amounts
from cellplug.quota import counting
from cellplug.quota import limits as quota_limits
from cellplug.quota import resources as quota_resources
from cellplug.quota import subject

Context = cellplug_context.RequestContext
RESERVABLE = quota_resources.ReservableResource
ABSOLUTE = quota_resources.AbsoluteResource
COUNTABLE = quota_resources.CountableResource


class Checks(administration.Administration):
    """Holds what a request brings, or what exists, against the limits."""

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


def _is_beyond(value: int, limit: int, used: int) -> bool:
    return value > limit


def _would_be_beyond(delta: int, limit: int, used: int) -> bool:
    return delta >= 0 and used + delta > limit
