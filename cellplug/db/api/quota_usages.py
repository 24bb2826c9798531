"""Usages and reservations in the API database: looked at, counted, changed.

Reserving is in :mod:`.quota_taking`, with the order of locks, ending in
:mod:`.quota_ending`.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from cellplug.db import tables
from cellplug.db.api import models
from cellplug.db.api.catching_up import catch_up
from cellplug.db.api.quota_ending import end
from cellplug.db.api.quota_ending import Ending
from cellplug.db.api.quota_ending import Late
from cellplug.db.api.quota_ending import late
from cellplug.db.api.quota_ending import NotBoth
from cellplug.db.api.quota_ending import usages_of
from cellplug.db.api.quota_listing import get_reservations
from cellplug.db.api.quota_listing import get_usages
from cellplug.db.api.quota_listing import get_users
from cellplug.db.api.quota_taking import Entry
from cellplug.db.api.quota_taking import Freshness
from cellplug.db.api.quota_taking import ordered
from cellplug.db.api.quota_taking import take
from cellplug.db.api.quota_taking import Taking
from cellplug.db.api.quota_taking import TOTAL

__all__ = [
    'Ending',
    'NotBoth',
    'Entry',
    'Freshness',
    'Late',
    'State',
    'TOTAL',
    'Taking',
    'catch_up',
    'create',
    'end',
    'get_reservations',
    'get_usages',
    'get_users',
    'late',
    'lock',
    'look',
    'mark_due',
    'ordered',
    'store',
    'take',
    'usages_of',
]

_usage = models.quota_usages
_reservation = models.reservations

Key = tuple[str, str]
"""A resource, and a user or :data:`TOTAL`: sorted, the order of locks."""


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """A usage at one instant.

    :ivar first_expire: when the first of its open reservations ends by
        itself, in milliseconds since 1970; None if none is open.
    """

    id: int
    in_use: int
    reserved: int
    version: int
    refresh_due: bool
    until_refresh: int | None
    refreshed_at: datetime.datetime | None
    first_expire: int | None

    @property
    def used(self) -> int:
        """What counts under the limit."""
        return self.in_use + self.reserved

    def is_due(self, freshness: Freshness) -> bool:
        """Whether it is to be counted anew; :func:`take` asks the same."""
        until, left = freshness.until_refresh, self.until_refresh
        return (
            self.refresh_due
            or self.in_use < 0
            or bool(until and left is not None and left <= 0)
            or not freshness.is_recent(self.refreshed_at)
        )

    def is_late(self, now: int) -> bool:
        """Whether one of its open reservations is past its time.

        :param now: milliseconds since 1970.
        """
        return self.first_expire is not None and self.first_expire <= now


_COLUMNS = (
    _usage.c.resource,
    _usage.c.user_id,
    _usage.c.id,
    _usage.c.in_use,
    _usage.c.reserved,
    _usage.c.version,
    _usage.c.refresh_due,
    _usage.c.until_refresh,
    _usage.c.refreshed_at,
)
_FIRST_EXPIRE = (
    sa.select(sa.func.min(_reservation.c.expire))
    .where(_reservation.c.usage_id == _usage.c.id)
    .scalar_subquery()
)
_LOOK = sa.select(*_COLUMNS, _FIRST_EXPIRE).where(
    _usage.c.project_id == sa.bindparam('project'),
    _usage.c.resource.in_(sa.bindparam('names', expanding=True)),
)
_LOOK_AT_USERS = _LOOK.where(
    _usage.c.user_id.in_(sa.bindparam('users', expanding=True))
)
_LOCK = (
    sa.select(_usage.c.in_use, _usage.c.reserved)
    .where(
        _usage.c.project_id == sa.bindparam('project'),
        _usage.c.user_id == sa.bindparam('owner'),
        _usage.c.resource == sa.bindparam('name'),
    )
    .with_for_update()
)


def look(
    session: tables.Handle,
    project_id: str,
    resources: Collection[str],
    users: Collection[str] | None,
) -> dict[Key, State]:
    """These usages, and whether reservations are open on them.

    One statement, hence one instant: a reservation that is not seen here as
    open has ended, or will raise the version that is.

    :param users: None for all, the total among them.
    """
    values: dict[str, Any] = {'project': project_id, 'names': list(resources)}
    query = _LOOK
    if users is not None:
        query, values['users'] = _LOOK_AT_USERS, list(users)
    rows: Any = session.execute(query, values)
    return {(row[0], row[1]): State(*row[2:]) for row in rows}


def lock(
    session: tables.Handle, project_id: str, keys: Iterable[Key]
) -> dict[Key, int]:
    """Lock these usages; what counts under the limit of each.

    :param keys: in the order of locks; those that are not there are left out.
    """
    found = {}
    for resource, user_id in keys:
        values = {'project': project_id, 'owner': user_id, 'name': resource}
        row = session.execute(_LOCK, values).first()
        if row is not None:
            found[resource, user_id] = row[0] + row[1]
    return found


_CREATE = tables.insert_absent(_usage, _usage.c.id)


def create(
    session: tables.Handle,
    project_id: str,
    counted: dict[Key, int],
    *,
    partial: Collection[Key],
    until_refresh: int,
    now: datetime.datetime,
) -> None:
    """Make usages where there are none; leave those alone that are there.

    Whoever came first had counted before any reservation could be made.

    :param partial: those that are due, as a cell did not answer.
    :param until_refresh: 0 for none.
    """
    rows = [
        {
            'project_id': project_id,
            'resource': key[0],
            'user_id': key[1],
            'in_use': in_use,
            'reserved': 0,
            'until_refresh': until_refresh or None,
            'refreshed_at': now,
            'refresh_due': key in partial,
            'version': 0,
        }
        for key, in_use in sorted(counted.items())
    ]
    dialect = tables.connection(session).dialect.name
    session.execute(_CREATE[dialect], rows)


_STORE = (
    sa.update(_usage)
    .where(
        _usage.c.id == sa.bindparam('usage'),
        _usage.c.version == sa.bindparam('seen'),
    )
    .values(
        in_use=sa.bindparam('counted'),
        refresh_due=sa.bindparam('due'),
        refreshed_at=sa.bindparam('at'),
        until_refresh=sa.bindparam('until'),
        version=_usage.c.version + 1,
    )
)


def store(
    session: tables.Handle,
    state: State,
    in_use: int,
    *,
    partial: bool,
    until_refresh: int,
    now: datetime.datetime,
) -> bool:
    """Store a count, unless the usage changed since the look.

    :param state: as it was before the counting, with nothing open on it.
    :param partial: it stays due, as a cell did not answer.
    :param until_refresh: 0 for none.
    """
    values = {
        'usage': state.id,
        'seen': state.version,
        'counted': in_use,
        'due': partial,
        'at': now,
        'until': until_refresh or None,
    }
    result: Any = session.execute(_STORE, values)
    return bool(result.rowcount == 1)


_MARK = (
    sa.update(_usage)
    .where(_usage.c.id == sa.bindparam('usage'))
    .values(refresh_due=sa.true(), version=_usage.c.version + 1)
)


def mark_due(session: tables.Handle, usages: Iterable[int]) -> None:
    """Have usages counted anew; what is being counted now is not stored.

    :param usages: their ids, in the order of locks.
    """
    for usage_id in usages:
        session.execute(_MARK, {'usage': usage_id})
