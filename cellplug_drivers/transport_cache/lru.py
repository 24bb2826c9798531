"""The ``lru`` transport cache: a bounded number, kept while they are used."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import interfaces
from cellplug_drivers.transport_cache import lending

LOG = logging.getLogger(__name__)

_YEAR = 365 * 24 * 3600


class _BoundedBook(lending.Book):
    """A book that keeps the most recently asked for, while they are used.

    One thread looks for what is idle. It sleeps until the next transport can
    be due, starts with the first transport, and ends when none is left or
    the book is closed; whoever sends a message never has to wake it.

    :param most: how many are kept.
    :param idle_timeout: seconds until an unused one is dropped; 0 for never.
    :param clock: seconds, as a function.
    """

    def __init__(
        self,
        open_transport: lending.Open,
        most: int,
        idle_timeout: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(open_transport)
        self._most = most
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._watched = False
        self._stop = threading.Event()

    def _excess(self) -> Sequence[str]:
        count = len(self._entries) - self._most
        if count <= 0:
            return ()
        oldest = itertools.islice(self._entries.items(), count)
        return [url for url, entry in oldest if not entry.users]

    def _unused(self, entry: lending.Entry) -> None:
        entry.since = self._clock()

    def _opened(self) -> None:
        if self._watched or not self._idle_timeout:
            return
        watcher = threading.Thread(
            target=self._watch, name='cellplug-idle', daemon=True
        )
        # In a process that cannot start one more thread just now, the next
        # transport brings the next attempt.
        with contextlib.suppress(RuntimeError):
            watcher.start()
            self._watched = True

    def _watch(self) -> None:
        pause = self._expire()
        while pause is not None and not self._stop.wait(pause):
            pause = self._expire()

    def _expire(self) -> float | None:
        """Drop what was idle for too long.

        :returns: seconds until something can be due, None if nothing is
            left; what is in use now cannot be before ``idle_timeout``.
        """
        due = []
        pause = self._idle_timeout
        with self._lock:
            now = self._clock()
            for url, entry in self._entries.items():
                if entry.users:
                    continue
                # A clock that was set back keeps nothing for longer.
                entry.since = min(entry.since, now)
                remains = entry.since + self._idle_timeout - now
                if remains <= 0:
                    due.append(url)
                else:
                    pause = min(pause, remains)
            unused = self._drop(due)
            self._watched = any_left = bool(self._entries)
        try:
            lending.close_all(unused)
        except Exception as exc:  # noqa: BLE001 (others are to be closed)
            LOG.warning(
                'An idle transport failed to close: %s', type(exc).__name__
            )
        return pause if any_left else None

    def close(self) -> None:
        super().close()
        self._stop.set()


class LRUTransportCache(lending.Lender):
    """Keeps a bounded number of transports, and none that nobody uses.

    *When it is right.* Where a process talks to more cells than it should
    hold connections to, or to most of them rarely: a used transport holds
    two broker connections or more, and a broker pays for each.

    *What it costs.* What ``process`` costs, while a cell's transport is
    kept. The first message after it was dropped connects again, which takes
    many times as long as a message. ``max_transports`` below the number of
    cells that are talked to all the time makes that the rule.

    *What clears it.* More than ``max_transports``: the least recently asked
    for goes first. ``idle_timeout`` seconds without a user, also in a
    process that sends nothing any more. An edited or deleted cell, a
    transport that lost a message, and the closing of the router, as in
    ``process``.

    *How large it grows.* ``max_transports``, and beside them those that
    would have gone and have calls in flight: these finish, and the transport
    closes when the last one has. Until then it is lent to others, too. So a
    cell whose calls hang takes no place from the others. One thread looks
    for idle transports, while there are transports and ``idle_timeout`` is
    not 0.

    *Fork.* A child opens its own, and leaves the parent's alone.
    """

    capabilities = frozenset({interfaces.TransportCacheCapability.KEEPS})

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        return (
            cfg.IntOpt(
                'max_transports',
                default=64,
                min=1,
                help='Transports that a process keeps, one per cell; each '
                'holds two connections to the broker, or more. Those with '
                'calls in flight may be more for a while. Choose a number '
                'above that of the cells that are talked to all the time.',
            ),
            cfg.IntOpt(
                'idle_timeout',
                default=600,
                min=0,
                max=_YEAR,
                help='Seconds after which a transport without a call in '
                'flight is closed; 0 keeps it until max_transports are more '
                'recent. Shorter spares the broker connections; the first '
                'message to a cell after it has to connect again.',
            ),
        )

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        # Read here: what cannot be keeps the service from starting.
        limit, idle = options.max_transports, options.idle_timeout
        super().__init__(
            lambda: _BoundedBook(host.open_transport, limit, idle, host.clock)
        )
