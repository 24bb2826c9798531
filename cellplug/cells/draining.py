"""Waiting until a cell's former credentials are out of use."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as oslo_exception

from cellplug import exception
from cellplug.cells import rotating
from cellplug.objects import mappings
from cellplug.objects import urls

_GRACE = 1.0
"""Seconds in which a process that has asked has also taken it up."""

_POLL = 0.5

_ERRORS = (
    exception.CellplugError,
    oslo_exception.DBError,
    sa.exc.DBAPIError,
)

_SESSIONS = {
    'mysql': (
        'SELECT COUNT(*) FROM information_schema.processlist '
        'WHERE user = :user AND db = DATABASE() AND id <> CONNECTION_ID()'
    ),
    'postgresql': (
        'SELECT COUNT(*) FROM pg_stat_activity WHERE usename = :user '
        'AND datname = current_database() AND pid <> pg_backend_pid() '
        "AND backend_type = 'client backend'"
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far the former credentials have come out of use.

    :ivar seconds: since the switch.
    :ivar sessions: connections that still use them, to the cell's databases;
        None where they cannot be told from others, or are refused already.
    :ivar followed: whether running processes have had the time to follow.
    """

    seconds: float
    sessions: int | None
    followed: bool

    @property
    def drained(self) -> bool:
        """Whether nobody needs them any more, as far as can be told."""
        return self.followed and not self.sessions


class Drain:
    """Waits until the former credentials are out of use.

    Two things have to be: running processes have had the time to follow
    (``[cells] follow_interval``; for a queue also ``[rpc] call_timeout``,
    since answers come on the former connections), and the servers of the
    databases show no session of the former accounts any more. Sessions are
    counted with the former credentials, as everyone may see his own.

    :param cell: as it was before.
    :param changed: the new URLs.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        cell: mappings.CellMapping,
        changed: Mapping[str, str],
        *,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._conf = conf
        self._cell = cell
        self._timer = timer
        self._sleep = sleep
        self._began = timer()
        self._former = _former_accounts(cell, changed)
        self.needed = conf.cells.follow_interval + _GRACE
        if rotating.QUEUE in changed:
            rpc = conf.rpc
            self.needed += max(rpc.call_timeout, rpc.stop_timeout)

    @property
    def can_be_told(self) -> bool:
        """Whether processes follow within a known time at all."""
        return bool(self._conf.cells.follow_interval)

    def refusal(self, found: Progress) -> str:
        """Why the former credentials are needed still, '' if they are not."""
        if not self.can_be_told:
            return (
                '[cells] follow_interval is 0, so running processes may use '
                'them until they are restarted'
            )
        if found.sessions:
            return f'{found.sessions} connections to the database use them'
        if not found.followed:
            left = max(self.needed - found.seconds, 0)
            return (
                'running processes, or their calls, may use them for '
                f'{left:.0f} more seconds'
            )
        return ''

    def wait(
        self, seconds: float, tell: Callable[[Progress], None]
    ) -> Progress:
        """Wait until it is drained, so long at most.

        :param tell: called with each count of sessions that differs.
        """
        deadline = self._began + seconds
        with contextlib.ExitStack() as opened:
            found_counters = [
                self._counter(opened, url) for url in self._former
            ]
            counts = [one for one in found_counters if one is not None]
            shown: int | None = None
            while True:
                found = self._look(counts)
                if found.sessions != shown:
                    shown = found.sessions
                    tell(found)
                left = deadline - self._timer()
                if found.drained or left <= 0:
                    return found
                self._sleep(min(_POLL, left))

    def _look(self, counts: list[Callable[[], int | None]]) -> Progress:
        told = [count() for count in counts]
        known = [one for one in told if one is not None]
        seconds = self._timer() - self._began
        return Progress(
            seconds=seconds,
            sessions=sum(known) if known else None,
            followed=self.can_be_told and seconds >= self.needed,
        )

    def _counter(
        self, opened: contextlib.ExitStack, url: str
    ) -> Callable[[], int | None] | None:
        """What counts the sessions of a former account; None if it cannot."""
        try:
            connection = opened.enter_context(
                rotating.connected(self._conf, self._cell, url)
            )
        except exception.CellplugError:
            return None  # Refused already, or down: who else would get in?
        statement = _SESSIONS.get(_family(connection.dialect.name))
        if statement is None:
            return None
        query = sa.text(statement).bindparams(user=_user(url))

        def count() -> int | None:
            # A connection that was lost is opened anew.
            for _ in range(2):
                try:
                    found: int = connection.execute(query).scalar_one()
                except _ERRORS:
                    connection.rollback()
                else:
                    connection.rollback()
                    return found
            return None  # It was revoked while we looked.

        return count


def _former_accounts(
    cell: mappings.CellMapping, changed: Mapping[str, str]
) -> list[str]:
    """The former URLs, one for each account that is another one by now."""
    found: dict[tuple[str | None, Any], str] = {}
    for name in rotating.DATABASES:
        former = getattr(cell, name)
        if (
            former
            and name in changed
            and _user(former) != _user(changed[name])
        ):
            found[
                rotating.digest(urls.database_digest, former), _user(former)
            ] = former
    return list(found.values())


def _family(dialect: str) -> str:
    return 'mysql' if dialect == 'mariadb' else dialect


def _user(url: str) -> Any:
    """The name of the account; None for sqlite's."""
    return sa.engine.make_url(url).username
