"""Ending reservations: by commit, by rollback, by their time.

The DELETE of a reservation's rows is the claim: of many that end one
reservation at once, one gets the rows. Then it changes their usages, in the
order of locks (see :mod:`.quota_taking`), which is that of the rows' ids.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import logging
import types
from collections.abc import Collection
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from cellplug.db import prepared_writes
from cellplug.db import tables
from cellplug.db.api import models

LOG = logging.getLogger(__name__)

_usage = models.quota_usages
_reservation = models.reservations

_ZERO: sa.ColumnElement[int] = sa.literal_column('0')
_ONE: sa.ColumnElement[int] = sa.literal_column('1')


class Ending(enum.Enum):
    """How a reservation ends."""

    COMMIT = 'commit'
    ROLLBACK = 'rollback'
    EXPIRE = 'expire'


class NotBoth(Exception):
    """Of two usages that were changed together, one would go below zero.

    Which one, the database does not tell: roll back, and end it ``apart``.
    """


def end(
    session: tables.Handle,
    handle: str,
    ending: Ending,
    now: datetime.datetime,
    *,
    apart: bool = False,
) -> bool:
    """End a reservation; False if it had ended before.

    Waits for whoever is ending it just now.

    :param apart: change each usage by a statement of its own.
    :raises NotBoth: unless ``apart``, if the books are wrong.
    """
    claimed = _claim(session, handle)
    together = not apart and tables.connection(session).dialect.name in _KEYED
    for usage_id, other_id, delta in _steps(claimed, together=together):
        held = max(0, delta)
        values = {'usage': usage_id, 'held': held, 'now': now}
        if ending is Ending.COMMIT:
            values['delta'] = delta
        if other_id is not None:
            values['other'] = other_id
            if _SETTLE_BOTH[ending].change(session, values) != 2:
                raise NotBoth(handle)
        elif _SETTLE[ending].change(session, values) == 1:
            continue
        elif _CLAMP[ending].change(session, values) == 1:
            LOG.warning(
                'Reservation %s would have taken usage %d below zero at its '
                '%s; it is zero now, and due to be counted',
                handle, usage_id, ending.value
            )  # fmt: skip
    return bool(claimed)


_KEYED = ('mysql', 'mariadb')
"""The databases that lock rows in the order of the index they go through."""


def _steps(
    claimed: list[tuple[int, int]], *, together: bool
) -> Iterator[tuple[int, int | None, int]]:
    """Usages in the order of locks, two where one statement changes both."""
    rest = list(reversed(claimed))
    while rest:
        usage_id, delta = rest.pop()
        next_id, next_delta = rest[-1] if together and rest else (0, None)
        both = next_delta == delta and next_id > usage_id
        if both:
            rest.pop()
        yield usage_id, next_id if both else None, delta


_MINE = _reservation.c.uuid == sa.bindparam('handle')
_ROWS = (
    _reservation.c.id,
    _reservation.c.usage_id,
    _reservation.c.delta,
)
_DELETE = sa.delete(_reservation).where(_MINE)
_CLAIM = prepared_writes.Change(_DELETE.returning(*_ROWS))
_DISCARD = prepared_writes.Change(_DELETE)
_LOCK = sa.select(*_ROWS).where(_MINE).with_for_update()


def _claim(session: tables.Handle, handle: str) -> list[tuple[int, int]]:
    """The usages and deltas of the reservation, in the order of locks."""
    values = {'handle': handle}
    if tables.connection(session).dialect.delete_returning:
        rows = _CLAIM.returned(session, values)
    else:
        rows = session.execute(_LOCK, values).all()
        if rows:
            _DISCARD.change(session, values)
    return [
        (usage_id, delta) for _, usage_id, delta in sorted(map(tuple, rows))
    ]


def _settle(
    ending: Ending, *, clamp: bool, both: bool = False
) -> prepared_writes.Change:
    held = sa.bindparam('held', type_=sa.BigInteger())
    delta = sa.bindparam('delta', type_=sa.BigInteger())
    reserved, in_use = _usage.c.reserved, _usage.c.in_use
    where = [_is_one(both=both)]
    values: dict[sa.Column[Any], Any] = {
        reserved: _changed(reserved, -held, clamp),
        _usage.c.version: _usage.c.version + _ONE,
        _usage.c.updated_at: sa.bindparam('now'),
    }
    if not clamp:
        where.append(reserved >= held)
    if ending is Ending.COMMIT:
        values[in_use] = _changed(in_use, delta, clamp)
        if not clamp:
            where.append(in_use + delta >= _ZERO)
    if clamp or ending is Ending.EXPIRE:
        # The books were wrong; or, what it was for may exist.
        values[_usage.c.refresh_due] = sa.true()
    return prepared_writes.Change(
        sa.update(_usage).where(*where).values(values)
    )


def _is_one(*, both: bool) -> sa.ColumnElement[bool]:
    usage = sa.bindparam('usage', type_=sa.Integer())
    if not both:
        return _usage.c.id == usage
    other = sa.bindparam('other', type_=sa.Integer())
    return sa.or_(_usage.c.id == usage, _usage.c.id == other)


def _changed(
    column: sa.Column[int], change: sa.ColumnElement[int], clamp: bool
) -> sa.ColumnElement[int]:
    changed = column + change
    return (
        sa.case((changed < _ZERO, _ZERO), else_=changed) if clamp else changed
    )


_SETTLE = types.MappingProxyType(
    {ending: _settle(ending, clamp=False) for ending in Ending}
)
_SETTLE_BOTH = types.MappingProxyType(
    {ending: _settle(ending, clamp=False, both=True) for ending in Ending}
)
_CLAMP = types.MappingProxyType(
    {ending: _settle(ending, clamp=True) for ending in Ending}
)


@dataclasses.dataclass(frozen=True, slots=True)
class Late:
    """A reservation past its time.

    :ivar expire: milliseconds since 1970.
    """

    handle: str
    expire: int


def late(
    session: tables.Handle,
    now: int,
    *,
    limit: int,
    after: Late | None = None,
    usages: Collection[int] | None = None,
    besides: Collection[int] = (),
) -> list[Late]:
    """The reservations past their time, the oldest first.

    :param now: milliseconds since 1970.
    :param limit: how many at most.
    :param after: only those that come after this one.
    :param usages: only those of these usages, by id.
    :param besides: none of these usages, by id.
    """
    handle, expire = _reservation.c.uuid, _reservation.c.expire
    query = (
        sa.select(handle, expire)
        .where(expire <= now)
        .group_by(expire, handle)
        .order_by(expire, handle)
        .limit(limit)
    )
    if after is not None:
        same = sa.and_(expire == after.expire, handle > after.handle)
        query = query.where(sa.or_(expire > after.expire, same))
    if usages is not None:
        query = query.where(_reservation.c.usage_id.in_(usages))
    if besides:
        other = _reservation.alias()
        theirs = sa.select(other.c.uuid).where(other.c.usage_id.in_(besides))
        query = query.where(handle.not_in(theirs))
    return [Late(*row) for row in session.execute(query)]


def usages_of(session: tables.Handle, handle: str) -> list[int]:
    """The usages that a reservation holds, by id."""
    query = sa.select(_reservation.c.usage_id).where(_MINE)
    return list(session.execute(query, {'handle': handle}).scalars())
