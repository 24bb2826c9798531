"""What the options mean at this moment."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from cellplug import db
from cellplug import exception
from cellplug.objects import quota

_SKEW = 60
"""Seconds by which the clocks of two hosts may differ."""


class Settings:
    """Reads the options at each use, since they can be changed.

    :param options: ``[quota_database]``.
    :param clock: seconds since 1970.
    """

    def __init__(self, options: Any, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock

    @property
    def unanswered_cells(self) -> str:
        """What becomes of a count that a cell is missing from."""
        return str(self._options.unanswered_cells)

    @property
    def until_refresh(self) -> int:
        """After how many reservations a usage is counted; 0 for never."""
        return int(self._options.until_refresh)

    def freshness(self, now: float) -> db.quota_queries.Freshness:
        """When a usage has to be counted before it is reserved.

        :param now: seconds since 1970.
        """
        age = self._options.max_age
        if not age:
            return db.quota_queries.Freshness(self.until_refresh)
        return db.quota_queries.Freshness(
            self.until_refresh,
            horizon=moment(now - age),
            latest=moment(now + min(age, _SKEW)),
        )

    def expiry(self, expire: quota.Expire, now: float) -> int:
        """When a reservation ends by itself, in milliseconds since 1970.

        :raises InvalidInput: if ``expire`` is no time in the future.
        """
        default = self._options.reservation_expire
        try:
            return quota.expiry(expire, now=now, default=default)
        except ValueError as exc:
            raise exception.InvalidInput('expire', str(exc)) from None

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()


def moment(seconds: float) -> datetime.datetime:
    """A moment as the tables hold it: UTC, without a zone."""
    shown = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return shown.replace(tzinfo=None)
