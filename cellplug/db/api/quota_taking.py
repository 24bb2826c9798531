"""Reserving: one guarded UPDATE for each usage, then the reservation.

*The order of locks*, in every transaction that changes usages: by resource,
and of one resource the project's total before its users. Whoever ends a
reservation first claims its rows, which nobody waits for with a usage locked.
So nobody waits for somebody who waits for him.

What admits is the condition of the UPDATE itself. The database evaluates it
on the row's newest version, with the row locked, so no two transactions can
both take the last of a limit; nothing that was read before plays a part. The
limit is looked up by that statement as well, unless it may stand in a cell.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import types
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cellplug.db import prepared_writes
from cellplug.db import tables
from cellplug.db.api import models
from cellplug.db.api import quota_room
from cellplug.objects import quota

_usage = models.quota_usages
_reservation = models.reservations

_ZERO: sa.ColumnElement[int] = sa.literal_column('0')
_ONE: sa.ColumnElement[int] = sa.literal_column('1')

TOTAL = ''
"""The user of a project's total."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One usage that a reservation changes.

    :ivar user_id: :data:`TOTAL` for the project's.
    :ivar limit: -1 for none. Of a :class:`Taking` that looks limits up, the
        one that holds where none is set.
    """

    resource: str
    user_id: str
    delta: int
    limit: int

    @property
    def held(self) -> int:
        """What the open reservation holds: only an increase needs room."""
        return max(0, self.delta)

    @property
    def room(self) -> int:
        """The most that may be used for the delta to be admitted.

        Without a limit, what the columns hold.
        """
        bounded = self.limit >= 0 and self.delta >= 0
        return (self.limit if bounded else quota.MAX_LIMIT) - self.held


@dataclasses.dataclass(frozen=True, slots=True)
class Freshness:
    """When a usage has to be counted anew before it is reserved.

    :ivar until_refresh: after so many reservations; 0 for never.
    :ivar horizon: if it was counted before that moment, or at it; None if it
        never gets too old.
    :ivar latest: if it was counted after that moment, in the future: by a
        clock that was ahead. Set where ``horizon`` is.
    """

    until_refresh: int = 0
    horizon: datetime.datetime | None = None
    latest: datetime.datetime | None = None

    def is_recent(self, counted: datetime.datetime | None) -> bool:
        """Whether a count of that moment is one of these days."""
        if self.horizon is None or self.latest is None:
            return True
        return counted is not None and self.horizon < counted <= self.latest


@dataclasses.dataclass(frozen=True, slots=True)
class Taking:
    """A reservation that is being made.

    :ivar entries: in the order of locks; see :func:`ordered`.
    :ivar expire: milliseconds since 1970.
    :ivar looks_up: whether the statements look for the limits themselves.
    :ivar quota_class: where they look, too; None for ``default`` alone.
    """

    handle: str
    project_id: str
    entries: tuple[Entry, ...]
    expire: int
    now: datetime.datetime
    freshness: Freshness
    looks_up: bool = False
    quota_class: str | None = None


def ordered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries in the order of locks."""
    return tuple(sorted(entries, key=lambda one: (one.resource, one.user_id)))


def take(session: tables.Handle, taking: Taking, *, due: bool = False) -> bool:
    """Reserve all of it, or find that one usage does not admit its delta.

    Then the caller rolls back. The rows were missing, due or over: the
    statements do not tell.

    :param due: whether usages that are due may be used as they are.
    """
    freshness = taking.freshness
    until, horizon = freshness.until_refresh, freshness.horizon
    variant = bool(until), horizon is not None and not due, due
    update = _UPDATES[variant]
    shared: dict[str, Any] = {'project': taking.project_id, 'now': taking.now}
    if until:
        shared['until'] = until
    if horizon is not None and not due:
        shared['horizon'], shared['latest'] = horizon, freshness.latest
    for entry in taking.entries:
        values = {
            **shared,
            'name': entry.resource,
            'owner': entry.user_id,
            'held': entry.held,
        }
        if taking.looks_up and entry.delta >= 0:
            values['default'] = entry.limit
            if taking.quota_class is not None:
                values['quota_class'] = taking.quota_class
            levels = entry.user_id != TOTAL, taking.quota_class is not None
            changed = _LOOKING_UP[variant, levels].change(session, values)
        else:
            values['room'] = entry.room
            changed = update.change(session, values)
        if changed != 1:
            return False
    _insert(session, taking)
    return True


def _countdown() -> sa.ColumnElement[Any]:
    """One less; from the option's value, where that is now the smaller."""
    until = sa.bindparam('until', type_=sa.Integer())
    stands = sa.and_(
        _usage.c.until_refresh.is_not(None), _usage.c.until_refresh <= until
    )
    spent = sa.and_(stands, _usage.c.until_refresh <= _ZERO)
    return sa.case(
        (spent, _ZERO),
        (stands, _usage.c.until_refresh - _ONE),
        else_=until - _ONE,
    )


def _update(
    variant: tuple[bool, bool, bool], room: sa.ColumnElement[int]
) -> prepared_writes.Change:
    until, aged, due = variant
    values: dict[sa.Column[Any], Any] = {
        _usage.c.reserved: _usage.c.reserved + sa.bindparam('held'),
        _usage.c.version: _usage.c.version + _ONE,
        _usage.c.updated_at: sa.bindparam('now'),
    }
    where = [
        *is_usage(),
        _usage.c.in_use + _usage.c.reserved <= room,
    ]
    if not due:
        where += [sa.not_(_usage.c.refresh_due), _usage.c.in_use >= _ZERO]
    if until:
        values[_usage.c.until_refresh] = _countdown()
        if not due:
            unspent = _usage.c.until_refresh > _ZERO
            where.append(sa.or_(_usage.c.until_refresh.is_(None), unspent))
    if aged:
        where += [
            _usage.c.refreshed_at > sa.bindparam('horizon'),
            _usage.c.refreshed_at <= sa.bindparam('latest'),
        ]
    return prepared_writes.Change(
        sa.update(_usage).where(*where).values(values)
    )


def is_usage(suffix: str = '') -> list[sa.ColumnElement[bool]]:
    """The condition that a usage is the one that the parameters name."""
    return [
        _usage.c.project_id == sa.bindparam('project'),
        _usage.c.user_id == sa.bindparam(f'owner{suffix}'),
        _usage.c.resource == sa.bindparam(f'name{suffix}'),
    ]


_EITHER = (False, True)
_VARIANTS = tuple(itertools.product(_EITHER, _EITHER, _EITHER))
_UPDATES = types.MappingProxyType(
    {variant: _update(variant, sa.bindparam('room')) for variant in _VARIANTS}
)
"""By whether until_refresh and max_age count, and due usages will do."""

_LOOKING_UP = types.MappingProxyType(
    {
        (variant, levels): _update(variant, quota_room.room(*levels))
        for variant in _VARIANTS
        for levels in itertools.product(_EITHER, _EITHER)
    }
)
"""Likewise, and by whose limits are looked for, see :mod:`.quota_room`."""


def _insert_statement(count: int) -> prepared_writes.Change:
    """The INSERT of a reservation's rows, in the order of locks.

    Ascending ids keep that order for whoever ends the reservation.
    """
    rows = [
        {
            'uuid': sa.bindparam('handle'),
            'usage_id': sa.select(_usage.c.id)
            .where(*is_usage(str(number)))
            .scalar_subquery(),
            'delta': sa.bindparam(f'delta{number}'),
            'expire': sa.bindparam('expire_at'),
            'created_at': sa.bindparam('now'),
        }
        for number in range(count)
    ]
    return prepared_writes.Change(
        sa.insert(_reservation).values(rows).inline()
    )


_INSERTS = tuple(_insert_statement(count) for count in range(1, 17))
"""By the number of rows; there are seldom more than a few."""


def _insert(session: tables.Handle, taking: Taking) -> None:
    entries = taking.entries
    for start in range(0, len(entries), len(_INSERTS)):
        part = entries[start : start + len(_INSERTS)]
        values: dict[str, Any] = {
            'handle': taking.handle,
            'project': taking.project_id,
            'expire_at': taking.expire,
            'now': taking.now,
        }
        for number, entry in enumerate(part):
            values[f'owner{number}'] = entry.user_id
            values[f'name{number}'] = entry.resource
            values[f'delta{number}'] = entry.delta
        _INSERTS[len(part) - 1].change(session, values)
