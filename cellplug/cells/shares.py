"""Who may have the next thread: one total, divided among the cells.

Nothing here knows threads, or takes a lock: see :mod:`.pool`.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from cellplug.cells import lanes
from cellplug.cells import results

_FORGET = 600.0
"""Seconds after which a cell that is not asked takes no share any more."""

_OVERDUE = (
    'What was asked of cell %s (%s) has not ended after %.1f s, and nobody '
    'waits for it any more; the cell is asked nothing else by scatters until '
    'it ends'
)
_ENDED = (
    'What was asked of cell %s (%s) ended after %.1f s; the cell is asked '
    'again'
)


class Shares:
    """The lanes of all cells, and what runs in them.

    :ivar total: how many calls may run at a time, overdue ones not counted.
    :ivar share: how many of them in one cell.
    :ivar notes: what there is to log, as arguments of ``Logger.log``.
    """

    def __init__(self) -> None:
        self.total = self.share = 1
        self.notes: collections.deque[tuple[Any, ...]] = collections.deque()
        self._lanes: dict[str, lanes.Lane] = {}
        self._ready: collections.deque[lanes.Lane] = collections.deque()
        self._busy = 0

    def waiting(self, coming: int = 0) -> bool:
        """Whether there may be something for another thread to do.

        :param coming: how many threads are on their way.
        """
        return len(self._ready) > coming and self._busy + coming < self.total

    def enter(
        self, tasks: Sequence[lanes.Task], total: int, cells: int
    ) -> None:
        """Put these tasks, of one asker, in their lanes.

        :param cells: how many cells there are, as far as anyone knows.
        """
        self._assign(tasks)
        self.total = total
        self.share = max(1, total // max(len(self._lanes), cells, 1))
        for task in tasks:
            self._admit(task)

    def _assign(self, tasks: Sequence[lanes.Task]) -> None:
        """Give each task its cell's lane.

        Lanes of cells that were deleted go in the end.
        """
        now, known = time.monotonic(), len(self._lanes)
        for task in tasks:
            lane = self._lanes.get(task.cell.uuid)
            if lane is None:
                lane = self._lanes[task.cell.uuid] = lanes.Lane()
            lane.used_at = now
            task.lane = lane
        if len(self._lanes) > known:
            self._lanes = {
                uuid: lane
                for uuid, lane in self._lanes.items()
                if now - lane.used_at < _FORGET or not lane.unused
            }

    def _admit(self, task: lanes.Task) -> None:
        lane = task.lane
        if lane.running:
            self._sweep(lane)
        if lane.overdue:
            lane.prune()
            if lane.stuck_for >= task.asker.deadline.seconds:
                outcome = results.failed(task.cell, _stuck(lane))
                task.asker.settle(task, outcome)
                return
        lane.queue.append(task)
        self.list(lane)

    def list(self, lane: lanes.Lane) -> None:
        """Have the lane served, if it may be."""
        if not lane.listed and lane.open_to(self.share):
            lane.listed = True
            self._ready.append(lane)

    def take(self) -> lanes.Task | None:
        """The next task to begin, if one may be begun now."""
        while self.waiting():
            lane = self._ready.popleft()
            lane.listed = False
            while lane.open_to(self.share):
                task = lane.queue.popleft()
                if task.dead:
                    continue
                task.started = time.monotonic()
                lane.running.add(task)
                self._busy += 1
                # Behind the others: each cell gets its turn.
                self.list(lane)
                return task
        return None

    def end(self, task: lanes.Task, outcome: results.Outcome[Any]) -> None:
        """A call came back."""
        lane = task.lane
        if task in lane.running:
            lane.running.remove(task)
            self._busy -= 1
        elif task in lane.overdue:
            lane.overdue.remove(task)
            if not lane.overdue:
                self._note(logging.INFO, _ENDED, task)
        self.list(lane)
        task.asker.settle(task, outcome)

    # -- what takes longer than its asker waits ----------------------------

    def look(self) -> None:
        """Find all calls that are overdue, and for which nobody waited."""
        for lane in self._lanes.values():
            self._sweep(lane)

    def _sweep(self, lane: lanes.Lane) -> None:
        for task in [t for t in lane.running if t.asker.deadline.over]:
            self._mark(task)

    def _mark(self, task: lanes.Task) -> None:
        """It was begun, and its time is over."""
        lane = task.lane
        if task in lane.running:
            lane.running.remove(task)
            self._busy -= 1
        elif not task.lent:
            return
        task.lent = False
        if not lane.overdue:
            self._note(logging.WARNING, _OVERDUE, task)
        lane.overdue.add(task)

    def _note(self, level: int, text: str, task: lanes.Task) -> None:
        cell = task.cell
        self.notes.append((level, text, cell.name, cell.uuid, task.age))

    def give_up(self, task: lanes.Task) -> results.Outcome[Any]:
        """The outcome of a task that has none in time."""
        seconds = f'{task.asker.deadline.seconds:g} s'
        if task.started is not None:
            self._mark(task)
            return results.failed(task.cell, f'no answer within {seconds}')
        self.withdraw(task)
        reason = f'not asked: no thread was free within {seconds}'
        if task.lane.overdue:
            reason = f'not asked: {_stuck(task.lane)}'
        elif len(task.lane.running) >= self.share:
            reason = (
                f'not asked: earlier calls took its share of the threads, '
                f'{self.share}, for {seconds}'
            )
        return results.failed(task.cell, reason)

    def withdraw(self, task: lanes.Task) -> None:
        """Do not begin it, if it was not begun."""
        with contextlib.suppress(ValueError):
            task.lane.queue.remove(task)

    def lend(self, task: lanes.Task) -> None:
        """Its thread is going to wait for other cells: it needs no share."""
        if task in task.lane.running:
            task.lane.running.remove(task)
            self._busy -= 1
            task.lent = True
        self.list(task.lane)

    def reclaim(self, task: lanes.Task) -> None:
        """Its thread goes on; that may be one too many for a while."""
        if task.lent:
            task.lent = False
            task.lane.running.add(task)
            self._busy += 1

    def counts(self) -> dict[str, tuple[int, int]]:
        """By cell uuid: how many calls run, and how many of them overdue."""
        return {
            uuid: (len(lane.running) + len(lane.overdue), len(lane.overdue))
            for uuid, lane in self._lanes.items()
        }


def _stuck(lane: lanes.Lane) -> str:
    return (
        f'a call that began {lane.stuck_for:.1f} s ago has not ended; nothing '
        'more is asked of this cell until it does'
    )
