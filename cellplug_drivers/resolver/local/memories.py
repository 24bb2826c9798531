"""What the ``local`` resolver remembers in one process."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable

import cachetools

from cellplug import objects

_FENCES = 1000
"""How many forgotten instances are told apart from all the others."""


class _Fences(cachetools.FIFOCache[str, tuple[int, int]]):
    """When an instance was last forgotten, and below which generation.

    Of those that were dropped for want of room it knows the last epoch; that
    counts for all that it does not know.
    """

    _floor = 0

    def popitem(self) -> tuple[str, tuple[int, int]]:
        """Drop the oldest, but not its epoch."""
        uuid, fence = super().popitem()
        self._floor = max(self._floor, fence[0])
        return uuid, fence

    def __missing__(self, key: str) -> tuple[int, int]:
        return self._floor, 0


class Memory:
    """What one process remembers.

    Reading takes no lock: looking into a FIFOCache changes nothing in it
    (an LRUCache or TTLCache would be reordered), and entries are tuples that
    are replaced as a whole. Writing takes the lock. First in, first out is
    also the order in which entries age.

    A question notes the ``epoch`` before it is put to the backend; forgetting
    raises it. So :meth:`keep` sees what was forgotten meanwhile.

    :ivar epoch: how often something was forgotten.
    """

    def __init__(self, size: int) -> None:
        self.epoch = 0
        self._lock = threading.Lock()
        self._cells_forgotten = 0
        self._fences = _Fences(_FENCES)
        # Each with the moment from which on it is too old. Instances and
        # cells by uuid; answers of get_cell by what was asked for.
        self._instances: cachetools.FIFOCache[
            str, tuple[float, objects.InstanceMapping]
        ] = cachetools.FIFOCache(size)
        self._cells: cachetools.FIFOCache[
            str, tuple[float, objects.CellMapping]
        ] = cachetools.FIFOCache(size)
        self._asked: cachetools.FIFOCache[
            str, tuple[float, objects.CellMapping]
        ] = cachetools.FIFOCache(size)

    def instance(
        self, uuid: str, now: float
    ) -> objects.InstanceMapping | None:
        """The instance with its cell, if both are known and young."""
        try:
            deadline, found = self._instances[uuid]
            cell_deadline, cell = self._cells[found.cell_uuid]
        except KeyError:
            return None
        if now >= deadline or now >= cell_deadline:
            return None
        if cell is found.cell:
            return found
        return dataclasses.replace(found, cell=cell)

    def cell(self, asked: str, now: float) -> objects.CellMapping | None:
        """What get_cell said, unless a newer version was seen since."""
        try:
            deadline, found = self._asked[asked]
            _, newest = self._cells[found.uuid]
        except KeyError:
            return None
        if now >= deadline or newest.generation > found.generation:
            return None
        return found

    def keep_cell(
        self,
        asked: str,
        found: objects.CellMapping,
        began: int,
        deadline: float,
        now: float,
    ) -> None:
        """Remember an answer of get_cell."""
        with self._lock:
            if began >= self._cells_forgotten:
                self._learn(found, deadline, now)
                self._asked[asked] = deadline, found

    def keep(
        self,
        answers: Iterable[objects.InstanceMapping],
        began: int,
        deadline: float,
        now: float,
    ) -> list[objects.InstanceMapping]:
        """Remember answers, but for what was forgotten since they began.

        :returns: the answers; newer versions where they are known. What is
            too old is not: generations may go back, as where the database
            was restored.
        """
        with self._lock:
            return [self._keep(one, began, deadline, now) for one in answers]

    def _keep(
        self,
        found: objects.InstanceMapping,
        began: int,
        deadline: float,
        now: float,
    ) -> objects.InstanceMapping:
        if found.cell is None or began < self._cells_forgotten:
            return found
        cell = self._learn(found.cell, deadline, now)
        if cell is not found.cell:
            found = dataclasses.replace(found, cell=cell)
        uuid = found.instance_uuid
        forgotten, oldest = self._fences[uuid]
        if began < forgotten or found.generation < oldest:
            return found
        until, known = self._instances.get(uuid, (now, found))
        if known.generation > found.generation and now < until:
            return self._completed(known, now) or found
        self._instances[uuid] = deadline, found
        return found

    def _completed(
        self, known: objects.InstanceMapping, now: float
    ) -> objects.InstanceMapping | None:
        """With its cell; None if that is not known, or too old."""
        if known.cell_uuid not in self._cells:
            return None
        until, cell = self._cells[known.cell_uuid]
        if now >= until:
            return None
        return dataclasses.replace(known, cell=cell)

    def _learn(
        self, cell: objects.CellMapping, deadline: float, now: float
    ) -> objects.CellMapping:
        """Remember the cell; the newest version known.

        All instances of a cell share one object.
        """
        until, known = self._cells.get(cell.uuid, (now, cell))
        if known.generation > cell.generation and now < until:
            return known
        if known == cell:
            cell = known
        self._cells[cell.uuid] = deadline, cell
        return cell

    def drop_instances(self, uuids: Iterable[str]) -> None:
        """The backend knows them no more."""
        with self._lock:
            for uuid in uuids:
                self._instances.pop(uuid, None)

    def forget_instance(self, uuid: str, below: int | None) -> None:
        with self._lock:
            self.epoch += 1
            _, oldest = self._fences[uuid]
            self._fences[uuid] = self.epoch, max(oldest, below or 0)
            _, known = self._instances.get(uuid, (0.0, None))
            if known and (below is None or known.generation < below):
                del self._instances[uuid]

    def forget_cells(self) -> None:
        with self._lock:
            self.epoch += 1
            self._cells_forgotten = self.epoch
            self._cells.clear()
            self._asked.clear()

    def forget_all(self) -> None:
        # With the cells: an answer that began before is kept without its
        # cell, which is to say not at all.
        self.forget_cells()
        with self._lock:
            self._instances.clear()
