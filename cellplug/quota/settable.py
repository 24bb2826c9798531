"""Between what is used and what a project leaves: limits that can be set."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.interfaces import quota as interface
from cellplug.objects import quota
from cellplug.quota import limits
from cellplug.quota import registry
from cellplug.quota import resources

Context = cellplug_context.RequestContext


class Settable:
    """Computes the ranges, from what the driver keeps."""

    def __init__(
        self,
        driver: interface.QuotaDriver,
        known: registry.Registry,
        resolution: limits.Resolution,
    ) -> None:
        self._driver = driver
        self._known = known
        self._resolution = resolution

    def ranges(
        self,
        context: Context,
        names: Iterable[str],
        project_id: str,
        user_id: str | None,
    ) -> dict[str, quota.SettableRange]:
        """The limits of a project, or of a user, that can be set.

        A project's: from the greater of what its users were promised and
        what it uses, with no end. A user's: from what the user uses to what
        the project's limit leaves beside the other users' limits.

        A limit of an absolute resource is not shared out: each request is
        held against it alone. There a user's ends at the project's.
        """
        users = self._driver.get_users_limits(context, project_id)
        usages = self._driver.get_usages(
            context, project_id=project_id, user_id=user_id
        )
        shared = {
            name: not isinstance(
                self._known.live[name], resources.AbsoluteResource
            )
            for name in names
        }
        promised = {
            name: _promised(users, name, besides=user_id) if share else 0
            for name, share in shared.items()
        }
        used = {name: _used(usages.get(name)) for name in shared}
        if user_id is None:
            return {
                name: quota.SettableRange(
                    max(used[name], promised[name]), quota.UNLIMITED
                )
                for name in shared
            }
        project = self._resolution.of(context, shared, project_id)
        return {
            name: quota.SettableRange(
                used[name], _left(project[name].limit, promised[name])
            )
            for name in shared
        }

    def check(
        self,
        context: Context,
        wanted: Mapping[str, int | None],
        project_id: str,
        user_id: str | None,
    ) -> None:
        """Refuse limits outside their ranges; what is removed has none.

        :raises LimitNotSettable: for the first of them, by name.
        """
        set_ = {n: limit for n, limit in wanted.items() if limit is not None}
        if not set_:
            return
        ranges = self.ranges(context, set_, project_id, user_id)
        for name, limit in sorted(set_.items()):
            least, greatest = ranges[name].minimum, ranges[name].maximum
            if _within(least, limit) and _within(limit, greatest):
                continue
            raise exception.LimitNotSettable(name, limit, least, greatest)


def check_kept(driver: interface.QuotaDriver) -> None:
    """Whether limits can be set at all: also asked for a dry run.

    :raises NotSupported: if the driver keeps none.
    """
    if interface.QuotaCapability.LIMITS not in driver.capabilities:
        raise exception.NotSupported(
            'the configured quota driver keeps no limits; choose another '
            'one by [quota] driver'
        )


def _within(lesser: int, greater: int) -> bool:
    """Whether the one is within the other, where -1 is without end."""
    return greater < 0 or 0 <= lesser <= greater


def _promised(
    users: Mapping[str, Mapping[str, quota.Limit]],
    name: str,
    *,
    besides: str | None,
) -> int:
    """The users' limits added up; one without end promises nothing."""
    return sum(
        max(0, own[name].limit)
        for user, own in users.items()
        if user != besides and name in own
    )


def _used(usage: quota.Usage | None) -> int:
    if usage is None:
        return 0
    return max(0, usage.in_use) + max(0, usage.reserved)


def _left(limit: int, promised: int) -> int:
    if limit < 0:
        return quota.UNLIMITED
    return max(0, limit - promised)
