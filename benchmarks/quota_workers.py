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

_LEAD = 0.3
"""This part of a slice more goes by before the measuring begins. All have to
have the message by then, and a process whose turn it was not for a while is
slow at first: in the processor's caches is what the others needed."""


@dataclasses.dataclass(frozen=True)
class Slice:
    """What some processes did together in a short time.

    :ivar calls: of all of them, those before the measuring included.
    :ivar rate: calls per second.
    :ivar cpu: processor seconds for each call, the servers' left out.
    """

    calls: int
    rate: float
    cpu: float


@dataclasses.dataclass(frozen=True)
class _Part:
    """What one process did; times are in seconds."""

    calls: int
    measured: int
    elapsed: float
    busy: float


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
        begin = time.monotonic() + seconds * _LEAD
        found = self._ask(processes, ('run', name, begin, begin + seconds))
        measured = sum(one.measured for one in found)
        return Slice(
            calls=sum(one.calls for one in found),
            rate=sum(one.measured / one.elapsed for one in found),
            cpu=sum(one.busy for one in found) / max(1, measured),
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


def _run(case: Case, begin: float, end: float) -> _Part:
    """Do it until the end; measure from the beginning."""
    calls = 0
    clock = time.monotonic
    while clock() < begin:
        case(calls)
        calls += 1
    before, began, busy = calls, clock(), time.process_time()
    while clock() < end:
        case(calls)
        calls += 1
    return _Part(
        calls=calls,
        measured=calls - before,
        elapsed=clock() - began,
        busy=time.process_time() - busy,
    )
