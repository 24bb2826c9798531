"""One call in many cells: targeted where it runs, gathered or streamed."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any
from typing import Generic
from typing import Self
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug.cells import bulkhead as cells_bulkhead
from cellplug.cells import lanes
from cellplug.cells import results
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
R = TypeVar('R')

Target = Callable[
    [Context, mappings.CellMapping], AbstractContextManager[Context]
]


class Call(Generic[R]):
    """``fn(cctxt, *args)``, to be called in each cell.

    :param target: gives a context aimed at a cell; called in the cell's own
        task, so that a cell which cannot be targeted fails alone.
    """

    __slots__ = ('_args', '_context', '_fn', '_target')

    def __init__(
        self,
        target: Target,
        context: Context,
        fn: Callable[..., R],
        args: tuple[Any, ...],
    ) -> None:
        self._target = target
        # Whatever becomes of the caller's own one: late tasks use this.
        self._context = context.copy_with()
        self._fn = fn
        self._args = args

    def ask(self, cell: mappings.CellMapping) -> results.Outcome[R]:
        """Call it in the cell, in this thread. Never raises."""
        targeted = False
        try:
            # The thread is nobody else's now: log lines name the request.
            self._context.update_store()
            with self._target(self._context, cell) as cctxt:
                targeted = True
                value = self._fn(cctxt, *self._args)
            return results.Outcome(cell, value=value)
        except BaseException as exc:  # noqa: BLE001 (the cell's outcome)
            return results.raised(cell, exc, targeted=targeted)


class Stream(Generic[R]):
    """The outcomes of a scatter as they arrive; each cell has exactly one.

    An iterator. It ends at the deadline at the latest, with the failures of
    the cells that have not answered by then; what has arrived is given before
    those. Whoever stops before the end closes it, or forgets it: what was not
    begun then is not begun. It is a context manager that closes itself.
    """

    def __init__(
        self,
        batch: cells_bulkhead.Batch[R],
        refused: Iterable[results.Outcome[R]] = (),
    ) -> None:
        self._batch = batch
        self._refused = collections.deque(refused)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> results.Outcome[R]:
        if self._refused:
            return self._refused.popleft()
        try:
            return self._batch.outcome()
        except LookupError:
            raise StopIteration from None

    def close(self) -> None:
        """Begin nothing more; what is under way goes on, unheard."""
        self._refused.clear()
        self._batch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Without a lock: it may be this thread that holds it.
        self._batch.gone = True


def gather(
    bulkhead: cells_bulkhead.Bulkhead,
    call: Call[R],
    cells: Iterable[mappings.CellMapping],
    deadline: lanes.Deadline,
    refused: Iterable[results.Outcome[R]] = (),
) -> results.ScatterResult[R]:
    """Make a call in each cell, and wait for all; never raises for one.

    :param cells: each is asked once, however often it is named.
    :param refused: of those that are not asked, what is to be said instead.
    """
    asked = {cell.uuid: cell for cell in cells}
    found = {outcome.cell.uuid: outcome for outcome in refused}
    batch = bulkhead.begin(
        [cell for uuid, cell in asked.items() if uuid not in found],
        call.ask,
        deadline,
    )
    try:
        found.update((one.cell.uuid, one) for one in batch.outcomes())
    finally:
        batch.close()
    return results.ScatterResult([found[uuid] for uuid in asked])
