"""Which limit is in force: what is set, else what is configured."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.interfaces import quota as interface
from cellplug.objects import quota
from cellplug.quota import amounts
from cellplug.quota import registry

Context = cellplug_context.RequestContext


class Resolution:
    """Finds limits: user, project, class, default class, configuration."""

    def __init__(
        self,
        driver: interface.QuotaDriver,
        known: registry.Registry,
    ) -> None:
        self._driver = driver
        self._known = known

    def defaults(self, names: Iterable[str]) -> dict[str, int]:
        """The limits where none is set.

        A driver that declares nothing keeps no books: with it there are none.
        """
        if not self._driver.capabilities:
            return dict.fromkeys(names, quota.UNLIMITED)
        return self._known.defaults(names)

    def of(
        self,
        context: Context,
        names: Iterable[str],
        project_id: str,
        user_id: str | None = None,
    ) -> dict[str, quota.Limit]:
        """The limit in force of each resource.

        :param user_id: None for the project's own limits.
        """
        named = list(names)
        found = self._driver.get_limits(
            context,
            project_id=project_id,
            user_id=user_id,
            quota_class=class_of(context, project_id),
            resources=named,
        )
        return self._filled(named, found)

    def of_both(
        self,
        context: Context,
        names: Iterable[str],
        project_id: str,
        user_id: str | None,
    ) -> list[dict[str, quota.Limit]]:
        """The project's limits, and where users have some, the user's too.

        One look-up, and a second one only if the user has limits that stand
        in front of the project's.
        """
        named = list(names)
        found = self.of(context, named, project_id, user_id)
        if not any(limit.source == 'user' for limit in found.values()):
            return [found]
        return [self.of(context, named, project_id), found]

    def of_class(
        self, context: Context, names: Iterable[str], quota_class: str
    ) -> dict[str, quota.Limit]:
        """The limits of projects of this class that have none of their own."""
        found = dict(self._driver.get_class_limits(context, 'default'))
        source = 'default class'
        limits = _labelled(found, source)
        if quota_class != 'default':
            own = self._driver.get_class_limits(context, quota_class)
            limits |= _labelled(own, 'class')
        return self._filled(names, limits)

    def _filled(
        self, names: Iterable[str], found: Mapping[str, quota.Limit]
    ) -> dict[str, quota.Limit]:
        named = list(names)
        defaults = self.defaults(n for n in named if n not in found)
        return {
            name: _checked(found[name])
            if name in found
            else quota.Limit(name, defaults[name])
            for name in named
        }


def class_of(context: Context, project_id: str) -> str | None:
    """The quota class of the project, as far as the context knows it.

    A context knows the class of its own project alone.
    """
    return context.quota_class if project_id == context.project_id else None


def limited(levels: Iterable[Mapping[str, quota.Limit]]) -> list[str]:
    """The resources that have a limit at some level, sorted."""
    return sorted(
        {n for limits in levels for n, one in limits.items() if one.limit >= 0}
    )


def _labelled(
    found: Mapping[str, quota.Limit], source: str
) -> dict[str, quota.Limit]:
    return {n: quota.Limit(n, one.limit, source) for n, one in found.items()}


def _checked(found: quota.Limit) -> quota.Limit:
    amounts.check_limit(f'limit of {found.resource}', found.limit)
    return found


def check_values(
    values: Mapping[str, int],
    levels: Iterable[Mapping[str, quota.Limit]],
    used: Iterable[Mapping[str, int]],
    is_over: Callable[[int, int, int], bool],
) -> None:
    """Hold values against the limits of each level, the project's and user's.

    :param levels: the limits of each level.
    :param used: what is used already, for each level.
    :param is_over: of value, limit and use, where there is a limit.
    :raises OverQuota: names all that are over at some level; its limits,
        usages and headroom are those of the level that leaves least.
    """
    overs: set[str] = set()
    tightest: dict[str, tuple[int, int, int]] = {}
    for limits, use in zip(levels, used, strict=True):
        for name, value in values.items():
            limit, taken = limits[name].limit, use.get(name, 0)
            if limit < 0:
                continue
            if is_over(value, limit, taken):
                overs.add(name)
            room = (max(0, limit - taken), limit, taken)
            tightest[name] = min(room, tightest.get(name, room))
    if overs:
        unlimited = (quota.UNLIMITED, quota.UNLIMITED, 0)
        known = {name: tightest.get(name, unlimited) for name in values}
        raise exception.OverQuota(
            overs,
            limits={name: limit for name, (_, limit, _) in known.items()},
            usages={name: taken for name, (_, _, taken) in known.items()},
            headroom={name: room for name, (room, _, _) in known.items()},
        )
