"""The merge of a sorted list: cells' rows, read ahead of need.

All cells are asked for their first rows at once. A cell is asked for more
when half of what it gave has been used, if by then it is likely that more of
it will be; so the merge waits for a cell only where the estimate was wrong.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

from cellplug import exception
from cellplug.cells import bulkhead as cells_bulkhead
from cellplug.cells import listing_marker
from cellplug.cells import listing_order
from cellplug.cells import listing_reading
from cellplug.cells import listing_streams
from cellplug.cells import results
from cellplug.objects import mappings

Entry = listing_reading.Entry
Stream = listing_streams.Stream
Values = listing_order.Values


class Merge:
    """The rows of some cells in one order.

    :param wanted: how many rows will be taken; None for all there are.
    :param batch: how many rows to ask of a cell at once; None to estimate it.
    :param patience: gives the deadline of what is asked from now on.
    :ivar taken: how many rows were given out.
    :ivar cut: the time was over before the next row could be had.
    """

    def __init__(
        self,
        reader: listing_reading.Reader,
        order: listing_order.Order,
        cells: Iterable[mappings.CellMapping],
        place: listing_marker.Place,
        patience: Callable[[], cells_bulkhead.Deadline],
        *,
        wanted: int | None,
        batch: int | None,
    ) -> None:
        self._reader = reader
        self._order = order
        self._place = place
        self._patience = patience
        asked = {cell.uuid: cell for cell in cells}
        self._streams = {
            uuid: Stream(index, cell, place.of(uuid))
            for index, (uuid, cell) in enumerate(asked.items())
        }
        self._sizes = listing_streams.Sizes(len(asked), wanted, batch)
        self._last: Entry | None = None
        self.taken = 0
        self.cut = False

    # -- what is given out -------------------------------------------------

    def rows(
        self, check: Callable[[], object] = lambda: None
    ) -> Iterator[tuple[mappings.CellMapping, Entry]]:
        """Each row with its cell.

        A cell that fails is left out from then on, see :attr:`absent`.

        :param check: called before each row counts as given out; may raise.
        :raises ListingNotSorted: if a cell's rows cannot be merged.
        """
        self._begin()
        heap: list[tuple[listing_order.Key, int, Stream]] = []
        for stream in self._streams.values():
            if self._has_row(stream):
                self._enter(heapq.heappush, heap, stream)
        while heap:
            check()
            stream = heap[0][2]
            self._last = entry = stream.take()
            self.taken += 1
            if stream.low and len(stream.rows) == stream.low:
                self._read_ahead(stream)
            yield stream.cell, entry
            if self._has_row(stream):
                self._enter(heapq.heapreplace, heap, stream)
            elif self.cut:
                return
            else:
                heapq.heappop(heap)

    @property
    def absent(self) -> dict[str, results.Failure]:
        """The cells that do not answer, by uuid, and why."""
        return {
            uuid: stream.failure
            for uuid, stream in self._streams.items()
            if stream.failure is not None
        }

    @property
    def cells(self) -> int:
        """How many cells were asked."""
        return len(self._streams)

    def more(self) -> bool:
        """Whether cells that answer have rows left; may wait for them."""
        streams = self._streams.values()
        if self.cut or any(stream.rows for stream in streams):
            return True
        return any(self._has_row(stream) for stream in streams) or self.cut

    def close(self) -> None:
        """Want nothing more; what was not begun is not begun."""
        for stream in self._streams.values():
            if stream.pending is not None:
                stream.pending.close()

    def forget(self) -> None:
        """As :meth:`close`, without a lock: for whoever may hold it."""
        for stream in self._streams.values():
            if stream.pending is not None:
                stream.pending.gone = True

    def place(self) -> listing_marker.Place:
        """Where the list goes on after the rows that were given out."""
        after = self._place.after
        if self._last is not None:
            after = self._later(after)
        behind = dict(self._place.behind)
        for uuid, stream in self._streams.items():
            reached = self._reached(stream)
            if reached == after:
                behind.pop(uuid, None)
            else:
                behind[uuid] = reached
        return listing_marker.Place(after, behind)

    def _later(self, values: Values | None) -> Values | None:
        """Those values, or those of the last row if it comes later."""
        if self._last is None:
            return values
        key, last, _ = self._last
        if values is not None and key < self._order.key(values):
            return values
        return last

    def _reached(self, stream: Stream) -> Values | None:
        """The sort values up to which a cell's rows were given out."""
        if stream.failure is not None:
            return stream.read
        if stream.rows and self._last and stream.rows[0][0] == self._last[0]:
            # A row in two cells, and the page ends between them.
            return stream.read
        return self._later(stream.start)

    # -- what is read ------------------------------------------------------

    def _begin(self) -> None:
        batch = self._reader.begin(
            [stream.cell for stream in self._streams.values()],
            self._sizes.first(),
            self._place.of,
            self._patience(),
        )
        for stream in self._streams.values():
            stream.pending = batch

    def _has_row(self, stream: Stream) -> bool:
        """Whether the cell has a next row; waits for it."""
        while not stream.rows:
            if stream.ended or stream.failure is not None:
                return False
            if not self._ask(stream):
                self.cut = True
                return False
            assert stream.pending is not None  # noqa: S101 -- it was asked
            self._deliver(stream.pending.outcome())
        return True

    def _ask(self, stream: Stream) -> bool:
        """Have the next rows asked for; False if it is too late to wait.

        Then it is not this cell's fault: the time went by for another one.
        """
        late = bool(stream.taken) and self._patience().over
        if stream.pending is not None:
            return not late or stream.pending.done
        if late:
            return False
        self._request(stream, max(1, self._sizes.more(stream, self.taken)))
        return True

    def _read_ahead(self, stream: Stream) -> None:
        if stream.ended or stream.pending is not None:
            return
        need = self._sizes.more(stream, self.taken)
        if need <= 0:
            # Look again when half of that is left.
            stream.low //= 2
        elif not self._patience().over:
            self._request(stream, need)

    def _request(self, stream: Stream, count: int) -> None:
        end = stream.end
        stream.pending = self._reader.begin(
            [stream.cell], count, lambda _: end, self._patience()
        )

    def _deliver(self, outcome: results.Outcome[listing_reading.Rows]) -> None:
        stream = self._streams[outcome.cell.uuid]
        stream.pending = None
        if outcome.failure is not None:
            if isinstance(outcome.failure.error, exception.ListingNotSorted):
                raise outcome.failure.error
            stream.failure = outcome.failure
            return
        given = outcome.value
        assert given is not None  # noqa: S101 -- no failure, so a value
        stream.ended = given.ended
        stream.rows.extend(given.entries)
        stream.low = len(stream.rows) // 2
        if given.entries:
            stream.end = given.entries[-1][1]

    def _enter(
        self,
        put: Callable[[list[tuple[listing_order.Key, int, Stream]],
                       tuple[listing_order.Key, int, Stream]], object],
        heap: list[tuple[listing_order.Key, int, Stream]],
        stream: Stream,
    ) -> None:  # fmt: skip
        try:
            put(heap, (stream.rows[0][0], stream.index, stream))
        except TypeError as exc:
            raise exception.ListingNotSorted(
                stream.cell.uuid,
                stream.cell.name,
                "its sort values are of other types than other cells' "
                f'(by {self._order})',
            ) from exc
