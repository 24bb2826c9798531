"""Storing what the backend said, where nobody stored anything meanwhile.

How that works, and why, stands in :mod:`.cache`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from cellplug_drivers.resolver.memcached import cluster
from cellplug_drivers.resolver.memcached import codec
from cellplug_drivers.resolver.memcached import fences
from cellplug_drivers.resolver.memcached import nodes
from cellplug_drivers.resolver.memcached import records

LONGEST_LOOK_UP = 30.0
"""Seconds; an answer that took longer is returned, and not stored."""


class Token(NamedTuple):
    """What lay under a key before the backend was asked.

    :ivar cas: None if nothing did.
    :ivar least: what is stored must have this generation, if not None.
    """

    cas: bytes | None
    least: int | None


class Question(NamedTuple):
    """What has to be known before the backend is asked.

    :ivar tokens: of the keys that may be filled.
    :ivar standing: the fences on the keys.
    """

    tokens: Mapping[bytes, Token]
    standing: Mapping[bytes, fences.Fence | None]
    stamp: float
    began: float


class Filling:
    """Fills memcached for one process.

    :param clock: epoch seconds.
    :param ttl: seconds for which an entry counts.
    :param negative_ttl: likewise for "there is none"; 0: it is not stored.
    """

    def __init__(
        self,
        servers: cluster.Cluster,
        sealing: codec.Codec,
        standing: fences.Fences,
        clock: Callable[[], float],
        ttl: float,
        negative_ttl: float,
    ) -> None:
        self._cluster = servers
        self._codec = sealing
        self._fences = standing
        self._clock = clock
        self._ttl = ttl
        self._negative_ttl = negative_ttl

    def question(self, keys: list[bytes], seen: Mapping[bytes, Any]) -> Any:
        """Before the backend is asked.

        :param keys: what it will be asked for.
        :param seen: what ``gets_many`` just said; it says nothing of keys
            that are not to be filled.
        """
        tokens = {}
        for key in keys:
            there = seen.get(key, nodes.UNAVAILABLE)
            if there is None:
                tokens[key] = Token(None, None)
            elif there is not nodes.UNAVAILABLE:
                entry = self._codec.open(key, there[0])
                tokens[key] = Token(there[1], records.least(entry))
        standing = {key: self._fences.standing.get(key) for key in keys}
        return Question(tokens, standing, self._clock(), time.monotonic())

    def learn(
        self,
        question: Question,
        answers: Mapping[bytes, tuple[int | None, codec.Entry | None]],
    ) -> None:
        """Store what the backend said, where nobody stored meanwhile.

        :param answers: generation and entry (None: store none), by key; of
            what the question was about and is not here, "there is none" is
            stored.
        """
        for key, (known, _) in answers.items():
            self._fences.lift(key, question.standing.get(key), known)
        elapsed = self._elapsed(question)
        if not 0 <= elapsed <= min(LONGEST_LOOK_UP, self._ttl):
            return
        fresh: dict[int, dict[bytes, bytes]] = {}
        for key, token in question.tokens.items():
            generation, entry = answers.get(
                key, (None, [records.NONE, question.stamp])
            )
            life = self._ttl if generation is not None else self._negative_ttl
            left = math.ceil(life - elapsed)
            if left <= 0 or entry is None:
                continue
            if not self._may_fill(key, token, generation, question):
                continue
            sealed = self._codec.seal(key, entry)
            if sealed is None:
                continue
            if token.cas is None:
                fresh.setdefault(left, {})[key] = sealed
            else:
                self._cluster.ask('cas', key, sealed, token.cas, left)
        for left, values in fresh.items():
            self._cluster.store_many('add_many', values, left)

    def _elapsed(self, question: Question) -> float:
        """Seconds since the question; below 0 if the clock went back."""
        by_clock = self._clock() - question.stamp
        if by_clock < 0:
            return by_clock
        return max(by_clock, time.monotonic() - question.began)

    def _may_fill(
        self,
        key: bytes,
        token: Token,
        generation: int | None,
        question: Question,
    ) -> bool:
        was, now = question.standing[key], self._fences.standing.get(key)
        if _number(was) != _number(now):
            return False  # Forgotten meanwhile, in this process.
        if token.least is None or generation is None:
            return True
        return generation >= token.least


def _number(fence: fences.Fence | None) -> int | None:
    return None if fence is None else fence.number
