"""A correct placement driver: what the suite of these is proved on."""

from __future__ import annotations

from typing import Any

from cellplug import exception
from cellplug import interfaces
from tests.conformance import helpers

Capability = interfaces.PlacementCapability


class Facts:
    """Something outside that a driver asks."""

    def __init__(self) -> None:
        self.reachable = True

    def bonus(self) -> int:
        """How much the project counts for."""
        if not self.reachable:
            raise ConnectionError('the facts are out of reach')
        return 2


class MemoryPlacement(interfaces.Placement):
    """The fewest instances; the project's own count for more."""

    capabilities = frozenset(Capability)

    def __init__(self, options: Any, host: Any) -> None:
        self.host = host
        self.facts = Facts()

    def rank(self, context: Any, candidates: Any, request: Any) -> list[str]:
        try:
            bonus = self.facts.bonus()
        except ConnectionError as exc:
            raise exception.DatabaseUnavailable('facts', str(exc)) from exc
        if request.hints.get('nowhere'):
            raise exception.NoCellAvailable(request.instance_uuid)
        return self.order(candidates, request, bonus)

    def order(self, candidates: Any, request: Any, bonus: int) -> list[str]:
        """The uuids, best first."""
        ranked = sorted(
            candidates,
            key=lambda one: one.instances - bonus * one.project_instances,
        )
        return [one.uuid for one in ranked]

    def close(self) -> None:
        pass


class PlacementHarness(helpers.conformance.Harness):
    """Facts that all drivers of a check share."""

    def __init__(self) -> None:
        self.facts = Facts()

    def attach(self, driver: Any) -> None:
        driver.facts = self.facts

    def break_source(self) -> None:
        self.facts.reachable = False

    def mend_source(self) -> None:
        self.facts.reachable = True
