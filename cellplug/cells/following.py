"""Following a resolver with cells of its own through a reload."""

from __future__ import annotations

from cellplug import exception
from cellplug import objects
from cellplug.cells import building


class Cells:
    """The resolver's own cells before a reload; none if it owns none."""

    def __init__(self, parts: building.Parts) -> None:
        self._parts = parts
        self._former = self._list() or []

    def _list(self) -> list[objects.CellMapping] | None:
        """The cells; None if the resolver has none of its own, or is down."""
        if not self._parts.asking.own_cells:
            return None
        try:
            found: list[objects.CellMapping] = (
                self._parts.resolver.list_cells()
            )
        except exception.CellplugError:
            # Then each cell follows when it is next looked up.
            return None
        return found

    def follow(self) -> None:
        """Have the registry follow what changed since."""
        now = self._list()
        if now is None:
            return
        for cell in now:
            self._parts.registry.attach(cell)
        kept = {cell.uuid for cell in now}
        for cell in self._former:
            if cell.uuid not in kept:
                self._parts.registry.bury(cell.uuid, cell.generation)
