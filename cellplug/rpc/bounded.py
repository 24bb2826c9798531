"""Waiting a bounded time for what may take for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from typing import TypeVar

R = TypeVar('R')


class OverdueError(Exception):
    """The time is over; the call goes on in its thread, unheard."""


class Task:
    """A call in a thread of its own, which any number of threads wait for.

    The thread is a daemon: one that never returns does not keep the process
    from ending.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._ended = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        threading.Thread(
            target=self._work,
            args=(function, args),
            name='cellplug-bounded',
            daemon=True,
        ).start()

    def _work(self, function: Callable[..., Any], args: Any) -> None:
        try:
            self._value = function(*args)
        except BaseException as exc:  # noqa: BLE001 (raised by wait)
            self._error = exc
        finally:
            self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether the call returned or raised."""
        return self._ended.is_set()

    def wait(self, seconds: float | None) -> Any:
        """What the call returns.

        :param seconds: how long to wait at most; None for its end.
        :raises OverdueError: if it has not ended then; else what it raised.
        """
        if not self._ended.wait(seconds):
            raise OverdueError(f'not done within {seconds:g} s')
        if self._error is not None:
            # Its traceback would grow with each of many waiters.
            raise self._error.with_traceback(None)
        return self._value

    def finish(self) -> None:
        """Wait for the end of the call, however it ends."""
        self._ended.wait()


class Once:
    """Something to be achieved once, by one thread, while others wait.

    An attempt that fails fails for all who waited for it; the next caller
    begins another one. An attempt that hangs is not repeated beside itself:
    however many callers give up, it costs one thread.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._attempt: Task | None = None
        self.achieved = False

    def achieve(self, seconds: float) -> None:
        """Wait so long for the attempt under way, or for a new one.

        :raises OverdueError: after ``seconds``; else what the attempt raises.
        """
        if self.achieved:
            return
        with self._lock:
            attempt = self._attempt
            if attempt is None or (attempt.ended and not self.achieved):
                attempt = self._attempt = Task(self._try)
        attempt.wait(seconds)

    def _try(self) -> None:
        self._function()
        self.achieved = True

    @property
    def attempt(self) -> Task | None:
        """The latest attempt, None before the first."""
        return self._attempt


def run(seconds: float, function: Callable[..., R], *args: Any) -> R:
    """Call the function in a thread of its own and wait so long for it.

    :raises OverdueError: after ``seconds``; else whatever the call raises.
    """
    result: R = Task(function, *args).wait(seconds)
    return result
