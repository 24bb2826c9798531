"""Circuits: what ends the asking of a part of a cell that keeps failing.

A hung database costs each request a timeout, and a thread that waits for it.
After some failures in a row its circuit opens: requests are refused at once,
and only a probe in the background still asks, now and then, until it is
answered.

Fork: whatever takes a lock first looks at the process id. A child begins with
closed circuits: nobody probes there what was open in the parent.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator

from cellplug import exception
from cellplug.cells import breaker_settings
from cellplug.cells import saying
from cellplug.objects import health

Settings = breaker_settings.Settings

LOG = logging.getLogger(__name__)

DATABASE = 'database'
QUEUE = 'message queue'

_CLOSED = health.CircuitState.CLOSED
_OPEN = health.CircuitState.OPEN
_HALF_OPEN = health.CircuitState.HALF_OPEN

_REMEMBERED = 1000
"""How many latencies are kept, of each circuit."""

_JITTER = 0.25
"""By how much of it a wait differs, either way: processes that were refused
together should not all come back together."""


class Circuit:
    """The breaker before one part of a cell; a :class:`.guarding.Circuit`.

    Closed, it counts failures that follow each other with no success between,
    whichever threads they come from; at the threshold it opens. Open, only
    the end of a probe changes it: what requests report that began before is
    remembered, and no more. Its lock is taken last, and nothing is called
    while it is held.

    :param part: :data:`DATABASE` or :data:`QUEUE`.
    :param opened: called with the circuit when it has opened.
    :param clock: seconds, for waits.
    :param now: seconds since the epoch, for people.
    :param rng: from 0 to 1, for the jitter.
    :ivar cell_name: the cell's name, as it is now.
    """

    def __init__(
        self,
        cell_uuid: str,
        cell_name: str,
        part: str,
        settings: Settings,
        *,
        opened: Callable[[Circuit], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.part = part
        self._settings = settings
        self._opened = opened
        self._clock = clock
        self._now = now
        self._rng = rng
        self._pid = os.getpid()
        # By process: a child cannot wait for a thread of its parent's.
        self._locks: dict[int, threading.Lock] = {}
        # What every request adds to, without a lock: each step is one call.
        self._latencies: collections.deque[float]
        self._latencies = collections.deque(maxlen=_REMEMBERED)
        self._numbers = itertools.count(1)
        self._requests = 0
        self._epoch = 0
        self._closed_at = -math.inf
        self._last_error: str | None = None
        self._last_error_at: float | None = None
        self._start()

    def __repr__(self) -> str:
        return f'<{self._state} circuit of {self._what()}>'

    def _start(self) -> None:
        """Be closed, with nothing held against it."""
        self._state = _CLOSED
        self._failures = 0
        self._wait = self._settings.retry
        self._probe_at = self._opened_at = 0.0
        # What a probe was begun for is over.
        self._epoch += 1

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        pid = os.getpid()
        with self._locks.setdefault(pid, threading.Lock()):
            if self._pid != pid:
                self._pid = pid
                self._start()
            yield

    # -- for requests ------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether requests are refused; half-open, they are as well."""
        if self._state is _CLOSED:
            return False
        with self._locked():
            return self._state is not _CLOSED

    def check(self) -> None:
        """Refuse at once while it is open.

        :raises CellUnavailable: says so, what failed last, and when it will
            be asked again.
        """
        if self._state is not _CLOSED:
            self._refuse()

    def _refuse(self) -> None:
        with self._locked():
            if self._state is _CLOSED:
                return
            times = saying.attempts(self._failures)
            reason = f'the last {times} failed ({self._last_error})'
            when = self._when()
            late = self._state is _OPEN and self._probe_at <= self._clock()
        if late:
            # Whoever probes may have found no thread to do so.
            self._opened(self)
        raise exception.CellUnavailable(
            self.cell_uuid,
            self.cell_name,
            f'refused without asking: {reason}; it is probed again {when}',
            part=self.part,
            before_first_statement=True,
            refused=True,
        )

    def _when(self) -> str:
        if self._state is _HALF_OPEN:
            return 'just now'
        left = max(self._probe_at - self._clock(), 0)
        return f'in {math.ceil(left)} s' if left else 'just now'

    def succeeded(self, seconds: float) -> None:
        """It did its work: failures before that count no more."""
        self._latencies.append(seconds)
        self._requests = next(self._numbers)
        if self._failures:
            with self._locked():
                if self._state is _CLOSED:
                    self._failures = 0

    def failed(self, error: BaseException, seconds: float = 0.0) -> None:
        """It did not; the last straw opens the circuit.

        What began before a probe closed it says nothing of what answers now.
        """
        self._requests = next(self._numbers)
        with self._locked():
            self._note(error)
            counts = self._clock() - seconds >= self._closed_at
            counts = counts and self._state is _CLOSED
            self._failures += counts
            opens = counts and 0 < self._settings.threshold <= self._failures
            if opens:
                self._opened_at = self._clock()
                self._open()
            failures, when = self._failures, self._when()
        if opens:
            LOG.warning(
                'The %s is not asked any more: the last %s failed (%s); it '
                'is probed %s',
                self._what(),
                saying.attempts(failures),
                self._last_error,
                when,
            )
            self._opened(self)

    def _note(self, error: BaseException) -> None:
        self._last_error = saying.said(error)
        self._last_error_at = self._now()

    def _open(self) -> None:
        self._state = _OPEN
        jitter = 1 + _JITTER * (2 * self._rng() - 1)
        self._probe_at = self._clock() + self._wait * jitter
        self._wait = min(2 * self._wait, self._settings.retry_max)

    # -- for who probes, and who knows better ------------------------------

    def due_in(self) -> float | None:
        """Seconds until a probe is due; None if none will be.

        None while one is under way, too.
        """
        with self._locked():
            if self._state is not _OPEN:
                return None
            return max(self._probe_at - self._clock(), 0)

    def begin_probe(self, *, early: bool = False) -> int | None:
        """Be half-open, if a probe is due.

        :param early: also if it is open and none is due yet.
        :returns: the probe's number; None if there is to be none.
        """
        with self._locked():
            due = early or self._probe_at <= self._clock()
            if self._state is not _OPEN or not due:
                return None
            self._state = _HALF_OPEN
            return self._epoch

    def is_probed(self, number: int) -> bool:
        """Whether that probe's outcome would still mean anything."""
        with self._locked():
            return self._state is _HALF_OPEN and self._epoch == number

    def end_probe(
        self, number: int, error: BaseException | None, seconds: float
    ) -> None:
        """Close the circuit, or open it for longer; as the probe ended.

        :param error: None for a probe that was answered.
        """
        with self._locked():
            if self._state is not _HALF_OPEN or self._epoch != number:
                return
            self._requests = next(self._numbers)
            if error is not None:
                self._failures += 1
                self._note(error)
                self._open()
                return
            self._latencies.append(seconds)
            self._closed_at = self._clock()
            shut_for = self._closed_at - self._opened_at
            self._start()
        LOG.info(
            'The %s is asked again; for %.0f s it was not',
            self._what(),
            shut_for,
        )

    def reset(self) -> None:
        """Hold nothing against it: it is another one now."""
        with self._locked():
            was_open = self._state is not _CLOSED
            self._start()
            self._last_error = self._last_error_at = None
        if was_open:
            LOG.info('The %s is asked again: it changed', self._what())

    def health(self) -> health.CircuitHealth:
        """How it does."""
        latencies = sorted(self._latencies.copy())
        with self._locked():
            left: float | None = None
            if self._state is _OPEN:
                left = max(self._probe_at - self._clock(), 0)
            elif self._state is _HALF_OPEN:
                left = 0.0
            return health.CircuitHealth(
                state=self._state,
                failures=self._failures,
                last_error=self._last_error,
                last_error_at=self._last_error_at,
                next_probe_in=left,
                requests=self._requests,
                latency_p50=health.percentile(latencies, 0.5),
                latency_p95=health.percentile(latencies, 0.95),
                latency_p99=health.percentile(latencies, 0.99),
            )

    def _what(self) -> str:
        return f'{self.part} of cell {self.cell_name!r} ({self.cell_uuid})'
