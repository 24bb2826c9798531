"""Commit, rollback and expiry: each reservation in its own transaction."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from cellplug_drivers.quota.database import settings as quota_settings

_queries = db.quota_queries
_Context = cellplug_context.RequestContext

_BATCH = 100
"""How many handles are looked for at once."""

_TRIES = 3
"""How many reservations of a usage may fail before the rest is left alone."""


def _end(
    context: _Context,
    handle: str,
    ending: _queries.Ending,
    now: float,
    **how: bool,
) -> bool:
    moment = quota_settings.moment(now)
    return _queries.end(context.session, handle, ending, moment, **how)


def _end_elsewhere(
    context: _Context, handle: str, ending: _queries.Ending, now: float
) -> bool:
    """Once more, if another node of a cluster may have made it just now."""
    if not _queries.catch_up(context.session):
        return False
    return _end(context, handle, ending, now, apart=True)


def _late(context: _Context, now: float, **more: Any) -> list[_queries.Late]:
    moment = int(now * 1000)
    return _queries.late(context.session, moment, limit=_BATCH, **more)


def _usages_of(context: _Context, handle: str) -> list[int]:
    return _queries.usages_of(context.session, handle)


class Endings:
    """Ends reservations.

    :param own: the context of the driver's own transactions.
    """

    def __init__(
        self,
        settings: quota_settings.Settings,
        host: interfaces.DriverHost,
        own: _Context,
    ) -> None:
        api = host.database.api
        self._settings = settings
        self._own = own
        self._end: Callable[..., bool] = host.database.retrying(
            api.writer.connection(_end)
        )
        self._end_elsewhere: Callable[..., bool] = host.database.retrying(
            api.writer.connection(_end_elsewhere)
        )
        reader = api.reader.primary.single.connection
        self._late: Callable[..., list[_queries.Late]] = reader(_late)
        self._usages_of: Callable[..., list[int]] = reader(_usages_of)

    def commit(self, handle: str) -> None:
        """Turn what is reserved into use.

        :raises ReservationNotFound: if the reservation ended before.
        """
        ending = _queries.Ending.COMMIT
        if not (_is_handle(handle) and self._ended_anywhere(handle, ending)):
            raise exception.ReservationNotFound(handle)

    def rollback(self, handle: str) -> None:
        """Give back what is reserved, if it is."""
        if _is_handle(handle):
            self._ended_anywhere(handle, _queries.Ending.ROLLBACK)

    def expire(self) -> int:
        """End what is past its time now; how many that were.

        One that fails hides no other. But where several of one usage fail,
        something holds that usage, and each more would wait as long: what is
        left of it is left to the next call.

        :raises CellplugError: at the end, if one failed: what the first did.
        """
        now, ended = self._settings.now(), 0
        after: _queries.Late | None = None
        first: exception.CellplugError | None = None
        failures: collections.Counter[int] = collections.Counter()
        while late := self._late(
            self._own,
            now,
            after=after,
            besides=[one for one, n in failures.items() if n >= _TRIES],
        ):
            for after in late:
                try:
                    ended += self._ended(after.handle, _queries.Ending.EXPIRE)
                except exception.CellplugError as exc:
                    first = first or exc
                    # Raises, if it is the database that is away.
                    failures.update(self._usages_of(self._own, after.handle))
                    break
        if first is not None:
            raise first
        return ended

    def expire_on(
        self, states: Iterable[_queries.State], *, bounded: bool = False
    ) -> bool:
        """End what is past its time on these usages; whether anything was.

        :param states: the usages, as they were looked at.
        :param bounded: at most :data:`_BATCH` reservations, the oldest.
        """
        now = self._settings.now()
        late = [one.id for one in states if one.is_late(int(now * 1000))]
        after: _queries.Late | None = None
        while late and (
            found := self._late(self._own, now, usages=late, after=after)
        ):
            for after in found:
                self._ended(after.handle, _queries.Ending.EXPIRE)
            if bounded:
                break
        return bool(late)

    def _ended(self, handle: str, ending: _queries.Ending) -> bool:
        now = self._settings.now()
        try:
            return self._end(self._own, handle, ending, now)
        except _queries.NotBoth:
            return self._end(self._own, handle, ending, now, apart=True)

    def _ended_anywhere(self, handle: str, ending: _queries.Ending) -> bool:
        now = self._settings.now()
        return self._ended(handle, ending) or self._end_elsewhere(
            self._own, handle, ending, now
        )


def _is_handle(handle: object) -> bool:
    try:
        return objects.canonical_uuid('handle', handle) == handle
    except exception.InvalidUUID:
        return False
