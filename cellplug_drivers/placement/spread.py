"""The ``spread`` placement driver: the cell with the fewest instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cellplug import context as cellplug_context
from cellplug import interfaces
from cellplug import objects


class SpreadPlacement(interfaces.Placement):
    """Places an instance in the cell that has the fewest.

    *When it is right.* The default. For cells of about one size, whose
    instances cost about the same.

    *How even it is.* Cells that were even stay so: at no time do two of them
    differ by more instances than are placed at one moment, by all processes
    together (with ``[placement] count_max_age`` above 0: within that time).
    A cell that is new gets everything until it has as many as the others.
    What is moved or unmapped counts at once.

    *What it costs.* One query for each placement, which reads an index entry
    for each instance there is; ``[placement] count_max_age`` makes one serve
    for several.

    Of cells that have as many, it takes one by a hash of the instance's uuid.
    """

    capabilities = frozenset({interfaces.PlacementCapability.COUNTS})

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        """There is nothing to set up."""

    def rank(
        self,
        context: cellplug_context.RequestContext,
        candidates: Sequence[objects.Candidate],
        request: objects.PlacementRequest,
    ) -> list[str]:
        fewest_first = sorted(candidates, key=lambda one: one.instances or 0)
        return [one.uuid for one in fewest_first]

    def close(self) -> None:
        """Nothing to close."""
