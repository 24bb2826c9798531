"""Doing in the background what has to be done every few seconds."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Janitor:
    """Calls a function every few seconds, in a daemon thread.

    The thread starts with the first :meth:`wake` in each process, so that a
    child of a fork gets its own, and a process that never works gets none.

    :param interval: seconds; 0 for never.
    :param sweep: the function; what it raises is logged.
    :param what: what is done, for the log: "closing idle connections".
    :param jitter: the part of the interval by which a wait may be shorter,
        so that many processes do not do it all at once.
    """

    def __init__(
        self,
        interval: float,
        sweep: Callable[[], None],
        what: str,
        *,
        jitter: float = 0.0,
    ) -> None:
        self._interval = interval
        self._sweep = sweep
        self._what = what
        self._jitter = jitter
        self._stops: dict[int, threading.Event] = {}

    def wake(self) -> None:
        """Make sure that the thread runs in this process."""
        pid = os.getpid()
        if pid in self._stops or not self._interval:
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
        while not stop.wait(self._next()):
            try:
                self._sweep()
            except Exception:
                # What it works with may be closed while it works.
                if not stop.is_set():
                    LOG.exception('%s failed', self._what.capitalize())

    def _next(self) -> float:
        return self._interval * (1 - self._jitter * random.random())

    def stop(self) -> None:
        """Let the thread end, and start no other; it is not waited for."""
        self._stops.setdefault(os.getpid(), threading.Event()).set()


class Alarm:
    """The hook that wakes janitors in each process that works."""

    def __init__(self, *janitors: Janitor) -> None:
        self._janitors = janitors
        self._awake: set[int] = set()

    def wake(self) -> None:
        """There is something to do from now on."""
        pid = os.getpid()
        if pid not in self._awake:
            self._awake.add(pid)
            for janitor in self._janitors:
                janitor.wake()

    def stop(self) -> None:
        """Let all of them end."""
        for janitor in self._janitors:
            janitor.stop()

    def before(self, frame: object) -> None:
        """A transaction opens."""
        self.wake()

    def after(self, frame: object, error: BaseException | None) -> None:
        """Nothing."""
