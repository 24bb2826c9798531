"""Following, in a running process, what becomes of the cells it works with."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug.db import registry as db_registry
from cellplug.objects import mappings

LOG = logging.getLogger(__name__)


class _Process:
    """What one process has seen.

    :ivar listed: the cells that the resolver listed last time, or found
        since.
    :ivar buried: those that it then listed no more.
    :ivar refused: the generations with which nothing could be done.
    :ivar failed: those with which something failed, and is tried again.
    :ivar lost: whether it could not be asked last time.
    """

    def __init__(self) -> None:
        self.listed: set[str] = set()
        self.buried: set[str] = set()
        self.refused: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.lost = False


class Follower:
    """Brings what the process knows of its cells up to date.

    Contexts hold keys alone, so those that were targeted long ago follow too,
    and nobody has to look a cell up again for it.

    *One round* asks the resolver for the list of all cells, one query to its
    source, and nothing where this process works with no cell. A newer mapping
    is attached: transactions and messages that begin from then on use its
    URLs, those under way finish where they began. A cache in front of the
    source is told to forget the older one. A cell that was listed in one
    round and is not in the next was deleted; a list without any cell is not
    believed, since it is what a database that is being restored says.

    *When the resolver is down* all stays as it is, with one warning.

    The rounds are one thread's at a time, a janitor's; see
    :class:`.janitor.Janitor`.

    :ivar then: called behind each round, for what follows the cells in turn.
    """

    def __init__(
        self, resolver: Any, registry: db_registry.EngineRegistry
    ) -> None:
        self._resolver = resolver
        self._registry = registry
        self._processes: dict[int, _Process] = {}
        self.then: Callable[[], None] = lambda: None

    def follow(self) -> None:
        """One round."""
        try:
            self._follow_cells()
        finally:
            self.then()

    def _follow_cells(self) -> None:
        process = self._own()
        known = {cell.uuid: cell for cell in self._registry.all_newest()}
        if not known and not process.buried:
            return
        # Behind what is known: a cell that is made in between is in the list.
        listed = self._list(process)
        if not listed:
            return
        self._dig_up(process, listed)
        for uuid, cell in known.items():
            if uuid not in listed:
                self._miss(process, cell)
            elif listed[uuid].generation > cell.generation:
                self._attach(process, listed[uuid])
        process.listed = set(listed)

    def _list(self, process: _Process) -> dict[str, mappings.CellMapping]:
        """All cells; none where they cannot be had."""
        try:
            found = {cell.uuid: cell for cell in self._resolver.list_cells()}
        except exception.NotSupported:
            return {}  # This process knows its cells from nowhere else.
        except (exception.RouterClosed, exception.DatabaseNotBound):
            return {}
        except exception.CellplugError as exc:
            level = logging.DEBUG if process.lost else logging.WARNING
            process.lost = True
            LOG.log(
                level,
                'What changes about the cells is not followed for now: %s',
                exc,
            )
            return {}
        if process.lost:
            process.lost = False
            LOG.info('What changes about the cells is followed again')
        return found

    def _attach(self, process: _Process, cell: mappings.CellMapping) -> None:
        """Take up a newer mapping."""
        if process.refused.get(cell.uuid) == cell.generation:
            return
        try:
            self._resolver.forget_cell(cell.uuid)
            self._registry.attach(cell)
        except exception.CellMappingNotFound:
            pass  # This process deleted it meanwhile.
        except exception.InvalidURL as exc:
            process.refused[cell.uuid] = cell.generation
            LOG.warning('Cell %r stays as it was: %s', cell.name, exc)
        except Exception as exc:  # noqa: BLE001 (the others follow)
            said = process.failed.get(cell.uuid) == cell.generation
            process.failed[cell.uuid] = cell.generation
            ours = isinstance(exc, exception.CellplugError)
            LOG.log(
                logging.DEBUG if said else logging.WARNING,
                'Cell %r stays as it was until the next round: %s',
                cell.name,
                # What others say may quote the URL.
                exc if ours else type(exc).__name__,
            )
        else:
            process.refused.pop(cell.uuid, None)

    def _miss(self, process: _Process, cell: mappings.CellMapping) -> None:
        """Let go of a cell that was deleted.

        Not of one that was never listed: whoever targeted it was given its
        mapping by hand.
        """
        if cell.uuid in process.listed:
            self._resolver.forget_cell(cell.uuid)
            self._registry.bury(cell.uuid, cell.generation)
            process.buried.add(cell.uuid)

    def found(self, cell_uuid: str) -> None:
        """The resolver knew the cell just now, when it was looked up."""
        self._own().listed.add(cell_uuid)

    def missed(self, cell: mappings.CellMapping) -> None:
        """The resolver did not know the cell just now; as in a round.

        :raises CellplugError: if the list of cells cannot be had.
        """
        if self._resolver.list_cells():
            self._miss(self._own(), cell)

    def _own(self) -> _Process:
        return self._processes.setdefault(os.getpid(), _Process())

    def _dig_up(
        self, process: _Process, listed: dict[str, mappings.CellMapping]
    ) -> None:
        """Take up again what is there again."""
        for uuid in process.buried & listed.keys():
            process.buried.remove(uuid)
            self._registry.unbury(uuid)
            self._attach(process, listed[uuid])
