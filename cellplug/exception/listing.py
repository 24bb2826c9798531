"""Sorted lists over many cells."""

from __future__ import annotations

from cellplug.exception.root import CellplugError


class ListingNotSorted(CellplugError):
    """A cell's rows are not in the order that was asked for.

    Merged, they would make a wrong page; so there is none.

    :ivar reason: what is wrong with them.
    """

    def __init__(self, cell_uuid: str, cell_name: str, reason: str) -> None:
        super().__init__(
            f'the rows of cell {cell_name!r} ({cell_uuid}) cannot be merged: '
            f'{reason}'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.reason = reason


class MarkerNotFound(CellplugError):
    """No row is known after which the page should begin.

    :ivar marker: the instance's uuid.
    :ivar cell_uuid: the cell it is mapped to, which has no such row; None if
        it is not mapped.
    """

    def __init__(
        self,
        marker: str,
        cell_uuid: str | None = None,
        cell_name: str | None = None,
    ) -> None:
        why = (
            'it is not mapped to a cell'
            if cell_uuid is None
            else f'its cell {cell_name!r} ({cell_uuid}) lists no such row'
        )
        super().__init__(f'marker {marker} was not found: {why}')
        self.marker = marker
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name


class MarkerUnavailable(CellplugError):
    """The marker's row is in a cell that does not answer.

    :ivar marker: the instance's uuid.
    :ivar reason: why the cell does not answer.
    """

    def __init__(
        self, marker: str, cell_uuid: str, cell_name: str, reason: str
    ) -> None:
        super().__init__(
            f'marker {marker} is in cell {cell_name!r} ({cell_uuid}), which '
            f'does not answer: {reason}; a page that came before has a marker '
            'that needs no cell'
        )
        self.marker = marker
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.reason = reason
