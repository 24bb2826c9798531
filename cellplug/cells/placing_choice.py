"""Choosing the cell of one new instance, and mapping it there."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import interfaces
from cellplug.cells import placing_arguments
from cellplug.cells import placing_counts
from cellplug.db.api import placing as queries
from cellplug.objects import mappings
from cellplug.objects import placement

Context = cellplug_context.RequestContext
Capability = interfaces.PlacementCapability


class Owner(Protocol):
    """What a choice asks of ``router.place``."""

    @property
    def driver(self) -> interfaces.Placement:
        """The placement driver."""
        ...

    @property
    def counts(self) -> placing_counts.Counts:
        """How many instances the cells have."""
        ...

    def failed(self, reason: str) -> exception.DriverError:
        """What to raise for an answer that no driver may give."""
        ...

    def cells(self, session: Any) -> list[mappings.CellMapping]:
        """All cells, as the transaction sees them."""
        ...

    def lock(
        self, session: Any, cell: mappings.CellMapping
    ) -> mappings.CellMapping | None:
        """The cell as it is now, and stays; None if it is gone."""
        ...

    def down(self, cell: mappings.CellMapping) -> bool:
        """Whether this process knows that the cell's database is down."""
        ...


class Choice:
    """One instance that has no mapping yet.

    :ivar refused: the cells that cannot take it, and why.
    """

    def __init__(
        self,
        owner: Owner,
        context: Context,
        session: Any,
        request: placement.PlacementRequest,
    ) -> None:
        self._owner = owner
        self._context = context
        self._session = session
        self._request = request
        self.refused: dict[str, tuple[str, str]] = {}

    def place(
        self, wanted: list[str] | None, excluded: list[str]
    ) -> mappings.InstanceMapping:
        """Choose and map.

        :raises NoCellAvailable: if no cell can take it.
        """
        open_ones = self._open(wanted, excluded)
        for cell in self._ranked(open_ones):
            now = self._owner.lock(self._session, cell)
            why = 'it was deleted' if now is None else _closed(now)
            if why is None:
                return self._map(cell)
            self.refused[cell.uuid] = cell.name, why
        for cell in open_ones:
            self.refused.setdefault(
                cell.uuid, (cell.name, 'the placement driver ruled it out')
            )
        raise self._nothing()

    def _map(self, cell: mappings.CellMapping) -> mappings.InstanceMapping:
        made = queries.place(
            self._session,
            mappings.InstanceMapping(
                instance_uuid=self._request.instance_uuid,
                cell_uuid=cell.uuid,
                project_id=self._request.project_id,
                user_id=self._request.user_id,
            ),
        )
        self._owner.counts.add(made.cell_uuid)
        return made

    def _open(
        self, wanted: list[str] | None, excluded: list[str]
    ) -> list[mappings.CellMapping]:
        """The cells that may get it; the others are refused.

        cell0 is no home of anything new, and told of only if it was named.
        """
        known = self._owner.cells(self._session)
        asked = {cell.uuid for cell in known if not cell.is_cell0}
        if wanted is not None:
            asked = placing_arguments.found(known, wanted)
        ruled_out = placing_arguments.found(known, excluded)
        found = []
        for cell in known:
            if cell.uuid not in asked:
                continue
            why = self._why_not(cell, ruled_out)
            if why is None:
                found.append(cell)
            else:
                self.refused[cell.uuid] = cell.name, why
        return found

    def _why_not(
        self, cell: mappings.CellMapping, ruled_out: Collection[str]
    ) -> str | None:
        if cell.is_cell0:
            return 'it is the home of what could never be placed'
        if cell.uuid in ruled_out:
            return 'it was excluded'
        if self._owner.down(cell):
            return 'its database does not answer'
        return _closed(cell)

    def _ranked(
        self, cells: list[mappings.CellMapping]
    ) -> list[mappings.CellMapping]:
        """What the driver says, best first."""
        if not cells:
            return []
        driver = self._owner.driver
        candidates = placement.in_turn(
            self._counted(cells, driver.capabilities),
            self._request.instance_uuid,
        )
        try:
            answer: Any = driver.rank(self._context, candidates, self._request)
        except exception.NoCellAvailable as exc:
            raise self._nothing(exc.reason) from exc
        by_uuid = {cell.uuid: cell for cell in cells}
        if not isinstance(answer, Sequence) or isinstance(answer, str):
            raise self._owner.failed(
                f'rank gave a {type(answer).__name__}, and no list of uuids'
            )
        for uuid in answer:
            if not isinstance(uuid, str) or uuid not in by_uuid:
                raise self._owner.failed(
                    f'rank named {uuid!r}, which is the uuid of no candidate'
                )
        return [by_uuid[uuid] for uuid in dict.fromkeys(answer)]

    def _counted(
        self, cells: list[mappings.CellMapping], needs: Collection[Any]
    ) -> list[placement.Candidate]:
        """The candidates, with what the driver needs to know of them."""
        all_counts = in_project = None
        if Capability.COUNTS in needs:
            all_counts = self._owner.counts.get(self._session)
        if Capability.PROJECT_COUNTS in needs:
            in_project = queries.count_project(
                self._session, self._request.project_id
            )
        return [
            placement.Candidate(
                cell=cell,
                instances=_number(all_counts, cell),
                project_instances=_number(in_project, cell),
            )
            for cell in cells
        ]

    def _nothing(self, reason: str = '') -> exception.NoCellAvailable:
        return exception.NoCellAvailable(
            self._request.instance_uuid, self.refused, reason
        )


def _number(
    counts: Mapping[str, int] | None, cell: mappings.CellMapping
) -> int | None:
    return None if counts is None else counts.get(cell.uuid, 0)


def _closed(cell: mappings.CellMapping) -> str | None:
    """Why nothing new may come into the cell, None if it may."""
    if cell.state is mappings.CellState.ENABLED:
        return None
    return f'it is {cell.state}'
