"""What a sorted list is handed out as: a page, or row by row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import Self

from cellplug import exception
from cellplug.cells import listing_marker
from cellplug.cells import listing_merge
from cellplug.cells import listing_order
from cellplug.cells import results

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class SortedPage:
    """A page of a sorted list.

    :ivar rows: in order; each a dictionary with its ``cell_uuid``.
    :ivar marker: what to pass for the next page; None at the end of the list.
    :ivar absent: the cells that did not answer, by uuid, and why. Their rows
        are missing; on the page of the marker they are not, if they answer
        by then.
    """

    rows: list[Row]
    marker: str | None
    absent: Mapping[str, results.Failure]
    _cells: int = dataclasses.field(default=0, repr=False)

    def complete(self) -> list[Row]:
        """The rows, if no cell is absent.

        :raises CellsFailed: names each cell that is, and why.
        """
        if self.absent:
            raise cells_failed(self.absent, self._cells)
        return self.rows


def make(
    order: listing_order.Order, merge: listing_merge.Merge, limit: int | None
) -> SortedPage:
    """The page of the next ``limit`` rows; None for all.

    :raises CellsFailed: if no cell answered.
    """
    rows: list[Row] = []
    try:
        for cell, (_, _, row) in merge.rows():
            rows.append({**row, 'cell_uuid': cell.uuid})
            if len(rows) == limit:
                break
        more = len(rows) == limit and merge.more()
        absent = merge.absent
    finally:
        merge.close()
    if not rows and absent and len(absent) == merge.cells:
        raise cells_failed(absent, merge.cells)
    # Where nothing but absent cells is left, a page that is empty ends the
    # list: else whoever asks for the next one until there is none would go
    # on for as long as a cell is down.
    marker = None
    if rows and (more or merge.cut or absent):
        marker = listing_marker.encode(order, merge.place())
    return SortedPage(rows, marker, absent, merge.cells)


class SortedRows(Iterator[Row]):
    """All rows of a sorted list, one by one, in constant memory.

    For one thread at a time. To be closed, if not read to its end.

    :param partial: cells that do not answer are left out.
    """

    def __init__(
        self,
        order: listing_order.Order,
        merge: listing_merge.Merge,
        *,
        partial: bool,
    ) -> None:
        self._order = order
        self._merge = merge
        self._partial = partial
        self._rows = self._merged()

    def __next__(self) -> Row:
        return next(self._rows)

    def _merged(self) -> Iterator[Row]:
        merge = self._merge
        try:
            for cell, (_, _, row) in merge.rows(self._check):
                yield {**row, 'cell_uuid': cell.uuid}
            self._check()
        finally:
            # It may be the garbage collector's, in any thread, whatever
            # locks that one holds.
            merge.forget()

    def _check(self) -> None:
        absent = self._merge.absent
        if absent and (not self._partial or len(absent) == self._merge.cells):
            raise cells_failed(absent, self._merge.cells)

    @property
    def absent(self) -> Mapping[str, results.Failure]:
        """The cells that did not answer so far, by uuid, and why."""
        return self._merge.absent

    @property
    def marker(self) -> str:
        """Where to go on after the rows that were given out so far."""
        return listing_marker.encode(self._order, self._merge.place())

    def close(self) -> None:
        """Ask for nothing more."""
        close: Callable[[], None] = self._rows.close  # type: ignore[attr-defined]
        close()
        self._merge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cells_failed(
    absent: Mapping[str, results.Failure], asked: int
) -> exception.CellplugError:
    """What to raise where cells are missing and must not be.

    What the caller passed is his business, whichever cell says so.
    """
    errors = [one.error for one in absent.values() if one.error is not None]
    if len(absent) == asked and errors:
        wrong = [e for e in errors if isinstance(e, exception.InvalidInput)]
        if len(wrong) == asked:
            return wrong[0]
    failed = exception.CellsFailed(
        {uuid: (one.cell_name, one.reason) for uuid, one in absent.items()},
        asked - len(absent),
    )
    failed.__cause__ = errors[0] if errors else None
    return failed
