"""Running what may never return, for a bounded time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any
from typing import TypeVar

R = TypeVar('R')


class OverdueError(Exception):
    """The time is over; the call goes on in its thread, unheard."""


def run(seconds: float, function: Callable[..., R], *args: Any) -> R:
    """Call the function in a thread of its own and wait so long for it.

    The thread is a daemon: one that never returns does not keep the process
    from ending.

    :raises OverdueError: after ``seconds``; else whatever the call raises.
    """
    answers: queue.SimpleQueue[tuple[Any, BaseException | None]]
    answers = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((function(*args), None))
        except BaseException as exc:  # noqa: BLE001 (raised there)
            answers.put((None, exc))

    threading.Thread(target=work, name='cellplug-bounded', daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise OverdueError(f'not done within {seconds:g} s') from None
    if error is not None:
        raise error
    result: R = value
    return result
