"""Finding the row of a marker that is an instance's uuid, in its cell."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.cells import bulkhead as cells_bulkhead
from cellplug.cells import gathering as cells_gathering
from cellplug.cells import listing_order
from cellplug.cells import listing_reading
from cellplug.objects import identifiers
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
Find = Callable[[Any, str], Mapping[str, Any] | None]
"""Called as ``find(cctxt, marker)``: the row, None if there is none."""


def as_uuid(marker: Any) -> str | None:
    """The canonical uuid; None if the marker is none."""
    if isinstance(marker, str) and not identifiers.is_uuid_like(marker):
        return None
    if not isinstance(marker, str | uuid.UUID):
        return None
    return identifiers.canonical_uuid('marker', marker)


def among(fn: listing_reading.Function, unique_key: str) -> Find:
    """By the function that lists: the first row from this uuid on."""

    def find(cctxt: Any, marker: str) -> Mapping[str, Any] | None:
        number = uuid.UUID(marker).int
        after = None
        if number:
            after = {unique_key: str(uuid.UUID(int=number - 1))}
        for row in fn(cctxt, [unique_key], ['asc'], 1, after):
            found = listing_reading.as_mapping(row)
            if found is not None and str(found.get(unique_key)) == marker:
                return found
            break
        return None

    return find


class Markers:
    """Instances' uuids as markers.

    :param find: the mapping of an instance.
    """

    def __init__(
        self,
        gathering: cells_gathering.Gathering,
        find: Callable[[Context, str], mappings.InstanceMapping],
    ) -> None:
        self._gathering = gathering
        self._find = find

    def values(
        self,
        context: Context,
        marker: str,
        find: Find,
        order: listing_order.Order,
        deadline: cells_bulkhead.Deadline,
    ) -> listing_order.Values:
        """The sort values of the instance's row, read in its cell.

        :raises MarkerNotFound: if it is not mapped, or its cell has no row.
        :raises MarkerUnavailable: if its cell does not answer.
        """
        cell = self._cell(context, marker)

        def read(cctxt: Any) -> listing_order.Values | None:
            row = listing_reading.as_mapping(find(cctxt, marker))
            if row is None:
                return None
            ((_, values, _),) = listing_reading.checked(
                order, cell, [row], None
            )
            return values

        outcome = self._gathering.submit(
            context, cell, deadline, read
        ).outcome()
        failure = outcome.failure
        if failure is not None:
            if isinstance(
                failure.error,
                exception.InvalidInput | exception.ListingNotSorted,
            ):
                raise failure.error
            raise exception.MarkerUnavailable(
                marker, cell.uuid, cell.name, failure.reason
            ) from failure.error
        if outcome.value is None:
            raise exception.MarkerNotFound(marker, cell.uuid, cell.name)
        return outcome.value

    def _cell(self, context: Context, marker: str) -> mappings.CellMapping:
        try:
            found = self._find(context, marker)
        except exception.InstanceMappingNotFound as exc:
            raise exception.MarkerNotFound(marker) from exc
        if found.cell is None:
            raise exception.CellMappingNotFound(found.cell_uuid)
        return found.cell
