"""Closing in the background what nobody has used for long."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


class Janitor:
    """Calls a function every few seconds, in a daemon thread.

    The thread starts with the first :meth:`wake` in each process, so that a
    child of a fork gets its own, and a process that never works gets none.

    :param interval: seconds.
    """

    def __init__(self, interval: float, sweep: Callable[[], None]) -> None:
        self._interval = interval
        self._sweep = sweep
        self._pid = 0
        self._stop = threading.Event()

    def wake(self) -> None:
        """Make sure that the thread runs in this process."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._stop = threading.Event()
        threading.Thread(
            target=self._run,
            args=(self._stop,),
            name='cellplug-janitor',
            daemon=True,
        ).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            self._sweep()

    def stop(self) -> None:
        """Let the thread end; it is not waited for."""
        self._stop.set()
