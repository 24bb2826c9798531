"""What goes over many cells at once: the router's second part."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TypeVar
from typing import Unpack

from cellplug import context as cellplug_context
from cellplug.cells import building
from cellplug.cells import checking
from cellplug.cells import gathering
from cellplug.cells import health
from cellplug.cells import listing
from cellplug.cells import listing_pages
from cellplug.cells import placing
from cellplug.cells import results
from cellplug.cells import scatter
from cellplug.cells import targeting
from cellplug.objects import health as health_objects
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
R = TypeVar('R')


class Across(targeting.Targeting):
    """The part of the router that asks many cells, or chooses among them."""

    def __init__(self, parts: building.Parts) -> None:
        super().__init__(parts)
        self._gathering = gathering.Gathering(
            parts, self._mapping, self.target_cell
        )
        self._listing = listing.Listing(
            parts.bulkhead,
            self._gathering,
            self.instances.get,
            self.target_cell,
        )
        self._placing = placing.Placing(parts)
        self._health = health.Health(parts)

    def scatter_gather(
        self,
        context: Context,
        fn: Callable[..., R],
        *args: Any,
        cells: Iterable[checking.Cell] | None = None,
        project_id: str | None = None,
        timeout: float | None = None,
        skip_cell0: bool = False,
    ) -> results.ScatterResult[R]:
        """Call ``fn(cctxt, *args)`` in many cells at once.

        A cell that fails, hangs or cannot be targeted fails alone: nothing is
        raised for it. What it answers after the time is dropped, and ``fn``
        may go on there. Each call of ``fn`` runs in another thread than the
        caller's, in transactions of its own; it may run beside the caller
        from then on. A cell that is disabled is not asked, and has failed.

        :param cells: CellMappings, uuids or names; None for all.
        :param project_id: only those cells in which the project has
            instances: one query of the API database tells which.
        :param timeout: seconds for all cells together; by default ``[cells]
            scatter_timeout``.
        :param skip_cell0: leaves out the home of what was never placed.
        :raises CellMappingNotFound: if one that is named does not exist.
        :raises NotSupported: for a project, where the resolver keeps no
            mappings.
        """
        return self._gathering(
            context,
            fn,
            *args,
            cells=cells,
            project_id=project_id,
            timeout=timeout,
            skip_cell0=skip_cell0,
        )

    def scatter_stream(
        self,
        context: Context,
        fn: Callable[..., R],
        *args: Any,
        cells: Iterable[checking.Cell] | None = None,
        project_id: str | None = None,
        timeout: float | None = None,
        skip_cell0: bool = False,
    ) -> scatter.Stream[R]:
        """The same, as an iterator: each cell's outcome as it arrives.

        The cells are being asked when this returns. Each has exactly one
        outcome, with a value or a failure; the iterator ends at the deadline
        at the latest. Closing it, or dropping it, lets no further cell begin.
        """
        return self._gathering.stream(
            context,
            fn,
            *args,
            cells=cells,
            project_id=project_id,
            timeout=timeout,
            skip_cell0=skip_cell0,
        )

    def health(
        self,
        cells: Iterable[checking.Cell] | None = None,
        *,
        probe: bool = False,
        timeout: float | None = None,
    ) -> dict[str, health_objects.CellHealth]:
        """How the cells do, by uuid: as this process has seen it.

        Asks nobody but the resolver for the list of cells; while that does
        not answer, it is about the cells that the process has worked with.
        One that it never worked with is taken to be well.

        :param cells: CellMappings, uuids or names; None for all.
        :param probe: ask each cell's database and message queue now, side by
            side, in any state of the cell. The outcome counts as that of a
            request: it closes a circuit, or adds to its failures. A part
            that is being probed already is not asked a second time.
        :param timeout: seconds to wait for the probes; by default ``[cells]
            scatter_timeout``. A part that has not answered then has failed,
            in this report; its probe goes on.
        :raises CellMappingNotFound: if one that is named does not exist.
        """
        deadline = self._gathering.deadline(timeout) if probe else None
        return self._health(cells, deadline)

    # -- sorted lists ------------------------------------------------------

    def list_sorted(
        self,
        context: Context,
        fn: Callable[..., Iterable[Any]],
        *,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str] | None = None,
        limit: int | None = None,
        marker: str | None = None,
        **options: Unpack[listing.Options],
    ) -> listing_pages.SortedPage:
        """A page of the rows of many cells, sorted as if they were of one.

        ``fn(cctxt, sort_keys, sort_dirs, limit, after)`` reads a cell's rows,
        see :mod:`cellplug.cells.listing`; ``cellplug.sorted_select`` makes one
        of a SQLAlchemy select. A cell that does not answer is left out, and
        named in ``page.absent``; the next page has what was missed, if the
        cell answers then: each page goes on, in each cell, where that cell
        was left.

        :param sort_keys: names of columns. None is less than everything, and
            strings sort by code points. The unique key is added as the last.
        :param sort_dirs: ``asc`` or ``desc`` for each; None for ``asc``.
        :param limit: at most so many rows; None for all.
        :param marker: the last page's ``marker``, or the uuid of an instance,
            after whose row the page begins; None for the first page.
        :param options: which cells, for how long, and by what unique key: see
            :class:`cellplug.cells.listing.Options`.
        :raises CellsFailed: if no cell answers.
        :raises InvalidInput: for a marker that is none or of another order,
            and what else cannot be meant.
        :raises ListingNotSorted: if a cell's rows are not in that order.
        :raises MarkerNotFound: if no such instance is known.
        :raises MarkerUnavailable: if its cell does not answer.
        """
        wish = listing.Wish(
            sort_keys, sort_dirs, marker=marker, limit=limit, **options
        )
        return self._listing.page(context, fn, wish)

    def iter_sorted(
        self,
        context: Context,
        fn: Callable[..., Iterable[Any]],
        *,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str] | None = None,
        marker: str | None = None,
        partial: bool = False,
        **options: Unpack[listing.Options],
    ) -> listing_pages.SortedRows:
        """All rows of many cells, one by one, in constant memory.

        An iterator, to be closed if it is not read to its end. ``timeout``
        is how long a cell may take for each part that is read of it. As for
        the rest, see :meth:`list_sorted`.

        :param partial: goes on without cells that do not answer, and names
            them in its ``absent``; else it raises before their rows are
            missed.
        :raises CellsFailed: while it is read, if a cell does not answer.
        """
        wish = listing.Wish(sort_keys, sort_dirs, marker=marker, **options)
        return self._listing.rows(context, fn, wish, partial=partial)

    # -- new instances -----------------------------------------------------

    def place(
        self,
        context: Context,
        instance_uuid: str,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
        cells: Iterable[checking.Cell] | None = None,
        hints: Mapping[str, Any] | None = None,
        exclude: Iterable[checking.Cell] = (),
    ) -> mappings.InstanceMapping:
        """Choose a cell for a new instance, and map it there.

        The driver of ``[placement]`` chooses among the enabled cells, without
        cell0 and those whose databases are known to be down. Choosing and
        mapping are one API transaction: that of the request, if it has one
        open. A cell that is closed or drained meanwhile gets nothing.

        An instance that is mapped already stays where it is, whatever the
        arguments say: so it may be repeated, and of several processes that
        place one instance at once, all get the same mapping.

        :param project_id: the instance's; the context's by default, and
            likewise ``user_id``.
        :param cells: CellMappings, uuids or names to choose among; None for
            all.
        :param hints: what the driver is told beside, by name.
        :param exclude: cells to leave out, such as one that has failed.
        :raises NoCellAvailable: if no cell can take it; says why not, cell by
            cell.
        :raises CellMappingNotFound: if a cell that is named does not exist.
        :raises NotSupported: where no mappings are kept.
        :raises DriverError: if the driver cannot be loaded, or names what is
            no candidate.
        """
        return self._placing(
            context,
            instance_uuid,
            project_id=project_id,
            user_id=user_id,
            cells=cells,
            hints=hints,
            exclude=exclude,
        )
