"""The ``project_affinity`` placement driver: a project stays together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import interfaces
from cellplug import objects

_Capability = interfaces.PlacementCapability


class ProjectAffinityPlacement(interfaces.Placement):
    """Places an instance where its project has the most already.

    *When it is right.* Where instances of one project talk to each other, or
    are listed together: a listing then asks few cells. A project whose cell
    is closed for new instances goes on in the one where it has the most
    next, and comes back when that is open again.

    *What it leaves to another.* The first instance of a project, and all
    cells where the project has equally many: these are in the order of
    ``backend``, by default ``spread``. What the backend rules out is out.

    *What it costs.* One query for each placement, which reads an index entry
    for each instance of the project; and what the backend costs.

    Large projects make their cells large. Where that hurts, ``spread`` and
    ``weighted`` place by the cells alone.
    """

    capabilities = frozenset({_Capability.PROJECT_COUNTS, _Capability.COUNTS})

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        return [
            cfg.StrOpt(
                'backend',
                default='spread',
                help='The placement driver that orders the cells in which '
                'the project has equally many instances, or none: spread, '
                'weighted, or another one that is installed.',
            ),
        ]

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._backend: interfaces.Placement = host.load(
            'placement', options.backend
        )
        self.capabilities = self._backend.capabilities | {
            _Capability.PROJECT_COUNTS
        }

    def rank(
        self,
        context: cellplug_context.RequestContext,
        candidates: Sequence[objects.Candidate],
        request: objects.PlacementRequest,
    ) -> list[str]:
        ranked = self._backend.rank(context, candidates, request)
        counts = {one.uuid: one.project_instances or 0 for one in candidates}
        return sorted(ranked, key=lambda uuid: -counts[uuid])

    def close(self) -> None:
        """The loader closes the backend."""
