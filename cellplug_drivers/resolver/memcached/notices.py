"""Says once, not a thousand times, that memcached is in trouble."""

from __future__ import annotations

import logging
import threading
import time

LOG = logging.getLogger('cellplug_drivers.resolver.memcached')

QUIET = 60.0
"""Seconds in which the same trouble is not announced again."""

LONG_QUIET = 600.0
"""The same for what has no end that one could tell."""


class Notices:
    """One warning when a trouble begins, one line when it is over.

    A trouble that comes and goes is announced every :data:`QUIET` seconds at
    most. The lock is held for a moment, and only in trouble.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._announced: dict[str, float] = {}
        self._open: set[str] = set()

    def trouble(self, topic: str, message: str) -> None:
        """Warn, unless it was said just now."""
        now = time.monotonic()
        with self._lock:
            if topic in self._open:
                return
            if now - self._announced.get(topic, -QUIET) < QUIET:
                return
            self._announced[topic] = now
            self._open.add(topic)
        LOG.warning('%s', message)

    def note(self, topic: str, message: str) -> None:
        """Warn of what has no end that one could tell."""
        now = time.monotonic()
        with self._lock:
            if now - self._announced.get(topic, -LONG_QUIET) < LONG_QUIET:
                return
            self._announced[topic] = now
        LOG.warning('%s', message)

    def over(self, topic: str, message: str) -> None:
        """Tell that it is over, if the trouble was announced."""
        with self._lock:
            if topic not in self._open:
                return
            self._open.remove(topic)
        LOG.info('%s', message)
