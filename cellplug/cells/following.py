"""Following a resolver with cells of its own through a reload."""

from __future__ import annotations

from cellplug import objects
from cellplug.cells import building


class Cells:
    """The resolver's own cells before a reload; none if it owns none."""

    def __init__(self, parts: building.Parts) -> None:
        self._parts = parts
        self._former = self._list()

    def _list(self) -> list[objects.CellMapping]:
        if not self._parts.asking.own_cells:
            return []
        found: list[objects.CellMapping] = self._parts.resolver.list_cells()
        return found

    def follow(self) -> None:
        """Have the registry follow what changed since."""
        registry = self._parts.registry
        now = self._list()
        for cell in now:
            registry.attach(cell)
        kept = {cell.uuid for cell in now}
        for cell in self._former:
            if cell.uuid not in kept:
                registry.bury(cell.uuid, cell.generation)
