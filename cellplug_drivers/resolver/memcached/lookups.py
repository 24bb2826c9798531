"""A look-up in memcached, in front of one in the backend."""

from __future__ import annotations

import abc
import enum
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Final
from typing import Generic
from typing import TypeVar

from cellplug import objects
from cellplug_drivers.resolver.memcached import cache as caching
from cellplug_drivers.resolver.memcached import codec
from cellplug_drivers.resolver.memcached import nodes

M = TypeVar('M', objects.InstanceMapping, objects.CellMapping)
Ask = Callable[[list[str]], Mapping[str, M]]
"""Asks the backend for names; leaves out what there is not."""


class Absent(enum.Enum):
    """What is neither a mapping nor a miss."""

    ABSENT = 'absent'


ABSENT: Final = Absent.ABSENT
"""It was asked for, and there is none."""


class LookUp(abc.ABC, Generic[M]):
    """Of mappings of one sort, by name (a uuid)."""

    def __init__(self, cache: caching.Cache, patience: float) -> None:
        self.cache = cache
        self._patience = patience

    @abc.abstractmethod
    def key(self, name: str) -> bytes:
        """The cache key."""

    @abc.abstractmethod
    def answer(
        self, name: str, key: bytes, sealed: bytes
    ) -> M | Absent | None:
        """What memcached says; None where it does not count: a miss."""

    @abc.abstractmethod
    def entry(self, mapping: M, stamp: float) -> codec.Entry | None:
        """The entry to store; None to store none."""

    @abc.abstractmethod
    def seen(self, mapping: M, era: int, stamp: float) -> None:
        """The backend said this, to a question of that moment."""

    def good(self, mapping: M | None) -> bool:
        """Whether another thread's answer will do."""
        return True

    def find(
        self, names: Iterable[str], dark: Iterable[bytes], ask: Ask[M]
    ) -> dict[str, M]:
        """Look up what memcached just did not have.

        :param dark: the keys that it did not answer for.
        """
        by_key = {self.key(name): name for name in names}
        flights = self.cache.flights
        mine, others = flights.board(by_key)
        try:
            found = self._lead({k: by_key[k] for k in mine}, set(dark), ask)
            for key, flight in mine.items():
                flight.land(found.get(by_key[key]))
        finally:
            flights.end(mine)
        left = []
        deadline = time.monotonic() + self._patience
        for key, flight in others.items():
            landed = flight.wait(max(0.0, deadline - time.monotonic()))
            if not landed or not self.good(flight.answer):
                left.append(key)
            elif flight.answer is not None:
                found[by_key[key]] = flight.answer
        if left:
            found |= self._ask({key: by_key[key] for key in left}, {}, ask)
        return found

    def _lead(
        self, by_key: dict[bytes, str], dark: set[bytes], ask: Ask[M]
    ) -> dict[str, M]:
        """Look into memcached once more, for tokens, and ask the backend.

        Who led before may have filled since this thread looked.
        """
        found: dict[str, M] = {}
        light = [key for key in by_key if key not in dark]
        seen = dict.fromkeys(light) | self.cache.cluster.ask_many(
            'gets_many', light
        )
        rest = dict(by_key)
        for key, there in seen.items():
            if there is None or there is nodes.UNAVAILABLE:
                continue
            known = self.answer(by_key[key], key, there[0])
            if known is not None:
                del rest[key]
                if known is not ABSENT:
                    found[by_key[key]] = known
        if rest:
            found |= self._ask(rest, seen, ask)
        return found

    def _ask(
        self, by_key: dict[bytes, str], seen: Mapping[bytes, Any], ask: Ask[M]
    ) -> dict[str, M]:
        cache = self.cache
        question = cache.filling.question(list(by_key), seen)
        era = cache.era
        found = ask(list(by_key.values()))
        answers = {}
        for key, name in by_key.items():
            mapping = found.get(name)
            if mapping is not None:
                self.seen(mapping, era, question.stamp)
                answers[key] = (
                    mapping.generation,
                    self.entry(mapping, question.stamp),
                )
        cache.filling.learn(question, answers)
        return {name: found[name] for name in by_key.values() if name in found}
