"""How many instances the cells have, as new ones are placed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from cellplug.db.api import placing as queries


class Counts:
    """The last count of the cells' instances, in this process.

    *When it is right.* With ``max_age`` 0 nothing is remembered: each count
    is the truth of its statement, and what the request itself has mapped is
    in it. Else a count is at most ``max_age`` seconds old; what this process
    has placed since is added to it, and what others have placed, or anybody
    has unmapped or moved, is not.

    *What clears it.* Age; a fork.

    *Who owns it.* The router's ``place``. It holds a number for each cell.

    :param max_age: seconds.
    :param timer: seconds that never go back.
    """

    def __init__(
        self, max_age: float, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_age = max_age
        self._timer = timer
        self._memory = _Memory()

    def get(self, session: Any) -> dict[str, int]:
        """How many instances each cell has that has any, by uuid."""
        if not self._max_age:
            return queries.count(session)
        memory = self._own()
        now = self._timer()
        with memory.lock:
            if now < memory.until:
                return dict(memory.numbers)
        # Nobody waits for a database with the lock held: several threads may
        # count at once when the time has come.
        numbers = queries.count(session)
        with memory.lock:
            if memory.until <= now:
                memory.numbers = dict(numbers)
                memory.until = now + self._max_age
            # Else another thread counted meanwhile, and has added to it.
        return numbers

    def add(self, cell_uuid: str) -> None:
        """An instance was placed there, or will be with the next commit."""
        if not self._max_age:
            return
        memory = self._own()
        with memory.lock:
            now = memory.numbers.get(cell_uuid, 0)
            memory.numbers[cell_uuid] = now + 1

    def _own(self) -> _Memory:
        """This process's: a parent's lock may be held for ever in a child."""
        memory = self._memory
        if memory.pid != os.getpid():
            memory = self._memory = _Memory()
        return memory


class _Memory:
    """What one process knows.

    :ivar until: when the count is too old.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.numbers: dict[str, int] = {}
        self.until = float('-inf')
