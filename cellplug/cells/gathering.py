"""Which cells to ask, and for how long: what comes before a scatter."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import TypeVar

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.cells import checking
from cellplug.cells import collection
from cellplug.cells import scatter
from cellplug.cells import targets
from cellplug.objects import identifiers
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
R = TypeVar('R')


class Gathering:
    """``router.scatter_gather``.

    :param find: the mapping of a cell that was named in any way.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        cells: collection.CellCollection,
        find: Callable[[checking.Cell, Context], mappings.CellMapping],
        target: scatter.Target,
    ) -> None:
        self._conf = conf
        self._cells = cells
        self._find = find
        self._target = target

    def __call__(
        self,
        context: Context,
        fn: Callable[..., R],
        *args: Any,
        cells: Iterable[checking.Cell] | None = None,
        timeout: float | None = None,
        skip_cell0: bool = False,
    ) -> scatter.ScatterResult[R]:
        """See :meth:`cellplug.CellRouter.scatter_gather`."""
        targets.checked(context)
        options = self._conf.cells
        seconds = options.scatter_timeout if timeout is None else timeout
        deadline = scatter.Deadline(_checked(seconds))
        asked = [
            cell
            for cell in self._named(context, cells)
            if not (skip_cell0 and cell.uuid == identifiers.CELL0_UUID)
        ]
        work = scatter.Scatter[R](self._target, options.scatter_threads)
        return work.run(context, asked, deadline, fn, *args)

    def _named(
        self, context: Context, cells: Iterable[checking.Cell] | None
    ) -> list[mappings.CellMapping]:
        if cells is None:
            return self._cells.list()
        if isinstance(cells, str | mappings.CellMapping):
            raise exception.InvalidInput(
                'cells', 'is one cell; pass a list of them'
            )
        return [self._find(cell, context) for cell in cells]


def _checked(timeout: Any) -> float:
    if (
        isinstance(timeout, bool)
        or not isinstance(timeout, int | float)
        or not math.isfinite(timeout)
        or timeout <= 0
    ):
        raise exception.InvalidInput(
            'timeout', f'{timeout!r} is no number of seconds above zero'
        )
    return timeout
