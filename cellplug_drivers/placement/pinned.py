"""The ``pinned`` placement driver: projects that have a cell of their own."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import interfaces
from cellplug import objects

_Capability = interfaces.PlacementCapability
_GROUP = 'placement_pinned'


class PinnedPlacement(interfaces.Placement):
    """Places the instances of some projects in the cells they are pinned to.

    *When it is right.* Where a project has to be in one cell: hardware of
    its own, a contract, a test of a new cell by a project that knows of it.

    *What a pin means.* Instances of the project are placed in this cell and
    in no other: while it is closed for new ones, or down, they are refused,
    and the error says why. Instances that are there already stay where they
    are. Others may be placed in a cell that somebody is pinned to, unless
    ``reserved`` keeps them out.

    *All other projects* are left to ``backend``, by default ``spread``; with
    ``only_pinned`` they are refused.

    *What it costs.* Nothing for a project that is pinned, but what the
    backend needs to know, which is counted for every placement.

    A change takes a reload (SIGHUP) or a restart.
    """

    capabilities = frozenset({_Capability.COUNTS, _Capability.PROJECT_COUNTS})

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        return [
            cfg.DictOpt(
                'projects',
                default={},
                help='The cell of each project that is pinned, as '
                'PROJECT:CELL pairs, e.g. 3fb1c2:cell2, 9d07aa:cell1. CELL is '
                'a name or a uuid.',
            ),
            cfg.BoolOpt(
                'reserved',
                default=False,
                help='Whether cells that a project is pinned to get nothing '
                'of projects that are not pinned. By default they are open '
                'to all.',
            ),
            cfg.BoolOpt(
                'only_pinned',
                default=False,
                help='Whether instances of projects that are not pinned are '
                'refused. By default the backend places them.',
            ),
            cfg.StrOpt(
                'backend',
                default='spread',
                help='The placement driver for projects that are not pinned: '
                'spread, weighted, or another one that is installed.',
            ),
        ]

    @classmethod
    def check_config(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
        conf.register_opts(cls.options(), _GROUP)
        try:
            _Pins(conf[_GROUP])
        except exception.ConfigurationError as exc:
            return [str(exc)]
        return []

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._host = host
        self._pins = _Pins(options)
        self._backend: interfaces.Placement = host.load(
            'placement', options.backend
        )
        self.capabilities = self._backend.capabilities

    def rank(
        self,
        context: cellplug_context.RequestContext,
        candidates: Sequence[objects.Candidate],
        request: objects.PlacementRequest,
    ) -> list[str]:
        pins = self._pins
        cell = pins.cells.get(request.project_id)
        if cell is not None:
            return self._pinned(cell, candidates, request)
        if pins.only_pinned:
            raise exception.NoCellAvailable(
                request.instance_uuid,
                reason=f'project {request.project_id!r} is pinned to no cell',
            )
        left = [one for one in candidates if not pins.keeps_out(one.cell)]
        return self._backend.rank(context, left, request)

    def _pinned(
        self,
        cell: str,
        candidates: Sequence[objects.Candidate],
        request: objects.PlacementRequest,
    ) -> list[str]:
        for one in candidates:
            if cell in (one.uuid, one.cell.name):
                return [one.uuid]
        raise exception.NoCellAvailable(
            request.instance_uuid,
            reason=f'project {request.project_id!r} is pinned to cell '
            f'{cell!r}, which is not open for it',
        )

    def reload(self) -> None:
        """Take up other pins; the backend takes a restart."""
        conf = self._host.read_config()
        conf.register_opts(self.options(), _GROUP)
        self._pins = _Pins(conf[_GROUP])

    def close(self) -> None:
        """The loader closes the backend."""


class _Pins:
    """Who is pinned where; never changed, only replaced.

    :ivar cells: the cell's uuid or name, by project.
    """

    def __init__(self, options: Any) -> None:
        self.cells = _parsed(options.projects)
        self.only_pinned: bool = options.only_pinned
        self._reserved = (
            frozenset(self.cells.values()) if options.reserved else frozenset()
        )

    def keeps_out(self, cell: objects.CellMapping) -> bool:
        """Whether projects that are not pinned may not go there."""
        return cell.uuid in self._reserved or cell.name in self._reserved


def _parsed(projects: Mapping[str, str]) -> dict[str, str]:
    """The pins, each of a project and a cell that there can be."""
    known = {}
    for project, text in projects.items():
        try:
            objects.check_id('project', project)
            known[project] = _cell(text)
        except exception.InvalidInput as exc:
            raise exception.ConfigurationError(
                f'[{_GROUP}] projects: {project}: {exc}'
            ) from exc
    return known


def _cell(text: str) -> str:
    try:
        return objects.canonical_uuid('cell', text)
    except exception.InvalidUUID:
        return objects.check_cell_name(text)
