"""One look-up for all threads that ask for the same key at once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any


class Flight:
    """A look-up under way: one thread leads, others wait for it.

    :ivar answer: the mapping; None: there is none.
    :ivar done: whether the leader has an answer; False if it failed.
    """

    __slots__ = ('_landed', 'answer', 'done')

    def __init__(self) -> None:
        self._landed = threading.Event()
        self.answer: Any = None
        self.done = False

    def land(self, answer: Any) -> None:
        """The leader has an answer."""
        self.answer = answer
        self.done = True
        self._landed.set()

    def fail(self) -> None:
        """The leader has none. Nothing happens after :meth:`land`."""
        self._landed.set()

    def wait(self, seconds: float) -> bool:
        """Whether there is an answer, after so many seconds at most."""
        return self._landed.wait(seconds) and self.done


class Flights:
    """The look-ups of one process, by cache key.

    Whoever leads never waits for another before its own have landed, so no
    two wait for each other. The lock is held for moments, and no other is
    taken under it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[bytes, Flight] = {}

    def board(
        self, keys: Iterable[bytes]
    ) -> tuple[dict[bytes, Flight], dict[bytes, Flight]]:
        """Those that the caller leads, and those that it can wait for."""
        mine: dict[bytes, Flight] = {}
        others: dict[bytes, Flight] = {}
        with self._lock:
            for key in keys:
                flight = self._under_way.get(key)
                if flight is None:
                    self._under_way[key] = mine[key] = Flight()
                else:
                    others[key] = flight
        return mine, others

    def end(self, mine: dict[bytes, Flight]) -> None:
        """The leader is through: who still waits helps itself."""
        with self._lock:
            for key, flight in mine.items():
                if self._under_way.get(key) is flight:
                    del self._under_way[key]
        for flight in mine.values():
            flight.fail()

    def part(self, key: bytes) -> None:
        """The key was forgotten: who comes now must not join the former."""
        with self._lock:
            self._under_way.pop(key, None)

    def part_all(self) -> None:
        """A cell was forgotten, which any answer may hold."""
        with self._lock:
            self._under_way.clear()
