"""The cells' rows that a merge has at hand, and how many it asks for."""

from __future__ import annotations

import collections
import math

from cellplug.cells import listing_order
from cellplug.cells import listing_reading
from cellplug.cells import results
from cellplug.objects import mappings

Entry = listing_reading.Entry
Values = listing_order.Values

_MOST = 1000
"""Rows that one cell is asked for at once where all of them are wanted."""

_TOTAL = 8000
"""Rows that all cells together are asked for there."""

_LEAST = 50
"""Rows that each cell is asked for there, however many cells there are."""


class Stream:
    """The rows of one cell.

    :ivar read: the sort values of its last row that was given out, or those
        after which it was read in the beginning.
    :ivar end: the sort values of its last row that is here.
    :ivar rows: what is here and was not given out.
    :ivar low: how many of them are left when more are asked for.
    :ivar pending: what its next rows will come by.
    :ivar ended: it has no more than what is here.
    :ivar failure: why it does not answer.
    """

    __slots__ = ('cell', 'end', 'ended', 'failure', 'index', 'low',
                 'pending', 'read', 'rows', 'start', 'taken')  # fmt: skip

    def __init__(
        self, index: int, cell: mappings.CellMapping, start: Values | None
    ) -> None:
        self.index = index
        self.cell = cell
        self.start = self.read = self.end = start
        self.rows: collections.deque[Entry] = collections.deque()
        self.taken = self.low = 0
        self.pending: listing_reading.Batch[listing_reading.Rows] | None
        self.pending = None
        self.ended = False
        self.failure: results.Failure | None = None

    def take(self) -> Entry:
        """The next row."""
        entry = self.rows.popleft()
        self.read = entry[1]
        self.taken += 1
        return entry


class Sizes:
    """How many rows to ask a cell for.

    :param cells: how many cells there are.
    :param wanted: how many rows will be taken; None for all there are.
    :param batch: how many rows to ask of a cell at once; None to estimate it.
    """

    def __init__(
        self, cells: int, wanted: int | None, batch: int | None
    ) -> None:
        self._cells = max(1, cells)
        self._wanted = wanted
        self._batch = batch

    def first(self) -> int:
        """How many rows to ask of each cell in the beginning.

        Its share of what is wanted, and what chance may add to that; one
        more than is wanted tells whether there is another page.
        """
        if self._batch is not None:
            return self._batch
        if self._wanted is None:
            return min(_MOST, max(_LEAST, _TOTAL // self._cells))
        share = self._wanted / self._cells
        return min(self._wanted + 1, _with_chance(share, 3) + 5)

    def more(self, stream: Stream, taken: int) -> int:
        """How many rows of the cell will be wanted, beside what is here.

        :param taken: how many rows of all cells were given out.
        """
        if self._wanted is None:
            return self.first()
        left = self._wanted + 1 - taken
        share = stream.taken / max(1, taken)
        need = min(left, _with_chance(left * share, 2) + 5) - len(stream.rows)
        if need > 0 and self._batch is not None:
            return self._batch
        return need


def _with_chance(expected: float, deviations: float) -> int:
    """So many at most, but for rare cases, where so many are expected."""
    return math.ceil(expected + deviations * math.sqrt(expected))
