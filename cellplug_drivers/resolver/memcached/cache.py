"""What one process knows of memcached: reading, filling, forgetting.

*Reading.* An entry counts if it opens under this very key, is no older than
``ttl`` by its stamp, and no fence of this process stands before it. The stamp
is inside what is authenticated: an old entry that somebody put back, or that
a server kept while it was frozen, is old.

*Filling.* A look-up first reads the key: the *token* is "nothing", or the cas
id of what is there and does not count. Then it asks the backend. Then it
stores the answer by ``add`` or by ``cas`` with the token: only if nobody has
stored anything in between. Nothing is ever stored by a plain ``set`` but a
tombstone.

*Forgetting.* Whoever changed a mapping raises a fence in its own process, and
then sets a tombstone in memcached, which stays longer than any look-up that
fills may take: a look-up older than that does not fill.

*Why a late look-up never brings the old cell back.* Let a move commit, then
its tombstone be set. A look-up that saw the old cell asked the backend before
the commit, and took its token before that. If its fill comes before the
tombstone, the tombstone replaces it. If it comes after, the tombstone is what
lies there, or what somebody put there since by a token taken later: ``add``
fails, since something is there, and ``cas`` fails, since the id is another
one. By the time the tombstone expires the look-up is too old to fill.

*What is left.* A memcached that never got the tombstone, or lost it (by a
restart, a flush, or for want of room), may hold the old entry until it is
``ttl`` old by its stamp; so may other processes answer. The process that
changed the mapping does not: its fence stands for as long as such an entry
counts, and is lifted only to a generation that a look-up brought which began
after it was raised.

*Cells.* An instance's entry names its cell by uuid and generation, and an
answer takes any version of the cell from that generation on: it was current
when the entry was made, or later. This process keeps the newest version of
each cell it saw, and prefers it to an older one until it is ``ttl`` old. A
cell that was forgotten is dropped here, and no answer to a question from
before puts it back (``era``).
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import threading
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from cellplug import objects
from cellplug_drivers.resolver.memcached import cluster
from cellplug_drivers.resolver.memcached import codec
from cellplug_drivers.resolver.memcached import fences
from cellplug_drivers.resolver.memcached import filling
from cellplug_drivers.resolver.memcached import flights
from cellplug_drivers.resolver.memcached import notices
from cellplug_drivers.resolver.memcached import records

TOMBSTONE_LIFE = 45
"""Seconds, whole ones: the longest look-up, and time enough to send."""

FENCES = 10_000
"""How many forgotten keys are told apart."""

_CELLS = 10_000
_OPENED = 5_000


class Cache:
    """One process's client, fences, flights and cells.

    :param former: the parent's, in a child of a fork; what it forgot stays
        forgotten, and nothing else of it is used.
    :ivar cells: the newest version seen of each cell, by uuid, of whatever
        age; see :meth:`cell`.
    :ivar opened: the bytes last opened under a key, their stamp and mapping:
        of use only where memcached says these very bytes again.
    :ivar era: how often a cell was forgotten.
    """

    def __init__(
        self,
        options: Any,
        servers: list[Any],
        sealing: codec.Codec,
        clock: Callable[[], float],
        former: Cache | None = None,
    ) -> None:
        self.pid = os.getpid()
        self.told = notices.Notices()
        self.cluster = cluster.Cluster(
            servers,
            connect_timeout=options.connect_timeout,
            timeout=options.timeout,
            max_pool_size=options.max_pool_size,
            retry_after=options.retry_after,
            told=self.told,
        )
        self.codec = sealing
        self.clock = clock
        self.ttl: float = options.ttl
        self.skew: float = options.clock_skew
        self.negative_ttl = min(options.negative_ttl, options.ttl)
        self.fences: fences.Fences = fences.Fences(
            FENCES,
            self.ttl + self.skew,
            self.skew,
            former.fences.standing if former else None,
            former.fences.floor if former else 0.0,
        )
        self.filling = filling.Filling(
            self.cluster,
            sealing,
            self.fences,
            clock,
            self.ttl,
            self.negative_ttl,
        )
        self.flights = flights.Flights()
        self.cells: dict[str, objects.CellMapping] = {}
        self._stamps: dict[str, float] = {}
        self.opened: collections.OrderedDict[
            bytes, tuple[bytes, float, Any]
        ] = collections.OrderedDict()
        self.era = 0
        self._cells_lock = threading.Lock()

    # -- reading -----------------------------------------------------------

    def read(self, key: bytes, sealed: Any) -> codec.Entry | None:
        """The entry if it counts; else it is a miss."""
        entry = self.codec.open(key, sealed)
        if entry is None:
            self.told.note(
                'garbage',
                'memcached holds entries that none of [resolver_memcached] '
                'encryption_keys opens: they are ignored and replaced; do all '
                'processes have the same keys and prefix?',
            )
            return None
        generation = None
        if entry[0] == records.TOMBSTONE:
            return None
        if entry[0] != records.NONE:
            generation = entry[2]
        if self.counts(key, entry[1], generation):
            return entry
        return None

    def counts(self, key: bytes, stamp: float, generation: int | None) -> bool:
        """Whether an entry is young enough, and no fence stands before it.

        :param generation: None for "there is none".
        """
        now = self.clock()
        limit = self.negative_ttl if generation is None else self.ttl
        if not now - limit <= stamp <= now + self.skew:
            return False
        return self.fences.admit(key, stamp, generation, now)

    def keep_opened(
        self, key: bytes, sealed: bytes, stamp: float, mapping: Any
    ) -> None:
        """Save opening the same bytes under the same key once more.

        :param stamp: the older one, of the entry's and that of its cell.
        """
        if len(self.opened) >= _OPENED:
            # Another thread may do it at the same time.
            with contextlib.suppress(KeyError):
                self.opened.popitem(last=False)
        self.opened[key] = (sealed, stamp, mapping)

    def recollection(self) -> Callable[[bytes, Any], Any]:
        """What tells the mapping of bytes opened before, if it counts.

        For many keys at once: everything is looked at once that is the same
        for all of them. Whatever is not plain it leaves to :meth:`read`.

        :returns: a function of cache key and bytes; its result is an
            InstanceMapping, or None.
        """
        now = self.clock()
        oldest = max(now - self.ttl, self.fences.floor)
        newest = now + self.skew
        opened, cells, fenced = self.opened, self.cells, self.fences.standing

        def recollect(key: bytes, sealed: Any) -> Any:
            kept = opened.get(key)
            if kept is None or kept[0] != sealed or key in fenced:
                return None
            mapping = kept[2]
            if not oldest < kept[1] <= newest:
                return None
            if cells.get(mapping.cell_uuid) is not mapping.cell:
                return None
            return mapping

        return recollect

    # -- forgetting --------------------------------------------------------

    def forget(self, keys: Mapping[bytes, int | None]) -> None:
        """Believe nothing older of these keys; raises nothing.

        :param keys: with the generation below which nothing is believed;
            None: nothing is, of whatever generation.
        """
        self._bury(keys, self._fence(keys))

    def _fence(self, keys: Mapping[bytes, int | None]) -> float:
        now = self.clock()
        for key, minimum in keys.items():
            self.fences.raise_(key, minimum, now)
            self.flights.part(key)
        return now

    def _bury(self, keys: Mapping[bytes, int | None], now: float) -> None:
        tombs = {
            key: self.codec.seal(key, [records.TOMBSTONE, now, minimum])
            for key, minimum in keys.items()
        }
        self.cluster.store_many('set_many', tombs, TOMBSTONE_LIFE)

    def forget_cell(self, uuid: str, key: bytes) -> None:
        """Believe nothing of a cell that was known up to now."""
        # The fence first: who reads the new era must find it standing. Who
        # was before it has read the former era, and keeps nothing.
        now = self._fence({key: None})
        with self._cells_lock:
            self.era += 1
            self.cells.pop(uuid, None)
            self._stamps.pop(uuid, None)
        self._bury({key: None}, now)
        self.flights.part_all()

    def forget_all(self) -> None:
        """Believe nothing that was known up to now."""
        self.fences.raise_all(self.clock())
        with self._cells_lock:
            self.era += 1
            self.cells.clear()
            self._stamps.clear()
        self.flights.part_all()

    def cell(self, uuid: str) -> objects.CellMapping | None:
        """The newest version seen of a cell, if it is young enough."""
        found = self.cells.get(uuid)
        if found is None or not self._young(uuid):
            return None
        return found

    def _young(self, uuid: str) -> bool:
        now = self.clock()
        return now - self.ttl <= self.cell_stamp(uuid) <= now + self.skew

    def cell_stamp(self, uuid: str) -> float:
        """When the version seen of a cell was last known to be true."""
        return self._stamps.get(uuid, -math.inf)

    def keep_cell(
        self, cell: objects.CellMapping, era: int, stamp: float
    ) -> None:
        """Keep a version of a cell, if it is the newest.

        One that is newer counts while it is young: generations may go back,
        as where the database was restored.

        :param era: when the question began that it answers.
        :param stamp: when it was true, in epoch seconds.
        """
        uuid = cell.uuid
        with self._cells_lock:
            if era != self.era:
                return
            known = self.cells.get(uuid)
            if known is not None and known.generation > cell.generation:
                if self._young(uuid):
                    return
            elif known is not None and known.generation == cell.generation:
                # The same object, which the opened ones refer to.
                self._stamps[uuid] = max(stamp, self._stamps[uuid])
                return
            if len(self.cells) >= _CELLS:
                self.cells.clear()
                self._stamps.clear()
            self._stamps[uuid] = stamp
            self.cells[uuid] = cell
