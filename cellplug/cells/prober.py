"""Asking in the background what requests are refused without asking."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable

from cellplug.cells import breaker
from cellplug.cells import guard as cells_guard
from cellplug.cells import saying

LOG = logging.getLogger(__name__)

Probe = Callable[[cells_guard.CellGuard, breaker.Circuit], None]
"""Asks one part of a cell, and raises if it does not answer."""

_NO_THREAD = 1.0
"""Seconds until it is tried again where the system gives no more threads."""


@dataclasses.dataclass(slots=True, eq=False)
class _Process:
    """What one process watches.

    The lock is held for looking and noting alone; a circuit's is taken after
    it.

    :ivar watched: circuits that have opened, with their guards.
    :ivar asked: those that a thread asks just now, and what it sets when it
        has ended.
    :ivar runs: whether a thread waits for those that are watched.
    """

    changed: threading.Condition
    watched: dict[breaker.Circuit, cells_guard.CellGuard]
    asked: dict[breaker.Circuit, threading.Event]
    runs: bool = False
    stopped: bool = False


class Prober:
    """Probes open circuits when they are due, each in a thread of its own.

    One thread waits while there are open circuits, and ends with the last.
    A probe that hangs keeps its thread, and its circuit gets no other until
    it ends; what is asked has timeouts of its own. All threads are daemons.

    :param refresh: has the process take up what has become of a cell: how
        most are mended is that their mapping is edited.
    :param probe: asks.
    """

    def __init__(
        self, refresh: Callable[[cells_guard.CellGuard], None], probe: Probe
    ) -> None:
        self._refresh = refresh
        self._probe = probe
        self._processes: dict[int, _Process] = {}

    def _own(self) -> _Process:
        """This process's part; a child of a fork begins with its own."""
        pid = os.getpid()
        found = self._processes.get(pid)
        if found is None:
            fresh = _Process(threading.Condition(), {}, {})
            found = self._processes.setdefault(pid, fresh)
        return found

    def watch(
        self, guard: cells_guard.CellGuard, circuit: breaker.Circuit
    ) -> None:
        """Probe this circuit, which is open, until it is closed."""
        own = self._own()
        with own.changed:
            own.watched[circuit] = guard
            own.changed.notify_all()
            if not (own.runs or own.stopped):
                own.runs = _spawned('cellplug-prober', self._run, own)

    def _run(self, own: _Process) -> None:
        with own.changed:
            try:
                while True:
                    wait = self._start_due(own)
                    if own.stopped or not own.watched:
                        return
                    own.changed.wait(wait)
            finally:
                own.runs = False

    def _start_due(self, own: _Process) -> float | None:
        """Begin the probes that are due; seconds until the next will be."""
        waits = []
        for circuit, guard in list(own.watched.items()):
            if circuit in own.asked:
                continue
            left = circuit.due_in()
            if left is None:
                del own.watched[circuit]
            elif left > 0:
                waits.append(left)
            elif self._start(own, guard, circuit, early=False) is None:
                waits.append(_NO_THREAD)
        return min(waits, default=None)

    def _start(
        self,
        own: _Process,
        guard: cells_guard.CellGuard,
        circuit: breaker.Circuit,
        *,
        early: bool,
    ) -> threading.Event | None:
        """Ask in a thread, to be called with the lock held.

        :returns: what will be set; None if there is no thread to be had.
        """
        found = own.asked.get(circuit)
        if found is not None or own.stopped:
            return found
        found = own.asked[circuit] = threading.Event()
        if _spawned('cellplug-probe', self._work, own, guard, circuit, early):
            return found
        del own.asked[circuit]
        return None

    def ask(
        self, guard: cells_guard.CellGuard, circuit: breaker.Circuit
    ) -> threading.Event | None:
        """Ask now, whether the circuit is open or not.

        What comes of it counts as if a request had asked.

        :returns: what is set at the end, also that of a probe under way; None
            if none could be begun.
        """
        own = self._own()
        with own.changed:
            return self._start(own, guard, circuit, early=True)

    def _work(
        self,
        own: _Process,
        guard: cells_guard.CellGuard,
        circuit: breaker.Circuit,
        early: bool,
    ) -> None:
        try:
            self._once(guard, circuit, early)
        finally:
            with own.changed:
                own.asked.pop(circuit).set()
                own.changed.notify_all()

    def _once(
        self,
        guard: cells_guard.CellGuard,
        circuit: breaker.Circuit,
        early: bool,
    ) -> None:
        number = circuit.begin_probe(early=early)
        if number is not None:
            self._look_up(guard)
            if not circuit.is_probed(number):
                # Its address was changed: requests ask it again.
                return
        elif not early:
            return
        error: BaseException | None = None
        began = time.perf_counter()
        try:
            self._probe(guard, circuit)
        except BaseException as exc:  # noqa: BLE001 (the probe's outcome)
            error = exc
        took = time.perf_counter() - began
        if number is not None:
            circuit.end_probe(number, error, took)
        elif error is not None:
            circuit.failed(error)
        else:
            circuit.succeeded(took)

    def _look_up(self, guard: cells_guard.CellGuard) -> None:
        try:
            self._refresh(guard)
        except Exception as exc:  # noqa: BLE001 (it is asked as it is known)
            LOG.debug('A cell was not looked up again: %s', saying.said(exc))

    def stop(self) -> None:
        """Begin no more probes; those under way are not waited for."""
        own = self._own()
        with own.changed:
            own.stopped = True
            own.changed.notify_all()


def _spawned(name: str, work: Callable[..., None], *args: object) -> bool:
    """Whether there was a thread to be had for it."""
    thread = threading.Thread(target=work, args=args, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return False
    return True
