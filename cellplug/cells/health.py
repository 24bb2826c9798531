"""``router.health``: how the cells do, as this process sees it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable

from cellplug import exception
from cellplug.cells import breaker
from cellplug.cells import building
from cellplug.cells import checking
from cellplug.cells import guard as cells_guard
from cellplug.cells import lanes
from cellplug.cells import saying
from cellplug.db import registry as db_registry
from cellplug.objects import health
from cellplug.objects import mappings

_AT_A_TIME = 64
"""How many parts of cells are probed at the same time by one call."""

_LOOK = 0.05
"""Seconds between looks, where more are waiting, for one that has ended."""

_Asked = dict[breaker.Circuit, threading.Event | None]


class Health:
    """Looks at cells; see :meth:`cellplug.CellRouter.health`."""

    def __init__(self, parts: building.Parts) -> None:
        self._parts = parts

    def __call__(
        self,
        cells: Iterable[checking.Cell] | None,
        deadline: lanes.Deadline | None,
    ) -> dict[str, health.CellHealth]:
        """The health of these cells, by uuid, in their order.

        :param deadline: for probing them; None not to.
        """
        found = {cell.uuid: cell for cell in self._mappings(cells)}
        entries, unusable = self._entries(
            found.values(), attach=deadline is not None
        )
        asked: _Asked = {}
        if deadline is not None:
            guards = [entry.guard for entry in entries.values()]
            asked = self._probe(guards, deadline)
        overdue = {
            circuit
            for circuit, ended in asked.items()
            if ended is None or not ended.is_set()
        }
        threads = self._parts.bulkhead.threads()
        report = {}
        for uuid, cell in found.items():
            if uuid not in entries:
                report[uuid] = self._unused(cell, unusable.get(uuid))
                continue
            one = self._one(entries[uuid], overdue, deadline)
            busy, late = threads.get(uuid, (0, 0))
            report[uuid] = dataclasses.replace(
                one, threads=busy, threads_overdue=late
            )
        return report

    def _mappings(
        self, cells: Iterable[checking.Cell] | None
    ) -> list[mappings.CellMapping]:
        if isinstance(cells, str | mappings.CellMapping):
            raise exception.InvalidInput(
                'cells', 'is one cell; pass a list of them'
            )
        if cells is not None:
            return [self._mapping(cell) for cell in cells]
        try:
            return self._parts.cells.list()
        except exception.CellplugError:
            # The API database is down: of all times, now one wants to know.
            return self._parts.registry.all_newest()

    def _mapping(self, cell: checking.Cell) -> mappings.CellMapping:
        if isinstance(cell, mappings.CellMapping):
            return cell
        name = checking.named(cell)
        try:
            return self._parts.asking.cell(name)
        except exception.CellMappingNotFound:
            raise
        except exception.CellplugError:
            for known in self._parts.registry.all_newest():
                if name in (known.uuid, known.name):
                    return known
            raise

    def _entries(
        self, cells: Iterable[mappings.CellMapping], *, attach: bool
    ) -> tuple[
        dict[str, db_registry.CellEntry], dict[str, exception.CellplugError]
    ]:
        """What the process knows of the cells, and why nothing of some."""
        found, unusable = {}, {}
        registry = self._parts.registry
        for cell in cells:
            try:
                if attach or registry.entry(cell.uuid) is not None:
                    found[cell.uuid] = registry.attach(cell)
            except exception.CellplugError as exc:
                unusable[cell.uuid] = exc
        return found, unusable

    def _probe(
        self,
        guards: Iterable[cells_guard.CellGuard],
        deadline: lanes.Deadline,
    ) -> _Asked:
        """Probe all parts, side by side; how each is coming on."""
        asked: _Asked = {}
        under_way: list[threading.Event] = []
        for guard in guards:
            for circuit in guard.circuits:
                under_way = _wait_for_less(under_way, deadline)
                ended = None
                if not deadline.over:
                    ended = self._parts.prober.ask(guard, circuit)
                asked[circuit] = ended
                if ended is not None:
                    under_way.append(ended)
        for ended in under_way:
            ended.wait(deadline.left)
        return asked

    def _one(
        self,
        entry: db_registry.CellEntry,
        overdue: set[breaker.Circuit],
        deadline: lanes.Deadline | None,
    ) -> health.CellHealth:
        guard: cells_guard.CellGuard = entry.guard
        engines, cell = entry.engines, guard.mapping
        parts = [circuit.health() for circuit in guard.circuits]
        for number, circuit in enumerate(guard.circuits):
            if circuit in overdue and deadline is not None:
                parts[number] = dataclasses.replace(
                    parts[number],
                    failures=max(parts[number].failures, 1),
                    last_error=f'no answer within {deadline.seconds:g} s',
                )
        return health.CellHealth(
            cell=cell,
            state=cell.state,
            database=parts[0],
            queue=parts[1] if len(parts) > 1 else None,
            connections=engines.connections if engines else 0,
            connections_busy=engines.leases if engines else 0,
            connections_max=self._parts.registry.guards.budget.connections,
            generation=cell.generation,
        )

    def _unused(
        self,
        cell: mappings.CellMapping,
        error: exception.CellplugError | None,
    ) -> health.CellHealth:
        """Of a cell that this process has not worked with, or cannot."""
        blank = health.CircuitHealth(state=health.CircuitState.CLOSED)
        database = blank
        if error is not None:
            database = dataclasses.replace(
                blank, failures=1, last_error=saying.said(error)
            )
        return health.CellHealth(
            cell=cell,
            state=cell.state,
            database=database,
            queue=blank if cell.has_queue else None,
            connections_max=self._parts.registry.guards.budget.connections,
            generation=cell.generation,
        )


def _wait_for_less(
    under_way: list[threading.Event], deadline: lanes.Deadline
) -> list[threading.Event]:
    """Those that go on, once they are few enough, or the time is over."""
    while True:
        left = [ended for ended in under_way if not ended.is_set()]
        if len(left) < _AT_A_TIME or deadline.over:
            return left
        left[0].wait(min(_LOOK, deadline.left))
