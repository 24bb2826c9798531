"""Usages and reservations, as they are shown."""

from __future__ import annotations

import dataclasses
import datetime

import sqlalchemy as sa

from cellplug.db import prepared
from cellplug.db import tables
from cellplug.db.api import models
from cellplug.db.api.quota_taking import TOTAL
from cellplug.objects import quota

_usage = models.quota_usages
_reservation = models.reservations


_USAGES = prepared.Prepared(
    sa.select(
        _usage.c.resource,
        _usage.c.in_use,
        _usage.c.reserved,
        _usage.c.refresh_due,
    )
    .where(
        _usage.c.project_id == sa.bindparam('project'),
        _usage.c.user_id == sa.bindparam('owner'),
    )
    .order_by(_usage.c.resource)
)


def get_usages(
    session: tables.Handle, project_id: str, user_id: str
) -> dict[str, quota.Usage]:
    """The usages of a user, or the total, by resource."""
    rows = _USAGES.rows(session, project=project_id, owner=user_id)
    return {
        # MariaDB's booleans are numbers.
        name: quota.Usage(name, in_use, reserved, bool(due))
        for name, in_use, reserved, due in rows
    }


def get_users(session: tables.Handle, project_id: str) -> list[str]:
    """The users of a project that have a usage, sorted."""
    query = (
        sa.select(_usage.c.user_id)
        .where(_usage.c.project_id == project_id, _usage.c.user_id != TOTAL)
        .distinct()
    )
    return sorted(session.execute(query).scalars())


def get_reservations(
    session: tables.Handle, project_id: str | None, user_id: str | None
) -> list[quota.Reservation]:
    """The open reservations, the next to expire first: one query."""
    query = (
        sa.select(
            _reservation.c.uuid,
            _reservation.c.expire,
            _reservation.c.delta,
            _usage.c.project_id,
            _usage.c.user_id,
            _usage.c.resource,
        )
        .join(_usage, _usage.c.id == _reservation.c.usage_id)
        .order_by(
            _reservation.c.expire, _reservation.c.uuid, _reservation.c.id
        )
    )
    if project_id is not None:
        query = query.where(_usage.c.project_id == project_id)
    if user_id is not None:
        theirs = (
            sa.select(_reservation.c.uuid)
            .join(_usage, _usage.c.id == _reservation.c.usage_id)
            .where(_usage.c.user_id == user_id)
        )
        query = query.where(_reservation.c.uuid.in_(theirs))
    found: dict[str, _Gathered] = {}
    for handle, expire, delta, project, user, resource in session.execute(
        query
    ):
        one = found.setdefault(handle, _Gathered(project, expire))
        one.deltas[resource] = delta
        one.user_id = one.user_id or user
    return [one.reservation(handle) for handle, one in found.items()]


@dataclasses.dataclass(slots=True)
class _Gathered:
    """A reservation, while its rows are read."""

    project_id: str
    expire: int
    user_id: str = TOTAL
    deltas: dict[str, int] = dataclasses.field(default_factory=dict)

    def reservation(self, handle: str) -> quota.Reservation:
        expire = datetime.datetime.fromtimestamp(
            self.expire / 1000, datetime.UTC
        )
        return quota.Reservation(
            handle,
            self.project_id,
            self.user_id or None,
            self.deltas,
            expire.replace(tzinfo=None),
        )
