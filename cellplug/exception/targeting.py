"""A target that cannot be had, and cells that did not answer."""

from __future__ import annotations

from collections.abc import Mapping

from cellplug.exception.root import CellplugError


class NotTargeted(CellplugError):
    """The context names no cell, and nothing is configured instead."""


class CellHasNoQueue(CellplugError):
    """The cell has a database but no message queue (cell0: ``none:///``)."""

    def __init__(self, cell_uuid: str, cell_name: str) -> None:
        super().__init__(
            f'cell {cell_name!r} ({cell_uuid}) has no message queue: its '
            'transport URL is none:///'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name


class CellStateForbids(CellplugError):
    """A cell's state forbids what was asked of the cell.

    :ivar cell_uuid: the cell's uuid.
    :ivar cell_name: the cell's name.
    :ivar state: its state, as ``cell update --state`` names it.
    :ivar what: what that means for the caller, as in "it takes no writes".
    """

    def __init__(
        self, cell_uuid: str, cell_name: str, state: str, what: str
    ) -> None:
        super().__init__(
            f'cell {cell_name!r} ({cell_uuid}) is {state}: {what}'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.state = state
        self.what = what


class RouterClosed(CellplugError):
    """The router was closed; what it owned is gone."""


class CellsFailed(CellplugError):
    """Not every cell answered that had to.

    :ivar failed: the cells that did not, by uuid: each one's name, and why.
    :ivar answered: how many did.
    """

    def __init__(
        self, failed: Mapping[str, tuple[str, str]], answered: int
    ) -> None:
        self.failed = {
            uuid: (name, why) for uuid, (name, why) in failed.items()
        }
        self.answered = answered
        cells = '; '.join(
            f'{name!r} ({uuid}): {why}'
            for uuid, (name, why) in self.failed.items()
        )
        super().__init__(
            f'{len(self.failed)} of {len(self.failed) + answered} cells '
            f'failed: {cells}'
        )

    @property
    def missing(self) -> dict[str, str]:
        """The cells that did not answer, by name, and why."""
        return dict(self.failed.values())
