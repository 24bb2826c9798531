"""The UPDATEs that reserve: guarded, each in the variants that there are."""

from __future__ import annotations

import itertools
import types
from typing import Any

import sqlalchemy as sa

from cellplug.db import prepared_writes
from cellplug.db.api import models
from cellplug.db.api import quota_room

_usage = models.quota_usages

_KEY = next(
    one.name
    for one in _usage.constraints
    if isinstance(one, sa.UniqueConstraint)
)

_ZERO: sa.ColumnElement[int] = sa.literal_column('0')
_ONE: sa.ColumnElement[int] = sa.literal_column('1')


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
    variant: tuple[bool, bool, bool], both: bool, room: sa.ColumnElement[int]
) -> prepared_writes.Change:
    until, aged, due = variant
    values: dict[sa.Column[Any], Any] = {
        _usage.c.reserved: _usage.c.reserved + sa.bindparam('held'),
        _usage.c.version: _usage.c.version + _ONE,
        _usage.c.updated_at: sa.bindparam('now'),
    }
    where = [
        *is_usage(or_total=both),
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
    update = sa.update(_usage).where(*where).values(values)
    if both:
        # Another index may lead to the user's row first.
        update = update.with_hint(f'FORCE INDEX ({_KEY})')
    return prepared_writes.Change(update)


def is_usage(
    suffix: str = '', *, or_total: bool = False
) -> list[sa.ColumnElement[bool]]:
    """The condition that a usage is the one that the parameters name."""
    owned = _usage.c.user_id == sa.bindparam(f'owner{suffix}')
    if or_total:
        owned = sa.or_(_usage.c.user_id == sa.literal_column("''"), owned)
    return [
        _usage.c.project_id == sa.bindparam('project'),
        owned,
        _usage.c.resource == sa.bindparam(f'name{suffix}'),
    ]


_EITHER = (False, True)
_VARIANTS = tuple(itertools.product(_EITHER, _EITHER, _EITHER))
UPDATES = types.MappingProxyType(
    {
        (variant, both): _update(variant, both, sa.bindparam('room'))
        for variant in _VARIANTS
        for both in _EITHER
    }
)
"""By whether until_refresh and max_age count, and due usages will do; and by
whether a project's total changes with a user's usage."""

LOOKING_UP = types.MappingProxyType(
    {
        (variant, both, levels): _update(
            variant, both, quota_room.room(*levels, or_total=both)
        )
        for variant in _VARIANTS
        for both in _EITHER
        for levels in itertools.product(_EITHER, _EITHER)
    }
)
"""Likewise, and by whose limits are looked for, see :mod:`.quota_room`."""
