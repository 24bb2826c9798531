"""``router.list_sorted`` and ``router.iter_sorted``.

The function that reads a cell's rows is called as ``fn(cctxt, sort_keys,
sort_dirs, limit, after)``, in a thread of the bulkhead, with a context that is
aimed at the cell, and returns rows: mappings.

- ``sort_keys`` and ``sort_dirs`` are lists of one length; the unique key is
  among the keys. Each row has a value, or None, for each key.
- The rows are sorted by those keys, and by the rule of
  :mod:`.listing_order`: None is less than everything, strings go by their
  code points. Rows that are not raise ListingNotSorted.
- ``after`` is None, or a dictionary of the sort keys: only rows that come
  after these values, whether or not there is a row that has them.
- There are ``limit`` of them (1 or more), or fewer if there are no more: fewer
  are taken for the end of the cell's rows.
- What it raises makes the cell absent; InvalidInput, from all cells, goes to
  the caller.
- To find the row of a marker that is an instance's uuid, it is called with
  the unique key alone, and the uuid before that one as a string.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import TypedDict

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.cells import bulkhead as cells_bulkhead
from cellplug.cells import checking
from cellplug.cells import gathering as cells_gathering
from cellplug.cells import listing_finding
from cellplug.cells import listing_marker
from cellplug.cells import listing_merge
from cellplug.cells import listing_order
from cellplug.cells import listing_pages
from cellplug.cells import listing_reading
from cellplug.cells import scatter
from cellplug.cells import targets
from cellplug.objects import mappings

Context = cellplug_context.RequestContext


class Options(TypedDict, total=False):
    """What a list is made of, beside its order.

    :ivar cells: CellMappings, uuids or names; None for all.
    :ivar project_id: only cells in which the project has instances.
    :ivar skip_cell0: leaves out the home of what was never placed.
    :ivar timeout: seconds for all that is read for a page; by default
        ``[cells] scatter_timeout``.
    :ivar batch: how many rows a cell is asked for at once; by default that
        follows from the limit, the number of cells, and what they gave.
    :ivar unique_key: the name of a column that is different in each row of
        the whole deployment; ``uuid`` by default.
    :ivar find_marker: called as ``find_marker(cctxt, uuid)``, gives the row of
        a marker that is an instance's uuid, or None. By default the row is
        looked for among those that the function lists; so pass one if that
        leaves out deleted rows, which are to be markers all the same.
    """

    cells: Iterable[checking.Cell] | None
    project_id: str | None
    skip_cell0: bool
    timeout: float | None
    batch: int | None
    unique_key: str
    find_marker: listing_finding.Find | None


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """What the caller wants to have listed, not checked yet."""

    sort_keys: Any
    sort_dirs: Any = None
    _: dataclasses.KW_ONLY
    marker: Any = None
    limit: int | None = None
    cells: Iterable[checking.Cell] | None = None
    project_id: str | None = None
    skip_cell0: bool = False
    timeout: float | None = None
    batch: int | None = None
    unique_key: str = 'uuid'
    find_marker: listing_finding.Find | None = None


class Listing:
    """Sorted lists over many cells.

    :param find: the mapping of an instance.
    :param target: gives a context aimed at a cell.
    """

    def __init__(
        self,
        bulkhead: cells_bulkhead.Bulkhead,
        gathering: cells_gathering.Gathering,
        find: Callable[[Context, str], mappings.InstanceMapping],
        target: scatter.Target,
    ) -> None:
        self._bulkhead = bulkhead
        self._gathering = gathering
        self._markers = listing_finding.Markers(gathering, find)
        self._target = target

    def page(
        self, context: Context, fn: listing_reading.Function, wish: Wish
    ) -> listing_pages.SortedPage:
        """One page; all that is read for it has one deadline."""
        deadline = self._gathering.deadline(wish.timeout)
        order, merge = self._merge(context, fn, wish, lambda: deadline)
        return listing_pages.make(order, merge, wish.limit)

    def rows(
        self,
        context: Context,
        fn: listing_reading.Function,
        wish: Wish,
        *,
        partial: bool,
    ) -> listing_pages.SortedRows:
        """All rows; each reading has a deadline of its own."""
        order, merge = self._merge(
            context, fn, wish, lambda: self._gathering.deadline(wish.timeout)
        )
        return listing_pages.SortedRows(order, merge, partial=partial)

    def _merge(
        self,
        context: Context,
        fn: listing_reading.Function,
        wish: Wish,
        patience: Callable[[], cells_bulkhead.Deadline],
    ) -> tuple[listing_order.Order, listing_merge.Merge]:
        targets.checked(context)
        for name, value in (('limit', wish.limit), ('batch', wish.batch)):
            if value is not None and checking.number(name, value) < 1:
                raise exception.InvalidInput(name, 'must be 1 or more')
        order = listing_order.order(
            wish.sort_keys, wish.sort_dirs, wish.unique_key
        )
        place = self._place(context, fn, wish, order, patience())
        which = cells_gathering.Which(
            cells=wish.cells,
            project_id=wish.project_id,
            skip_cell0=wish.skip_cell0,
        )
        merge = listing_merge.Merge(
            listing_reading.Reader(
                self._bulkhead, self._target, context, order, fn
            ),
            order,
            self._gathering.which(context, which),
            place,
            patience,
            wanted=wish.limit,
            batch=wish.batch,
        )
        return order, merge

    def _place(
        self,
        context: Context,
        fn: listing_reading.Function,
        wish: Wish,
        order: listing_order.Order,
        deadline: cells_bulkhead.Deadline,
    ) -> listing_marker.Place:
        if wish.marker is None:
            return listing_marker.Place()
        marker = listing_finding.as_uuid(wish.marker)
        if marker is None:
            return listing_marker.decode(order, wish.marker)
        find = wish.find_marker or listing_finding.among(fn, wish.unique_key)
        values = self._markers.values(context, marker, find, order, deadline)
        return listing_marker.Place(values)
