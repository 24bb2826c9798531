"""Commit, rollback and expiry: each reservation in its own transaction."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection

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


def _end(
    context: _Context, handle: str, ending: _queries.Ending, now: float
) -> bool:
    moment = quota_settings.moment(now)
    return _queries.end(context.session, handle, ending, moment)


def _end_elsewhere(
    context: _Context, handle: str, ending: _queries.Ending, now: float
) -> bool:
    """Once more, if another node of a cluster may have made it just now."""
    if not _queries.catch_up(context.session):
        return False
    return _end(context, handle, ending, now)


def _late(
    context: _Context, now: float, usages: Collection[int] | None
) -> list[str]:
    return _queries.late(
        context.session, int(now * 1000), limit=_BATCH, usages=usages
    )


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
        self._late: Callable[..., list[str]] = (
            api.reader.primary.single.connection(_late)
        )

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

    def expire(self, usages: Collection[int] | None = None) -> int:
        """End what is past its time now; how many that were.

        :param usages: only reservations of these usages, by id.
        """
        now, ended = self._settings.now(), 0
        seen: set[str] = set()
        # A row that is being claimed is waited for, so each is gone after its
        # turn; one that is still shown is, where a cluster's nodes lag.
        while fresh := [
            handle
            for handle in self._late(self._own, now, usages)
            if handle not in seen
        ]:
            seen.update(fresh)
            ended += sum(
                self._ended(handle, _queries.Ending.EXPIRE) for handle in fresh
            )
        return ended

    def _ended(self, handle: str, ending: _queries.Ending) -> bool:
        return self._end(self._own, handle, ending, self._settings.now())

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
