"""The example service's quotas: what can be limited, and how it is counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug.lab import database
from cellplug.lab import flavors
from cellplug.lab import people
from cellplug.objects import quota

RESOURCES = ('instances', 'cores', 'memory_mb')
"""Everything that is limited, in the order in which it is shown."""


def resources(
    router: cellplug.CellRouter,
) -> list[cellplug.ReservableResource]:
    """What can be limited; all of it is counted by one look at each cell.

    It counts by the router's Database, which need not be the service's own:
    cellplug-manage counts too.
    """

    def in_a_cell(
        cctxt: cellplug.RequestContext, project_id: str, user_id: str | None
    ) -> dict[str, int]:
        # What a replica has not seen yet would be admitted once more.
        with router.database.reader.primary.using(cctxt) as session:
            return database.usage(session, project_id, user_id)

    def count(
        context: cellplug.RequestContext, project_id: str, user_id: str | None
    ) -> quota.Counts:
        return router.quotas.count_in_cells(
            context, in_a_cell, project_id, user_id
        )

    return [
        cellplug.ReservableResource(name, sync=count) for name in RESOURCES
    ]


def has_limits(router: cellplug.CellRouter) -> bool:
    """Whether anything can be refused: not with the driver ``noop``."""
    wanted = {
        interfaces.QuotaCapability.LIMITS,
        interfaces.QuotaCapability.RESERVATIONS,
    }
    return wanted <= router.quotas.driver.capabilities


def total(several: Iterable[flavors.Flavor]) -> dict[str, int]:
    """What instances of these flavors use together."""
    used = dict.fromkeys(RESOURCES, 0)
    for flavor in several:
        for resource, amount in flavor.amounts().items():
            used[resource] += amount
    return used


def make_room(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    room: Mapping[str, int],
    instances_of: Mapping[str, int],
) -> None:
    """Set the limits of the lab's project to what is used and some room.

    :param room: by resource, for all users together.
    :param instances_of: how many of the instances each user may make.
    """
    used: dict[tuple[str, str], int] = {
        (row.user, row.resource): row.usage.in_use
        for row in rows(router, context, instances_of)
    }
    # First what users were promised by a former run is taken back: the
    # project's limit cannot be below that.
    for user in people.USERS:
        _set(router, context, dict.fromkeys(RESOURCES), user)
    _set(router, context, {n: used['', n] + room[n] for n in room})
    for user, instances in instances_of.items():
        limit = used[user, 'instances'] + instances
        _set(router, context, {'instances': limit}, user)


def make_room_for(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    instances: int,
) -> list[Row]:
    """Set limits for so many instances more, of any flavor but large ones.

    :returns: the limits in force; none without quotas.
    """
    if not has_limits(router):
        return []
    room = {
        'instances': instances,
        'cores': instances * 2,
        'memory_mb': instances * 2048,
    }
    make_room(router, context, room, {people.GUEST: instances // 3})
    return rows(router, context, people.USERS)


def _set(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    limits: Mapping[str, int | None],
    user: str | None = None,
) -> None:
    router.quotas.set_limits(
        context, limits, project_id=people.PROJECT, user_id=user
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Over:
    """A limit that refused something; all in units of the resource.

    :ivar used: in use and reserved.
    :ivar free: what could still have been had.
    """

    resource: str
    limit: int
    used: int
    free: int


def overs(error: exception.OverQuota) -> list[Over]:
    """What an answer over quota says, in the order of :data:`RESOURCES`."""
    return [
        Over(
            name,
            error.limits[name],
            error.usages[name],
            error.headroom[name],
        )
        for name in RESOURCES
        if name in error.overs
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A resource's limit and usage.

    :ivar user: '' for the project's total.
    :ivar free: what can still be had, of a user the lesser of what the user
        and the project may; None for no limit.
    """

    user: str
    resource: str
    usage: quota.QuotaUsage
    free: int | None


def rows(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    users: Iterable[str],
) -> list[Row]:
    """The limits and usages of the lab's project and of its users."""
    quotas = router.quotas
    project = quotas.get_project_quotas(context, people.PROJECT)
    found = {'': project}
    for user in users:
        found[user] = quotas.get_user_quotas(context, people.PROJECT, user)
    return [
        Row(user, name, usages[name], _free(usages[name], project[name]))
        for user, usages in found.items()
        for name in RESOURCES
    ]


def _free(usage: quota.QuotaUsage, project: quota.QuotaUsage) -> int | None:
    limited = [one.free for one in (usage, project) if one.free is not None]
    return min(limited, default=None)
