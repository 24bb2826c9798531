"""Asking cells in threads that are shared out by cell, and waiting for them.

One total of threads per process is divided among the cells, not multiplied by
them. A call that hangs keeps its thread; once it is *overdue*, the thread
stops counting against the total, and the cell is given no other until it ends.
So there are at most the total and, for each cell, one share more; and what
hangs takes nothing from other cells.
"""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Callable
from collections.abc import Iterable
from typing import Generic
from typing import TypeVar

from cellplug import exception
from cellplug.cells import lanes
from cellplug.cells import pool as cells_pool
from cellplug.cells import results
from cellplug.objects import mappings

R = TypeVar('R')
Deadline = lanes.Deadline

_LOOK = 1.0
"""Seconds between looks, while one waits, for what has become overdue."""


class Bulkhead:
    """The threads in which cells are asked, those of all processes.

    They start when they are first needed. The router owns it. A child of a
    fork has threads of its own.

    :param total: how many cells may be asked at a time.
    :param cells: how many cells there are, as far as this process knows.
    :param idle: seconds after which a thread that has nothing to do ends.
    """

    def __init__(
        self,
        total: Callable[[], int],
        cells: Callable[[], int],
        idle: float = 30.0,
    ) -> None:
        self._total = total
        self._cells = cells
        self._idle = idle
        self._pools: dict[int, cells_pool.Pool] = {}
        self._closed = False

    def begin(
        self,
        cells: Iterable[mappings.CellMapping],
        ask: Callable[[mappings.CellMapping], results.Outcome[R]],
        deadline: Deadline,
    ) -> Batch[R]:
        """Ask these cells, each in a thread; at once, as far as there are any.

        :param cells: each is asked once, however often it is named.
        :param ask: called with each cell, in a thread. It must not raise.
        :raises RouterClosed: after :meth:`close`.
        """
        batch = Batch(self._pool(), cells, ask, deadline)
        try:
            batch.start(self._total(), self._cells())
        except BaseException:
            # Ctrl-C, it may be: what was not begun yet is not begun.
            batch.gone = True
            raise
        return batch

    def submit(
        self,
        cell: mappings.CellMapping,
        ask: Callable[[mappings.CellMapping], results.Outcome[R]],
        deadline: Deadline,
    ) -> Batch[R]:
        """Ask one cell: ``submit(...).outcome()`` waits for it."""
        return self.begin((cell,), ask, deadline)

    def threads(self) -> dict[str, tuple[int, int]]:
        """By cell uuid: how many calls run, and how many of them overdue.

        Cells that were not asked lately may be missing.
        """
        found = self._pools.get(os.getpid())
        return {} if found is None else found.counts()

    def close(self) -> None:
        """End the threads, in bounded time; what hangs is not waited for."""
        self._closed = True
        found = self._pools.get(os.getpid())
        if found is not None:
            found.close()

    def _pool(self) -> cells_pool.Pool:
        if self._closed:
            raise exception.RouterClosed('the router was closed')
        pid = os.getpid()
        found = self._pools.get(pid)
        if found is None:
            found = self._pools.setdefault(pid, cells_pool.Pool(self._idle))
        return found


class Batch(Generic[R]):
    """What one caller asked of some cells, and what has come of it.

    Each cell has exactly one outcome: what came of the call, or, when the
    deadline is over, that nothing did. For one thread at a time.

    :ivar gone: nobody wants the answers any more. May be set by anyone, at any
        time: what was not begun then is not begun.
    """

    def __init__(
        self,
        pool: cells_pool.Pool,
        cells: Iterable[mappings.CellMapping],
        ask: Callable[[mappings.CellMapping], results.Outcome[R]],
        deadline: Deadline,
    ) -> None:
        self.ask = ask
        self.deadline = deadline
        self.gone = False
        self._pool = pool
        self._open = {c.uuid: lanes.Task(self, c) for c in cells}
        self._arrived: collections.deque[results.Outcome[R]]
        self._arrived = collections.deque()
        self._gate = threading.Lock()
        self._gate.acquire()
        self._asleep = self._eager = False

    def start(self, total: int, cells: int) -> None:
        """Have the cells asked."""
        self._pool.enter(list(self._open.values()), total, cells)

    def settle(self, task: lanes.Task, outcome: results.Outcome[R]) -> None:
        """Hear of a cell; what comes too late is dropped."""
        if task.cell.uuid not in self._open:
            return
        # In this order: the asker may look without the lock.
        self._arrived.append(outcome)
        del self._open[task.cell.uuid]
        if self._asleep and (self._eager or not self._open):
            self._asleep = False
            # Ctrl-C may have left it open, behind one who waited.
            if self._gate.locked():
                self._gate.release()

    @property
    def done(self) -> bool:
        """Whether :meth:`outcome` would not wait."""
        return bool(self._arrived) or not self._open

    def outcome(self) -> results.Outcome[R]:
        """The next outcome in the order of arrival; waits for it.

        :raises LookupError: when all have been given.
        """
        if not self._arrived:
            self._wait(everything=False)
        return self._arrived.popleft()

    def outcomes(self) -> list[results.Outcome[R]]:
        """All outcomes that were not given yet, in the order of arrival."""
        self._wait(everything=True)
        return list(self._arrived)

    def close(self) -> None:
        """Begin nothing more, and drop what is not there yet."""
        if self._pool.pid != os.getpid():
            return
        with self._pool.lock:
            for task in self._open.values():
                self._pool.shares.withdraw(task)
            self._open.clear()
            self._asleep = False

    def _wait(self, *, everything: bool) -> None:
        if self._enough(everything):
            return
        if self._pool.pid != os.getpid():
            self._leave_to_parent()
        else:
            with self._pool.lending():
                while not self._nap(everything):
                    self._pool.look()

    def _enough(self, everything: bool) -> bool:
        return not self._open or (not everything and bool(self._arrived))

    def _nap(self, everything: bool) -> bool:
        """Wait for a while; whether there is enough, or the time is over."""
        with self._pool.lock:
            if self._enough(everything):
                return True
            left = self.deadline.left
            if not left:
                self._give_up()
            self._asleep, self._eager = bool(left), not everything
        if not left:
            self._pool.settle()
            return True
        opened = self._gate.acquire(timeout=min(left, _LOOK))
        with self._pool.lock:
            if not opened and not self._asleep:
                # It was opened just then.
                self._gate.acquire()
            self._asleep = False
            return self._enough(everything)

    def _give_up(self) -> None:
        for task in self._open.values():
            self._arrived.append(self._pool.shares.give_up(task))
        self._open.clear()

    def _leave_to_parent(self) -> None:
        """A child of a fork has none of the threads that are at work."""
        reason = 'the process forked; its parent gets the answer'
        for task in self._open.values():
            self._arrived.append(results.failed(task.cell, reason))
        self._open.clear()
