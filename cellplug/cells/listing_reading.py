"""Reading a cell's rows for a sorted list, and holding it to the order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.cells import bulkhead as cells_bulkhead
from cellplug.cells import listing_order
from cellplug.cells import scatter
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
Cell = mappings.CellMapping
Row = Mapping[str, Any]
Values = listing_order.Values
Entry = tuple[listing_order.Key, Values, Row]
"""A row, what it is merged by, and its sort values."""

Function = Callable[..., Iterable[Row]]
"""What a service hands in, see :meth:`cellplug.CellRouter.list_sorted`."""

Batch = cells_bulkhead.Batch


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """What a cell answered.

    :ivar ended: there are no more.
    """

    entries: list[Entry]
    ended: bool


class Reader:
    """Asks cells for rows, in the threads that are shared out by cell.

    :param target: gives a context aimed at a cell.
    """

    def __init__(
        self,
        bulkhead: cells_bulkhead.Bulkhead,
        target: scatter.Target,
        context: Context,
        order: listing_order.Order,
        fn: Function,
    ) -> None:
        self._bulkhead = bulkhead
        self._target = target
        self._context = context
        self._order = order
        self._fn = fn

    def begin(
        self,
        cells: Sequence[Cell],
        limit: int,
        after: Callable[[str], Values | None],
        deadline: cells_bulkhead.Deadline,
    ) -> Batch[Rows]:
        """Ask each of these cells for its next rows.

        :param after: after which values, by cell uuid; None: from the start.
        """
        names = {cell.uuid: cell for cell in cells}

        def read(cctxt: Any) -> Rows:
            cell = names[cctxt.cell_uuid]
            return self._read(cctxt, cell, limit, after(cell.uuid))

        call = scatter.Call(self._target, self._context, read, ())
        return self._bulkhead.begin(cells, call.ask, deadline)

    def _read(
        self, cctxt: Any, cell: Cell, limit: int, after: Values | None
    ) -> Rows:
        order = self._order
        rows = self._fn(
            cctxt,
            list(order.names),
            list(order.directions),
            limit,
            order.after(after),
        )
        entries = checked(order, cell, rows, after)
        return Rows(entries, ended=len(entries) < limit)


def as_mapping(row: Any) -> Row | None:
    """The row; SQLAlchemy's is a tuple with a mapping in it."""
    if isinstance(row, Mapping):
        return row
    found: Row | None = getattr(row, '_mapping', None)
    return found


def checked(
    order: listing_order.Order,
    cell: Cell,
    rows: Iterable[Any],
    after: Values | None,
) -> list[Entry]:
    """The rows with what they are merged by.

    :raises ListingNotSorted: unless each comes after the one before it, and
        the first after those values.
    """

    def refuse(reason: str) -> exception.ListingNotSorted:
        return exception.ListingNotSorted(cell.uuid, cell.name, reason)

    found: list[Entry] = []
    last = None if after is None else order.key(after)
    for row in rows:
        given = as_mapping(row)
        if given is None:
            raise refuse(f'a {type(row).__name__} is no mapping')
        try:
            values = order.values(given)
            key = order.key(values)
            in_order = last is None or last < key
        except KeyError as exc:
            raise refuse(f'a row has no {exc}, a sort key') from exc
        except TypeError as exc:
            raise refuse(f'{exc} (by {order})') from exc
        if not in_order:
            raise refuse(_why_not(order, same=last == key, first=not found))
        found.append((key, values, given))
        last = key
    return found


def _why_not(order: listing_order.Order, *, same: bool, first: bool) -> str:
    if same and not first:
        return f'two of them are equal in all of {", ".join(order.names)}'
    if first:
        return 'they do not begin after the values that were given'
    return (
        f'they are not sorted by {order}, strings by code points, and None '
        'as less than everything'
    )
