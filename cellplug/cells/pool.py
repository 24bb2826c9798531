"""The threads of one process in which cells are asked.

A thread is woken, or started, by the one before it, when that has taken up
its own work and more is waiting. So cells that answer quickly are asked by few
threads, which is faster; and where they make their threads wait, there is soon
one for each.

Lock order: :attr:`Pool.lock` is taken last, and nothing is called while it is
held that could wait.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from oslo_context import context as oslo_context

from cellplug import exception
from cellplug.cells import lanes
from cellplug.cells import results
from cellplug.cells import shares

LOG = logging.getLogger(__name__)

_AT_ONCE = 2
"""How many threads are woken at a time; each wakes another in its turn."""

_STOPPING = 1.0
"""Seconds that idle threads get in all to end."""


class Pool:
    """The threads of one process.

    :param idle: seconds after which one that has nothing to do ends.

    :ivar lock: guards everything here, the shares, and the askers' answers.
    """

    def __init__(self, idle: float) -> None:
        self._idle_time = idle
        self.lock = threading.Lock()
        self.pid = os.getpid()
        self.shares = shares.Shares()
        self._idle: list[Worker] = []
        self._threads = 0
        self._waking = 0
        self._closed = False

    def enter(
        self, tasks: Sequence[lanes.Task], total: int, cells: int
    ) -> None:
        """Have these tasks done; see :meth:`.shares.Shares.enter`.

        :raises RouterClosed: after :meth:`close`.
        :raises RuntimeError: if the system gives not even one thread.
        """
        with self.lock:
            if self._closed:
                raise exception.RouterClosed('the router was closed')
            self.shares.enter(tasks, total, cells)
            helpers = [self._helper() for _ in range(_AT_ONCE)]
        roused = self._rouse_all(helpers)
        if not roused and not self._threads:
            raise RuntimeError('the system gives no thread to ask cells in')

    def settle(self) -> None:
        """Act on what has changed: have done what can be, and log."""
        with self.lock:
            helper = self._helper()
        self._rouse(helper)

    def look(self) -> None:
        """Find what is overdue: others may have its thread's share."""
        with self.lock:
            self.shares.look()
        self.settle()

    def _helper(self) -> Worker | None:
        """Who is to be woken or started, once the lock is free.

        A few at a time: each wakes the next, if there is still something to
        do.
        """
        if self._waking >= _AT_ONCE or not self.shares.waiting(self._waking):
            return None
        self._waking += 1
        if self._idle:
            helper = self._idle.pop()
        else:
            helper = Worker(self)
            self._threads += 1
        helper.roused = True
        return helper

    def _rouse_all(self, helpers: list[Worker | None]) -> bool:
        """Wake or start these; False if the system gives no thread at all.

        Ctrl-C meanwhile keeps none of them from it: who was counted as coming
        has to come.
        """
        if not helpers:
            return False
        first, *others = helpers
        try:
            roused = self._rouse(first)
        finally:
            also = self._rouse_all(others)
        return roused or also

    def _rouse(self, helper: Worker | None) -> bool:
        """Wake or start it; False if the system gives no more threads.

        And log what there is to log.
        """
        notes = self.shares.notes
        while notes:
            # Another thread may take the last one.
            with contextlib.suppress(IndexError):
                LOG.log(*notes.popleft())
        if helper is None:
            return True
        if helper.ident is not None:
            helper.gate.release()
            return True
        try:
            helper.start()
        except RuntimeError:
            # Fewer do it as well.
            with self.lock:
                self._threads -= 1
                self._waking -= 1
            return False
        return True

    def turn(
        self,
        worker: Worker,
        done: lanes.Task | None,
        outcome: results.Outcome[Any] | None,
    ) -> lanes.Task | None:
        """Hand in what came of a task, and take the next one.

        None if there is none: then the worker rests, see :meth:`rest`.
        """
        with self.lock:
            if worker.roused:
                worker.roused = False
                self._waking -= 1
            if done is not None and outcome is not None:
                self.shares.end(done, outcome)
            task = worker.task = self.shares.take()
            if task is None:
                worker.leaving = self._closed
                if self._closed:
                    self._threads -= 1
                else:
                    self._idle.append(worker)
            helper = self._helper()
        self._rouse(helper)
        return task

    def rest(self, worker: Worker) -> bool:
        """Wait until there may be something to do; False: end."""
        if worker.leaving:
            return False
        if worker.gate.acquire(timeout=self._idle_time):
            return True
        with self.lock:
            if worker in self._idle:
                self._idle.remove(worker)
                self._threads -= 1
                return False
        # It was woken just then.
        return worker.gate.acquire()

    @contextlib.contextmanager
    def lending(self) -> Iterator[None]:
        """A block in which a thread of the pool waits for other cells.

        Else calls that ask other cells would wait for each other's threads.
        """
        thread = threading.current_thread()
        task = None
        if isinstance(thread, Worker) and thread.pool is self:
            task = thread.task
        if task is None:
            yield
            return
        with self.lock:
            self.shares.lend(task)
        self.settle()
        try:
            yield
        finally:
            with self.lock:
                self.shares.reclaim(task)

    def counts(self) -> dict[str, tuple[int, int]]:
        """By cell uuid: how many calls run, and how many of them overdue."""
        self.look()
        with self.lock:
            return self.shares.counts()

    def close(self) -> None:
        """Tell the idle threads to end, and those that work, afterwards."""
        with self.lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.gate.release()
        deadline = lanes.Deadline(_STOPPING)
        for worker in idle:
            worker.join(deadline.left)


class Worker(threading.Thread):
    """A thread of the pool.

    A daemon: one that hangs does not keep the process from ending.

    :ivar gate: opened to wake it.
    :ivar task: what it does just now.
    """

    def __init__(self, pool: Pool) -> None:
        super().__init__(name='cellplug-scatter', daemon=True)
        self.pool = pool
        self.gate = threading.Lock()
        self.gate.acquire()
        self.roused = self.leaving = False
        self.task: lanes.Task | None = None

    def run(self) -> None:
        """Do one task after the other while there are some."""
        pool = self.pool
        nobody = oslo_context.RequestContext(overwrite=False)
        task: lanes.Task | None = None
        outcome: results.Outcome[Any] | None = None
        while True:
            task = pool.turn(self, task, outcome)
            outcome = None
            if task is None:
                # Nothing is kept of the request that was served last.
                nobody.update_store()
                if not pool.rest(self):
                    return
                continue
            outcome = task.asker.ask(task.cell)
            if pool.pid != os.getpid():
                # The call forked: the pool is the parent's.
                return
