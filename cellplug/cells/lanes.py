"""What the threads of scatters know of one cell: its lane."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from typing import Any
from typing import Protocol

from cellplug.cells import results
from cellplug.objects import mappings


class Deadline:
    """A moment from which on nothing is waited for any more.

    :ivar seconds: how far away it was in the beginning.
    """

    __slots__ = ('_end', 'seconds')

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that can be waited for."""
        left = self._end - time.monotonic()
        return min(max(0, left), threading.TIMEOUT_MAX)

    @property
    def over(self) -> bool:
        """Whether it has come."""
        return time.monotonic() >= self._end


class Asker(Protocol):
    """Who had some cells asked: what to call, and whom to tell.

    :ivar gone: nobody wants the answers any more; what was not begun is not
        begun.
    """

    deadline: Deadline
    gone: bool

    def ask(self, cell: mappings.CellMapping) -> results.Outcome[Any]:
        """Ask the cell. Never raises."""
        ...

    def settle(self, task: Task, outcome: results.Outcome[Any]) -> None:
        """Hear what came of it. Called with the pool's lock held."""
        ...


class Task:
    """One cell's part of what an asker wants to know.

    :ivar lane: the cell's; set by the pool.
    :ivar started: when a thread took it up; None before.
    :ivar lent: its thread waits for other cells' answers, and takes no share
        meanwhile.
    """

    __slots__ = ('asker', 'cell', 'lane', 'lent', 'started')

    lane: Lane

    def __init__(self, asker: Asker, cell: mappings.CellMapping) -> None:
        self.asker = asker
        self.cell = cell
        self.started: float | None = None
        self.lent = False

    @property
    def age(self) -> float:
        """Seconds since it was begun; 0 before."""
        return 0 if self.started is None else time.monotonic() - self.started

    @property
    def dead(self) -> bool:
        """Whether there is nobody to begin it for."""
        return self.asker.gone or self.asker.deadline.over


@dataclasses.dataclass(slots=True, eq=False)
class Lane:
    """One cell's share of the threads. Guarded by the pool's lock.

    :ivar queue: what waits for a thread, the oldest first.
    :ivar running: what has one.
    :ivar overdue: what still runs after its asker's deadline. It counts in
        nobody's share, and as long as there is some, the cell gets no other
        thread.
    :ivar listed: whether it stands among those that can be served.
    :ivar used_at: when something was last asked of the cell.
    """

    queue: collections.deque[Task] = dataclasses.field(
        default_factory=collections.deque
    )
    running: set[Task] = dataclasses.field(default_factory=set)
    overdue: set[Task] = dataclasses.field(default_factory=set)
    listed: bool = False
    used_at: float = 0

    @property
    def unused(self) -> bool:
        """Whether nothing runs in it and nothing waits."""
        return not (self.queue or self.running or self.overdue)

    @property
    def stuck_for(self) -> float:
        """For how many seconds the oldest overdue call has been running."""
        return max((task.age for task in self.overdue), default=0)

    def open_to(self, share: int) -> bool:
        """Whether a thread may take something from the queue."""
        return (
            bool(self.queue) and not self.overdue and len(self.running) < share
        )

    def prune(self) -> None:
        """Drop from the queue what nobody waits for any more."""
        if any(task.dead for task in self.queue):
            alive = [task for task in self.queue if not task.dead]
            self.queue = collections.deque(alive)
