"""Limits, usages and reservations: immutable records."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

UNLIMITED = -1
"""The limit that is none."""

MAX_LIMIT = 2**63 - 1
"""The greatest limit that the tables hold."""

MAX_AMOUNT = 2**53
"""The greatest delta, and the greatest count, in units of a resource."""

Expire = int | float | datetime.timedelta | datetime.datetime | None
"""When a reservation ends by itself; see :func:`expiry`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """How much of a resource may be used.

    :ivar limit: units of the resource; -1 means unlimited.
    :ivar source: where it was found: ``user``, ``project``, ``class``,
        ``default class`` or ``default``.
    """

    resource: str
    limit: int
    source: str = 'default'


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """How much of a resource is used, in units of the resource.

    :ivar in_use: what exists.
    :ivar reserved: what open reservations hold; never negative.
    :ivar refresh_due: whether the next reservation counts it anew.
    """

    resource: str
    in_use: int
    reserved: int
    refresh_due: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaUsage:
    """A resource's limit beside its usage.

    :ivar limit: units of the resource; -1 means unlimited.
    :ivar source: where the limit was found, see :class:`Limit`.
    """

    limit: int
    in_use: int
    reserved: int
    source: str = 'default'

    @property
    def free(self) -> int | None:
        """What can still be reserved; None if there is no limit."""
        if self.limit < 0:
            return None
        return max(0, self.limit - self.in_use - self.reserved)


@dataclasses.dataclass(frozen=True, slots=True)
class SettableRange:
    """The limits that can be set without force.

    :ivar minimum: what is used, or promised to users, already.
    :ivar maximum: -1 for no maximum.
    """

    minimum: int
    maximum: int


@dataclasses.dataclass(frozen=True, slots=True)
class Counts:
    """What exists, as far as the cells answered.

    :ivar values: by resource, in its units.
    :ivar missing: the cells that did not answer, by name, and why; what is
        in them is not in ``values``.
    """

    values: Mapping[str, int]
    missing: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation that has not ended.

    :ivar user_id: None where it counts for the project alone.
    :ivar deltas: by resource, in its units.
    :ivar expire: when it ends by itself; UTC, without a zone.
    """

    handle: str
    project_id: str
    user_id: str | None
    deltas: Mapping[str, int]
    expire: datetime.datetime


def expiry(expire: Expire, *, now: float, default: float) -> int:
    """The moment that ``expire`` means, in milliseconds since 1970.

    :param expire: seconds from now, a timedelta from now, or a moment; one
        without a zone is in UTC. It has to be in the future. None means
        ``default``.
    :param now: seconds since 1970.
    :param default: seconds from now.
    :raises ValueError: for anything else, for what is not in the future, and
        for what no clock can show.
    """
    given = default if expire is None else expire
    try:
        if isinstance(given, bool):
            raise TypeError
        if isinstance(given, datetime.datetime):
            if given.tzinfo is None:
                given = given.replace(tzinfo=datetime.UTC)
            moment = given.timestamp()
        elif isinstance(given, datetime.timedelta):
            moment = now + given.total_seconds()
        else:
            moment = now + given
        shown = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    except (TypeError, AttributeError):
        raise ValueError(f'{expire!r} is no time') from None
    except (OverflowError, ValueError, OSError):
        raise ValueError(f'{expire!r} is beyond every calendar') from None
    found = int(shown.timestamp() * 1000)
    if expire is not None and found <= int(now * 1000):
        raise ValueError(f'{expire!r} is not in the future')
    return found
