"""Guards: what stands before each cell, and shares out connections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug.cells import breaker
from cellplug.objects import mappings

_READ_ONLY = mappings.CellState.READ_ONLY
_DISABLED = mappings.CellState.DISABLED


class CellGuard:
    """What stands before one cell; a :class:`.guarding.Guard`.

    :param make: makes a circuit, from the mapping, its part, and what is
        called when it opens.
    :param opened: called with the guard and the circuit that has opened.
    :ivar mapping: the newest mapping of the cell.
    """

    __slots__ = ('_disabled', '_limited', '_opened', 'database', 'mapping',
                 'queue')  # fmt: skip

    def __init__(
        self,
        mapping: mappings.CellMapping,
        make: Callable[..., breaker.Circuit],
        opened: Callable[[CellGuard, breaker.Circuit], None],
    ) -> None:
        self._opened = opened
        self.database = make(mapping, breaker.DATABASE, self._tell)
        self.queue = make(mapping, breaker.QUEUE, self._tell)
        self._adopt(mapping)

    def _tell(self, circuit: breaker.Circuit) -> None:
        self._opened(self, circuit)

    def _adopt(self, mapping: mappings.CellMapping) -> None:
        self.mapping = mapping
        self.database.cell_name = self.queue.cell_name = mapping.name
        self._limited = mapping.state in (_READ_ONLY, _DISABLED)
        self._disabled = mapping.state is _DISABLED

    def follow(self, mapping: mappings.CellMapping) -> None:
        """Take up a newer mapping.

        What was held against an address is not held against another one,
        nor against the same one with other credentials.
        """
        former = self.mapping
        self._adopt(mapping)
        if former.database_connection != mapping.database_connection:
            self.database.reset()
        if former.transport_url != mapping.transport_url:
            self.queue.reset()

    @property
    def circuits(self) -> list[breaker.Circuit]:
        """Those of the parts that the cell has."""
        if not self.mapping.has_queue:
            return [self.database]
        return [self.database, self.queue]

    def check_target(self) -> None:
        """Refuse a cell that is disabled.

        :raises CellStateForbids: if it is.
        """
        if self._disabled:
            self._refuse(writer=False)

    def check(self, *, writer: bool) -> None:
        """Whether a transaction may be opened in the cell's database.

        :raises CellStateForbids: if the cell is disabled, or read-only and
            the transaction a writer's.
        :raises CellUnavailable: while the database's circuit is open.
        """
        if self._limited:
            self._refuse(writer=writer)
        self.database.check()

    def check_reader(self) -> None:
        """Whether the cell's replica may be read.

        :raises CellStateForbids: if the cell is disabled.
        """
        if self._disabled:
            self._refuse(writer=False)

    def check_queue(self) -> None:
        """Whether a message may be sent to the cell.

        :raises CellStateForbids: if the cell is disabled.
        :raises CellUnavailable: while the queue's circuit is open.
        """
        if self._disabled:
            self._refuse(writer=False)
        self.queue.check()

    def _refuse(self, *, writer: bool) -> None:
        mapping = self.mapping
        if mapping.state is _DISABLED:
            what = 'nothing is done in it'
        elif mapping.state is _READ_ONLY and writer:
            what = 'it takes no writes'
        else:
            return
        raise exception.CellStateForbids(
            mapping.uuid, mapping.name, str(mapping.state), what
        )


@dataclasses.dataclass(slots=True)
class Budget:
    """How many transactions may be open in each cell; see guarding."""

    connections: int


class Guards:
    """Gives each cell its guard, and each its share of the connections.

    :param connections: what one cell may have at most.
    :param total: what all cells together may have; 0 for no such limit.
    :param options: of each circuit: its clock and the like.
    :ivar budget: of each cell, as it is now.
    :ivar opened: told of a guard and its circuit that has opened; who probes
        takes it over.
    """

    def __init__(
        self,
        settings: breaker.Settings,
        *,
        connections: int,
        total: int = 0,
        **options: Any,
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._total = total
        self._options = options
        self._known: set[str] = set()
        self.budget = Budget(connections)
        self.opened: Callable[[CellGuard, breaker.Circuit], None] = _nobody

    def admit(
        self, mapping: mappings.CellMapping, guard: CellGuard | None
    ) -> CellGuard:
        """The guard for a newer mapping of a cell: the one that it has."""
        if mapping.uuid not in self._known:
            self._known.add(mapping.uuid)
            self._share()
        if guard is None:
            return CellGuard(mapping, self._make, self._tell)
        guard.follow(mapping)
        return guard

    def dismiss(self, guard: CellGuard) -> None:
        """The cell was deleted; the others share what it had."""
        self._known.discard(guard.mapping.uuid)
        self._share()
        guard.database.reset()
        guard.queue.reset()

    def _share(self) -> None:
        budget = self._connections
        if self._total:
            each = max(self._total // max(len(self._known), 1), 1)
            budget = min(budget, each)
        self.budget.connections = budget

    def _make(
        self,
        mapping: mappings.CellMapping,
        part: str,
        opened: Callable[[breaker.Circuit], None],
    ) -> breaker.Circuit:
        return breaker.Circuit(
            mapping.uuid,
            mapping.name,
            part,
            self._settings,
            opened=opened,
            **self._options,
        )

    def _tell(self, guard: CellGuard, circuit: breaker.Circuit) -> None:
        self.opened(guard, circuit)


def _nobody(guard: CellGuard, circuit: breaker.Circuit) -> None:
    """Nobody probes yet."""
