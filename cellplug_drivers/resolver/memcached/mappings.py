"""What is looked up: cells, and instances with their cells."""

from __future__ import annotations

from collections.abc import Iterable

from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from cellplug_drivers.resolver.memcached import cache as caching
from cellplug_drivers.resolver.memcached import codec
from cellplug_drivers.resolver.memcached import lookups
from cellplug_drivers.resolver.memcached import nodes
from cellplug_drivers.resolver.memcached import records
from cellplug_drivers.resolver.memcached.lookups import ABSENT
from cellplug_drivers.resolver.memcached.lookups import Absent


def has_own_cells(backend: interfaces.Resolver) -> bool:
    """Whether each process knows the cells by itself: nothing to share."""
    return interfaces.ResolverCapability.OWN_CELLS in backend.capabilities


class CellLookUp(lookups.LookUp[objects.CellMapping]):
    """Of cells by uuid.

    :param least: the generation from which on a version will do.
    """

    def __init__(
        self,
        cache: caching.Cache,
        keys: codec.Keys,
        backend: interfaces.Resolver,
        patience: float,
        least: int | None = None,
    ) -> None:
        super().__init__(cache, patience)
        self._keys = keys
        self._backend = backend
        self._least = least

    def get(self, uuid: str) -> objects.CellMapping | None:
        """The cell, from memcached or the backend; None: there is none."""
        if has_own_cells(self._backend):
            era, stamp = self.cache.era, self.cache.clock()
            own = self._ask_backend([uuid]).get(uuid)
            if own is not None:
                self.seen(own, era, stamp)
            return own
        key = self.key(uuid)
        sealed = self.cache.cluster.ask('get', key)
        dark = sealed is nodes.UNAVAILABLE
        if sealed is not None and not dark:
            known = self.answer(uuid, key, sealed)
            if known is not None:
                return None if known is ABSENT else known
        return self.find([uuid], [key] if dark else [], self._ask_backend).get(
            uuid
        )

    def _ask_backend(self, uuids: list[str]) -> dict[str, objects.CellMapping]:
        found = {}
        for uuid in uuids:
            try:
                found[uuid] = self._backend.get_cell(uuid)
            except exception.CellMappingNotFound:
                continue
        return found

    def key(self, name: str) -> bytes:
        return self._keys.cell(name)

    def answer(
        self, name: str, key: bytes, sealed: bytes
    ) -> objects.CellMapping | Absent | None:
        cache = self.cache
        era = cache.era
        kept = cache.opened.get(key)
        if kept is not None and kept[0] == sealed:
            cell: objects.CellMapping = kept[2]
            newest = cache.cell(name)
            if newest is None or newest.generation <= cell.generation:
                counts = cache.counts(key, kept[1], cell.generation)
                if not counts or not self.good(cell):
                    return None
                if newest is None:
                    cache.keep_cell(cell, era, kept[1])
                return cell
        entry = cache.read(key, sealed)
        if entry is None:
            return None
        if entry[0] == records.NONE:
            return ABSENT if self._least is None else None
        cell = records.to_cell(entry)
        newest = cache.cell(name)
        if newest is not None and newest.generation > cell.generation:
            return None
        if not self.good(cell):
            return None
        cache.keep_opened(key, sealed, entry[1], cell)
        cache.keep_cell(cell, era, entry[1])
        return cell

    def good(self, mapping: objects.CellMapping | None) -> bool:
        if self._least is None:
            return True
        return mapping is not None and mapping.generation >= self._least

    def entry(
        self, mapping: objects.CellMapping, stamp: float
    ) -> codec.Entry | None:
        return records.cell(mapping, stamp)

    def seen(
        self, mapping: objects.CellMapping, era: int, stamp: float
    ) -> None:
        self.cache.keep_cell(mapping, era, stamp)


class InstanceLookUp(lookups.LookUp[objects.InstanceMapping]):
    """Of instances by uuid."""

    def __init__(
        self,
        cache: caching.Cache,
        keys: codec.Keys,
        backend: interfaces.Resolver,
        patience: float,
    ) -> None:
        super().__init__(cache, patience)
        self._keys = keys
        self._backend = backend

    def get(self, uuid: str) -> objects.InstanceMapping:
        """The instance's mapping.

        :raises InstanceMappingNotFound: if there is none.
        """
        key = self._keys.instance(uuid)
        sealed = self.cache.cluster.ask('get', key)
        dark = sealed is nodes.UNAVAILABLE
        if sealed is None or dark:
            known = None
        else:
            known = self.answer(uuid, key, sealed)
        if known is None:
            known = self.find(
                [uuid], [key] if dark else [], self._ask_one
            ).get(uuid)
        if known is None or known is ABSENT:
            raise exception.InstanceMappingNotFound(uuid)
        return known

    def get_many(
        self, uuids: Iterable[str]
    ) -> dict[str, objects.InstanceMapping]:
        """Those that have a mapping."""
        of = self._keys.instance
        by_key = {of(uuid): uuid for uuid in uuids}
        seen = self.cache.cluster.ask_many('get_many', list(by_key))
        found: dict[str, objects.InstanceMapping] = {}
        misses, dark = [], []
        remembered = self.cache.recollection()
        for key, uuid in by_key.items():
            sealed = seen.get(key)
            mapping = remembered(key, sealed)
            if mapping is not None:
                found[uuid] = mapping
                continue
            if sealed is nodes.UNAVAILABLE:
                dark.append(key)
            elif sealed is not None:
                known = self.answer(uuid, key, sealed)
                if known is ABSENT:
                    continue
                if known is not None:
                    found[uuid] = known
                    continue
            misses.append(uuid)
        if misses:
            found |= self.find(misses, dark, self._ask_many)
        return found

    def _ask_one(self, uuids: list[str]) -> dict[str, objects.InstanceMapping]:
        found = {}
        for uuid in uuids:
            try:
                found[uuid] = self._backend.get_instance(uuid)
            except exception.InstanceMappingNotFound:
                continue
        return found

    def _ask_many(
        self, uuids: list[str]
    ) -> dict[str, objects.InstanceMapping]:
        return self._backend.get_instances(uuids)

    def key(self, name: str) -> bytes:
        return self._keys.instance(name)

    def answer(
        self, name: str, key: bytes, sealed: bytes
    ) -> objects.InstanceMapping | Absent | None:
        cache = self.cache
        kept = cache.opened.get(key)
        if kept is not None and kept[0] == sealed:
            mapping: objects.InstanceMapping = kept[2]
            # Where it does not count it may be its cell that is too old.
            if cache.cells.get(
                mapping.cell_uuid
            ) is mapping.cell and cache.counts(
                key, kept[1], mapping.generation
            ):
                return mapping
        entry = cache.read(key, sealed)
        if entry is None:
            return None
        if entry[0] == records.NONE:
            return ABSENT
        cell = cache.cell(entry[3])
        if cell is None or cell.generation < entry[4]:
            cell = CellLookUp(
                cache, self._keys, self._backend, self._patience, entry[4]
            ).get(entry[3])
            # The backend may not have it: then the instance is not there.
            if cell is None or not cell.generation >= entry[4]:
                return None
        mapping = records.to_instance(name, entry, cell)
        stamp = min(entry[1], cache.cell_stamp(cell.uuid))
        cache.keep_opened(key, sealed, stamp, mapping)
        return mapping

    def entry(
        self, mapping: objects.InstanceMapping, stamp: float
    ) -> codec.Entry | None:
        if mapping.cell is None:
            return None
        if has_own_cells(self._backend):
            # Another process may number its cells otherwise.
            return records.instance(mapping, stamp, 0)
        return records.instance(mapping, stamp, mapping.cell.generation)

    def seen(
        self, mapping: objects.InstanceMapping, era: int, stamp: float
    ) -> None:
        if mapping.cell is not None:
            self.cache.keep_cell(mapping.cell, era, stamp)
