"""The example service's quotas: what can be limited, and how it is counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug.lab import database
from cellplug.lab import flavors
from cellplug.lab import people
from cellplug.objects import quota

RESOURCES = ('instances', 'cores', 'memory_mb')
"""Everything that is limited, in the order in which it is shown."""


def register(router: cellplug.CellRouter) -> None:
    """Make the service's resources known to the router's quotas."""
    quotas = router.quotas

    def count(
        context: cellplug.RequestContext, project_id: str, user_id: str | None
    ) -> quota.Counts:
        return quotas.count_in_cells(
            context, database.instance_usage, project_id, user_id
        )

    quotas.register_resources(
        cellplug.ReservableResource(name, sync=count) for name in RESOURCES
    )


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
    """

    user: str
    resource: str
    usage: quota.QuotaUsage


def rows(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    users: Iterable[str],
) -> list[Row]:
    """The limits and usages of the lab's project and of its users."""
    quotas = router.quotas
    found: list[tuple[str, dict[str, Any]]] = [
        ('', quotas.get_project_quotas(context, people.PROJECT))
    ]
    found += [
        (user, quotas.get_user_quotas(context, people.PROJECT, user))
        for user in users
    ]
    return [
        Row(user, name, usages[name])
        for user, usages in found
        for name in RESOURCES
    ]
