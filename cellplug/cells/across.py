"""What goes over many cells at once: the router's second part."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug.cells import building
from cellplug.cells import checking
from cellplug.cells import gathering
from cellplug.cells import scatter
from cellplug.cells import targeting

Context = cellplug_context.RequestContext
R = TypeVar('R')


class Across(targeting.Targeting):
    """The part of the router that asks many cells, or chooses among them."""

    def __init__(self, parts: building.Parts) -> None:
        super().__init__(parts)
        self._gathering = gathering.Gathering(
            parts.conf, parts.cells, self._mapping, self.target_cell
        )

    def scatter_gather(
        self,
        context: Context,
        fn: Callable[..., R],
        *args: Any,
        cells: Iterable[checking.Cell] | None = None,
        timeout: float | None = None,
        skip_cell0: bool = False,
    ) -> scatter.ScatterResult[R]:
        """Call ``fn(cctxt, *args)`` in many cells at once.

        A cell that fails, hangs or cannot be targeted fails alone: nothing is
        raised for it. What it answers after the time is dropped, and ``fn``
        may go on there. Each call of ``fn`` runs in a thread of its own, in
        transactions of its own; it may run beside the caller from then on.

        :param cells: CellMappings, uuids or names; None for all.
        :param timeout: seconds for all cells together; by default ``[cells]
            scatter_timeout``.
        :param skip_cell0: leaves out the home of what was never placed.
        :raises CellMappingNotFound: if one that is named does not exist.
        """
        return self._gathering(
            context,
            fn,
            *args,
            cells=cells,
            timeout=timeout,
            skip_cell0=skip_cell0,
        )
