"""What was answered while cells broke and healed, and how fast."""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping

BUCKET = 0.05
"""Seconds: how finely it is kept when what was answered."""

BOOTED = 'booted'
"""What is noted of a cell that a boot of another user led to."""

_MOST_TIMES = 100_000
"""For each cell and part; percentiles are those of the last ones."""


class Part(enum.StrEnum):
    """The three parts of the story."""

    CALM = 'calm'
    BROKEN = 'broken'
    HEALED = 'healed'


@dataclasses.dataclass(slots=True)
class Tally:
    """Requests of one kind.

    :ivar answered: how many had the answer that they should have.
    :ivar failed: how many had not, those refused included.
    :ivar refused: how many were refused without asking the cell.
    :ivar error: what the last failure said.
    :ivar waited: seconds that the longest failure took.
    """

    answered: int = 0
    failed: int = 0
    refused: int = 0
    error: str | None = None
    waited: float = 0.0
    times: collections.deque[float] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_MOST_TIMES)
    )

    def note(self, seconds: float, error: str | None, refused: bool) -> None:
        """One more."""
        if error is None:
            self.answered += 1
            self.times.append(seconds)
            return
        self.failed += 1
        self.refused += refused
        self.error = error
        self.waited = max(self.waited, seconds)

    def share(self, part: float) -> float | None:
        """Seconds that this part of the answers did not exceed."""
        ordered = sorted(self.times)
        if not ordered:
            return None
        return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


@dataclasses.dataclass(slots=True)
class Listing:
    """The last answer of all cells together.

    :ivar answered: how many cells did.
    :ivar instances: how many they hold together.
    :ivar missing: the other cells, by name, and why.
    """

    answered: int = 0
    instances: int = 0
    missing: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Ledger:
    """Keeps count, for any number of threads.

    :param clock: seconds; only differences count.

    :ivar part: which part of the story it is now.
    :ivar listing: the last list.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._tallies: dict[tuple[Part, str, str], Tally] = {}
        self._buckets: dict[str, dict[int, list[int]]] = {}
        self._starts: dict[Part, float] = {}
        self.part = Part.CALM
        self.listing = Listing()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    def begin(self, part: Part) -> None:
        """From now on it is this part of the story; time begins with it."""
        if not self._starts:
            self._began = self._clock()
        self.part = part
        self._starts[part] = self.now

    @property
    def starts(self) -> dict[Part, float]:
        """When each part began."""
        return dict(self._starts)

    def note(
        self,
        cell: str,
        request: str,
        seconds: float,
        error: str | None = None,
        *,
        refused: bool = False,
        began: Part | None = None,
    ) -> None:
        """A request has ended.

        :param cell: the name of the cell it was for; '' for several.
        :param error: why there was no answer, None if there was one.
        :param refused: whether the cell was not even asked.
        :param began: the part in which it began; by default, it is now.
        """
        part = self._part_of(began or self.part, failed=error is not None)
        key = part, cell, request
        bucket = int(self.now / BUCKET)
        with self._lock:
            self._tallies.setdefault(key, Tally()).note(
                seconds, error, refused
            )
            if request == BOOTED:
                return
            counts = self._buckets.setdefault(cell, {}).setdefault(
                bucket, [0, 0]
            )
            counts[error is not None] += 1

    def _part_of(self, began: Part, *, failed: bool) -> Part:
        """To which part a request belongs that has just ended.

        One that spans two failed because of what was broken, or was answered
        before or after that.
        """
        ended = self.part
        if began is ended:
            return ended
        if failed:
            return Part.BROKEN
        return ended if began is Part.BROKEN else began

    @property
    def total(self) -> int:
        """How many requests have ended."""
        with self._lock:
            every = self._tallies.items()
            return sum(
                one.answered + one.failed
                for (_, _, request), one in every
                if request != BOOTED
            )

    def tally(self, part: Part, cell: str, *requests: str) -> Tally:
        """A cell's requests in one part of the story, taken together."""
        whole = Tally()
        with self._lock:
            for (when, where, request), one in self._tallies.items():
                if (when, where) == (part, cell) and request in requests:
                    whole.answered += one.answered
                    whole.failed += one.failed
                    whole.refused += one.refused
                    whole.error = one.error or whole.error
                    whole.waited = max(whole.waited, one.waited)
                    whole.times.extend(one.times)
        return whole

    def strip(
        self, cell: str, width: int, begin: float, end: float
    ) -> list[tuple[int, int]]:
        """How many answers and failures a cell had, as time went by.

        :param width: into how many steps to divide the time.
        :param begin: seconds since the ledger began; likewise ``end``.
        """
        steps = [(0, 0)] * width
        span = max(end - begin, BUCKET)
        with self._lock:
            counts = list(self._buckets.get(cell, {}).items())
        for bucket, (answered, failed) in counts:
            place = int((bucket * BUCKET - begin) / span * width)
            if 0 <= place < width:
                former = steps[place]
                steps[place] = (former[0] + answered, former[1] + failed)
        return steps
