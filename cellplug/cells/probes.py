"""What a probe of a cell does."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from cellplug import exception
from cellplug.cells import breaker
from cellplug.cells import guard as cells_guard
from cellplug.cells import refreshing
from cellplug.db import probing
from cellplug.db import registry as db_registry


class Probes:
    """Asks cells in the way of their requests; for a :class:`.Prober`."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        registry: db_registry.EngineRegistry,
        resolver: Any,
        follower: refreshing.Follower,
    ) -> None:
        self._conf = conf
        self._registry = registry
        self._resolver = resolver
        self._follower = follower

    def refresh(self, guard: cells_guard.CellGuard) -> None:
        """Take up what has become of the cell.

        One that was deleted is let go of as the follower does it: not if the
        process was given its mapping by hand, and not for good.

        :raises CellplugError: if that cannot be learnt.
        """
        known = guard.mapping
        self._resolver.forget_cell(known.uuid)
        try:
            found = self._resolver.get_cell(known.uuid)
        except exception.CellMappingNotFound:
            self._follower.missed(known)
            return
        self._follower.found(known.uuid)
        self._registry.attach(found)

    def ask(
        self, guard: cells_guard.CellGuard, circuit: breaker.Circuit
    ) -> None:
        """Ask the part that the circuit stands before.

        :raises CellplugError: if it does not answer.
        """
        cell = guard.mapping
        if circuit.part == breaker.DATABASE:
            probing.probe(self._registry, cell.uuid, fresh=circuit.is_open)
            return
        # Imported for the first queue: a third of a second.
        from cellplug.rpc import probe  # noqa: PLC0415

        probe.connect(self._conf, cell.transport_url)
