"""Doing things at once: many threads, and a child process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import TypeVar

from cellplug.testing.conformance import harnesses

T = TypeVar('T')

_TURN = 1e-5
"""Seconds after which a thread makes room for another, in a race.

By default it is 5 ms: most calls of a driver in memory are over by then, and
no other thread ever comes between.
"""


class Failed(AssertionError):
    """What went wrong in a thread or child, or that it hangs."""


class Background:
    """A call in a thread of its own.

    :ivar started: set just before the call.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._call = function, args
        self._answer: list[Any] = []
        self._error: list[Exception] = []
        self.started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        function, args = self._call
        self.started.set()
        try:
            self._answer.append(function(*args))
        except Exception as exc:  # noqa: BLE001 (raised in result)
            self._error.append(exc)

    def done(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> Any:
        """What the call returned or raised.

        :raises Failed: if it hangs.
        """
        if not self.done(harnesses.DEADLINE):
            raise Failed(f'hangs: no answer in {harnesses.DEADLINE:g} s')
        if self._error:
            raise self._error[0]
        return self._answer[0]


def bounded(function: Callable[..., T], *args: Any) -> T:
    """Call it; one that hangs fails."""
    answer: T = Background(function, *args).result()
    return answer


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """Call ``work(0)``, ``work(1)`` and so on at once.

    The threads take turns far more often than usual: what may come between
    two steps of a driver should. It still may not; see :func:`rounds`.

    :returns: the answers, in order.
    """
    barrier = threading.Barrier(count)

    def one(number: int) -> T:
        barrier.wait(harnesses.DEADLINE)
        return work(number)

    with _short_turns():
        running = [Background(one, number) for number in range(count)]
        return [each.result() for each in running]


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def rounds(least: int, most: int = 60, seconds: float = 0.3) -> Iterator[int]:
    """Numbers of a race's rounds: one alone proves little.

    A driver in memory runs all of them, in less time than one that asks a
    server takes for the least.

    :param least: how many there are in any case.
    :param most: how many there are while the time lasts.
    :param seconds: from when on no more begin.
    """
    deadline = time.monotonic() + seconds
    for number in range(most):
        if number >= least and time.monotonic() > deadline:
            return
        yield number


class Child:
    """A call in a forked child, which ends behind it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._read, write = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            self._run(work, write)
        os.close(write)

    def _run(self, work: Callable[[], object], write: int) -> None:
        text = ''
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 (the parent raises it)
            last = traceback.format_exception_only(exc)
            text = ' '.join(''.join(last).split())
        finally:
            os.write(write, text.encode() + b'\n')
            os._exit(0)

    def wait(self) -> None:
        """Wait for it.

        :raises Failed: if the call raised, or hangs.
        """
        text = self._line()
        if text is None:
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._read)
        if text is None:
            raise Failed('the child hangs')
        if text != '\n':
            raise Failed(f'in the child: {text.strip() or "it died"}')

    def _line(self) -> str | None:
        ready, _, _ = select.select([self._read], [], [], harnesses.DEADLINE)
        return os.read(self._read, 65536).decode() if ready else None


def eventually(condition: Callable[[], T], seconds: float) -> T:
    """What the call answers, as soon as it raises no more.

    :raises Exception: what it raised the last time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return condition()
        except Exception:
            if time.monotonic() > deadline:
                raise
            # Not to win a race: the source is asked until it is back.
            time.sleep(0.05)
