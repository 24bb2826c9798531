"""Processes that do what they are told at the same time."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from typing import Self

Case = Callable[[int], object]
"""Done over and over; it is given the number of the call."""

_AHEAD = 0.01
"""Seconds from the message to its beginning, for all to have it by then."""


@dataclasses.dataclass(frozen=True)
class Slice:
    """What some processes did together in a short time.

    :ivar calls: of all of them.
    :ivar rate: calls per second.
    :ivar cpu: processor seconds for each call, the servers' left out.
    """

    calls: int
    rate: float
    cpu: float


class Workers:
    """Some processes, forked before there is anything that must not be.

    :param count: how many.
    """

    def __init__(self, count: int) -> None:
        # Not spawned: what is imported is imported once.
        method = multiprocessing.get_context('fork')
        self._pipes, self._processes = [], []
        for number in range(count):
            here, there = method.Pipe()
            process = method.Process(
                target=_serve, args=(there, number), daemon=True
            )
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing would not do: the later ones have inherited these ends.
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(('stop',))
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.terminate()

    def set_up(
        self, function: Callable[..., Mapping[str, Case]], *args: Any
    ) -> None:
        """Have each make its cases.

        :param function: called with the process's number and ``args``;
            returns the cases by name. Of the module's level.
        """
        self._ask(len(self._pipes), ('set up', function, args))

    def run(self, name: str, processes: int, seconds: float) -> Slice:
        """Do one case again and again, in so many processes at once."""
        begin = time.monotonic() + _AHEAD
        found = self._ask(processes, ('run', name, begin, begin + seconds))
        calls = sum(one[0] for one in found)
        return Slice(
            calls=calls,
            rate=sum(count / elapsed for count, elapsed, _ in found),
            cpu=sum(one[2] for one in found) / calls,
        )

    def _ask(self, processes: int, message: tuple[Any, ...]) -> list[Any]:
        pipes = self._pipes[:processes]
        for pipe in pipes:
            pipe.send(message)
        answers = [pipe.recv() for pipe in pipes]
        for answer in answers:
            if isinstance(answer, str):
                sys.exit(f'a process failed:\n{answer}')
        return answers


def _serve(pipe: Any, number: int) -> None:
    """Answer until told to stop; failures are answered as text."""
    cases: Mapping[str, Case] = {}
    while True:
        what, *rest = pipe.recv()
        if what == 'stop':
            return
        try:
            if what == 'set up':
                function, args = rest
                cases = function(number, *args)
                pipe.send(())
            else:
                name, begin, end = rest
                pipe.send(_run(cases[name], begin, end))
        except BaseException:  # noqa: BLE001 (printed by the other end)
            pipe.send(traceback.format_exc())


def _run(case: Case, begin: float, end: float) -> tuple[int, float, float]:
    """How many calls, in how many seconds, of the processor's how many."""
    calls = 0
    clock = time.monotonic
    time.sleep(max(0.0, begin - clock()))
    began, busy = clock(), time.process_time()
    while clock() < end:
        case(calls)
        calls += 1
    return calls, clock() - began, time.process_time() - busy
