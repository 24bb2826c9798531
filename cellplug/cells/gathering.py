"""Which cells to ask, and for how long: what comes before a scatter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.cells import building
from cellplug.cells import bulkhead
from cellplug.cells import checking
from cellplug.cells import lanes
from cellplug.cells import results
from cellplug.cells import scatter
from cellplug.cells import targets
from cellplug.db.api import project_cells
from cellplug.objects import identifiers
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
R = TypeVar('R')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which cells a caller wants asked, and for how long.

    See :meth:`cellplug.CellRouter.scatter_gather` for what they mean.
    """

    cells: Iterable[checking.Cell] | None = None
    project_id: str | None = None
    timeout: float | None = None
    skip_cell0: bool = False


class Gathering:
    """What asks many cells: ``scatter_gather`` and all that builds on it.

    :param find: the mapping of a cell that was named in any way.
    """

    def __init__(
        self,
        parts: building.Parts,
        find: Callable[[checking.Cell, Context], mappings.CellMapping],
        target: scatter.Target,
    ) -> None:
        self._parts = parts
        self._find = find
        self._target = target

    def __call__(
        self, context: Context, fn: Callable[..., R], *args: Any, **which: Any
    ) -> results.ScatterResult[R]:
        """See :meth:`cellplug.CellRouter.scatter_gather`."""
        call, deadline, cells = self._prepared(context, fn, args, which)
        return scatter.gather(
            self._parts.bulkhead, call, cells, deadline, self._refused(cells)
        )

    def stream(
        self, context: Context, fn: Callable[..., R], *args: Any, **which: Any
    ) -> scatter.Stream[R]:
        """See :meth:`cellplug.CellRouter.scatter_stream`."""
        call, deadline, cells = self._prepared(context, fn, args, which)
        refused = self._refused(cells)
        others = {outcome.cell.uuid for outcome in refused}
        batch = self._parts.bulkhead.begin(
            [cell for cell in cells if cell.uuid not in others],
            call.ask,
            deadline,
        )
        return scatter.Stream(batch, refused)

    def submit(
        self,
        context: Context,
        cell: mappings.CellMapping,
        deadline: lanes.Deadline,
        fn: Callable[..., R],
        *args: Any,
    ) -> bulkhead.Batch[R]:
        """Begin ``fn(cctxt, *args)`` in one cell; wait by ``outcome()``.

        Whatever its state is: where that forbids it, the outcome says so.
        """
        call = scatter.Call(self._target, context, fn, args)
        return self._parts.bulkhead.submit(cell, call.ask, deadline)

    def deadline(self, timeout: float | None) -> lanes.Deadline:
        """The moment that a caller's ``timeout`` means, from now.

        :raises InvalidInput: if it is no number of seconds above zero.
        """
        if timeout is None:
            timeout = self._parts.conf.cells.scatter_timeout
        return lanes.Deadline(_checked(timeout))

    def which(self, context: Context, which: Which) -> list[Any]:
        """The cells that a caller means, each once, in their order.

        :raises CellMappingNotFound: if one that is named does not exist.
        :raises NotSupported: for a project, where the resolver keeps no
            mappings.
        """
        named = self._named(context, which.cells)
        if which.project_id is not None:
            named = self._with_project(context, named, which)
        found = {cell.uuid: cell for cell in named}
        if which.skip_cell0:
            found.pop(identifiers.CELL0_UUID, None)
        return list(found.values())

    def _prepared(
        self,
        context: Context,
        fn: Callable[..., R],
        args: tuple[Any, ...],
        which: dict[str, Any],
    ) -> tuple[scatter.Call[R], lanes.Deadline, list[mappings.CellMapping]]:
        targets.checked(context)
        wanted = Which(**which)
        deadline = self.deadline(wanted.timeout)
        cells = self.which(context, wanted)
        return scatter.Call(self._target, context, fn, args), deadline, cells

    def _named(
        self, context: Context, cells: Iterable[checking.Cell] | None
    ) -> list[mappings.CellMapping]:
        if cells is None:
            return self._parts.cells.list()
        if isinstance(cells, str | mappings.CellMapping):
            raise exception.InvalidInput(
                'cells', 'is one cell; pass a list of them'
            )
        return [self._find(cell, context) for cell in cells]

    def _with_project(
        self,
        context: Context,
        named: list[mappings.CellMapping],
        which: Which,
    ) -> list[mappings.CellMapping]:
        """Those of them that have instances of the project."""
        project = identifiers.check_id('project_id', which.project_id)
        self._parts.asking.need_mappings()
        database = self._parts.database
        if not database.has_open_api_transaction(context):
            # What nobody's request asks, no request has done.
            context = cellplug_context.InternalContext()
        with database.api.reader.primary.single.using(context) as session:
            uuids = project_cells.cells(session, project)
        found = {cell.uuid: cell for cell in named if cell.uuid in uuids}
        if which.cells is None:
            # One that a cached list does not have yet must not be missed.
            for uuid in sorted(uuids - found.keys()):
                found[uuid] = self._find(uuid, context)
        return list(found.values())

    def _refused(
        self, cells: Iterable[mappings.CellMapping]
    ) -> list[results.Outcome[Any]]:
        """The failures of those whose state says that they are not asked."""
        refused = []
        for cell in cells:
            newest = self._parts.registry.newest(cell.uuid)
            if newest is None or newest.generation < cell.generation:
                newest = cell
            if newest.state is mappings.CellState.DISABLED:
                error = exception.CellStateForbids(
                    cell.uuid, cell.name, newest.state, 'it is not asked'
                )
                refused.append(results.raised(cell, error, targeted=False))
        return refused


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
