"""Closing in the background what nobody has used for long."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Janitor:
    """Calls a function every few seconds, in a daemon thread.

    The thread starts with the first :meth:`wake` in each process, so that a
    child of a fork gets its own, and a process that never works gets none.

    :param interval: seconds.
    """

    def __init__(self, interval: float, sweep: Callable[[], None]) -> None:
        self._interval = interval
        self._sweep = sweep
        self._stops: dict[int, threading.Event] = {}

    def wake(self) -> None:
        """Make sure that the thread runs in this process."""
        pid = os.getpid()
        if pid in self._stops:
            return
        stop = threading.Event()
        if self._stops.setdefault(pid, stop) is not stop:
            return
        threading.Thread(
            target=self._run,
            args=(stop,),
            name='cellplug-janitor',
            daemon=True,
        ).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            try:
                self._sweep()
            except Exception:
                LOG.exception('Closing idle connections failed')

    def stop(self) -> None:
        """Let the thread end, and start no other; it is not waited for."""
        self._stops.setdefault(os.getpid(), threading.Event()).set()
