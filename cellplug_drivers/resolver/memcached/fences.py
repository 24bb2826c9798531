"""What this process forgot, and must not believe memcached about.

A fence stands on a cache key from the moment of forgetting on, for as long as
an entry from before can still be young enough to be believed. An entry behind
a fence counts only if its generation is at least the fence's. Without a
generation no entry counts, until a look-up that began after the forgetting
has brought one.

When there are too many fences the oldest goes, and :attr:`Fences.floor` rises
instead: no entry counts, of whatever key, that was looked up before that
fence was made. So forgetting is never lost, whatever the size.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from typing import NamedTuple


class Fence(NamedTuple):
    """One of them.

    :ivar number: another one for each forgetting; lifting keeps it.
    :ivar made: when, in epoch seconds.
    :ivar minimum: the generation from which on entries count; None: none do.
    """

    number: int
    made: float
    minimum: int | None


class Fences:
    """The fences of one process.

    Reading takes no lock: a fence is replaced, never changed. The lock is
    held for moments, and no other is taken under it.

    :param limit: how many there can be, some 200 bytes each.
    :param life: seconds for which a fence stands.
    :param skew: seconds that the clocks of hosts may differ by.
    :ivar floor: entries whose stamp is not later do not count.
    """

    def __init__(
        self,
        limit: int,
        life: float,
        skew: float,
        before: Mapping[bytes, Fence] | None = None,
        floor: float = 0.0,
    ) -> None:
        self._lock = threading.Lock()
        self._limit = limit
        self._life = life
        self._skew = skew
        self.standing: dict[bytes, Fence] = dict(before or {})
        self.floor = floor
        self._numbers = itertools.count(
            1 + max((one.number for one in self.standing.values()), default=0)
        )

    def raise_(self, key: bytes, minimum: int | None, now: float) -> None:
        """Forget what is stored under the key."""
        with self._lock:
            former = self.standing.pop(key, None)
            if former is not None and now - former.made <= self._life:
                minimum = _higher(former.minimum, minimum)
            self.standing[key] = Fence(next(self._numbers), now, minimum)
            self._thin_out(now)

    def raise_all(self, now: float) -> None:
        """Forget what is stored under every key."""
        with self._lock:
            self.floor = max(self.floor, now + self._skew)

    def _thin_out(self, now: float) -> None:
        """Remove those that are old, and what is too many."""
        while self.standing:
            key, oldest = next(iter(self.standing.items()))
            if now - oldest.made <= self._life:
                if len(self.standing) <= self._limit:
                    return
                self.floor = max(self.floor, oldest.made + self._skew)
            del self.standing[key]

    def lift(
        self, key: bytes, known: Fence | None, generation: int | None
    ) -> None:
        """A look-up has brought this generation.

        :param known: the fence when the look-up began; where another one
            stands now the look-up may be older, and does not count.
        """
        if known is None or known.minimum is not None:
            return
        with self._lock:
            if self.standing.get(key) is known:
                # In its place: the order is by age.
                self.standing[key] = known._replace(minimum=generation)

    def admit(
        self, key: bytes, stamp: float, generation: int | None, now: float
    ) -> bool:
        """Whether an entry counts.

        :param stamp: the entry's, in epoch seconds.
        :param generation: None for "there is none".
        """
        if stamp <= self.floor:
            return False
        fence = self.standing.get(key)
        if fence is None or now - fence.made > self._life:
            return True
        if fence.minimum is None or generation is None:
            return False
        return generation >= fence.minimum


def _higher(former: int | None, minimum: int | None) -> int | None:
    # What was forgotten without a generation stays forgotten.
    if former is None or minimum is None:
        return None
    return max(former, minimum)
