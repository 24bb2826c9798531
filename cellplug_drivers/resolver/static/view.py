"""What the ``static`` resolver answers from: one version of everything.

Generations are the driver's own. What changed gets a new one, what did not
keeps its own. They come from the clock, in microseconds, so that those of a
process that was started anew are larger; and a new one is always larger than
all before it in its process, whatever the clock does.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping

from cellplug import objects
from cellplug_drivers.resolver.static import reading


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """Where the instances of a project live, since which generation."""

    cell_uuid: str
    generation: int


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """Never changed: the driver replaces it by the next one.

    :ivar cells: in order.
    :ivar by_key: the cells by uuid and by name.
    :ivar homes: by project; None: of all that are not named.
    :ivar newest: no generation in any view before was larger.
    """

    cells: tuple[objects.CellMapping, ...]
    by_key: Mapping[str, objects.CellMapping]
    homes: Mapping[str | None, Home]
    newest: int

    def home(self, project_id: str) -> Home | None:
        """Where the instances of a project live."""
        return self.homes.get(project_id) or self.homes.get(None)


NOTHING = View((), types.MappingProxyType({}), types.MappingProxyType({}), 0)
"""The view before the first."""


def following(former: View, settings: reading.Settings, now: float) -> View:
    """The view that the settings make, after another one.

    :param now: seconds since the epoch.
    """
    stamp = max(int(now * 1_000_000), former.newest + 1)
    cells = tuple(_aged(former, cell, stamp) for cell in settings.cells)
    by_key = {cell.uuid: cell for cell in cells}
    by_key |= {cell.name: cell for cell in cells}
    return View(
        cells=cells,
        by_key=types.MappingProxyType(by_key),
        homes=types.MappingProxyType(_homes(former, settings, stamp)),
        newest=stamp,
    )


def _aged(
    former: View, cell: objects.CellMapping, stamp: int
) -> objects.CellMapping:
    known = former.by_key.get(cell.uuid)
    if known is not None and known == dataclasses.replace(
        cell, generation=known.generation
    ):
        return known
    return dataclasses.replace(cell, generation=stamp)


def _homes(
    former: View, settings: reading.Settings, stamp: int
) -> dict[str | None, Home]:
    """The rules, and what has become of projects that had one.

    A project that falls back to the default cell is kept beside it: the
    default's own generation may be smaller than that of its former rule.
    """
    homes: dict[str | None, Home] = {}
    projects: set[str | None] = {None, *former.homes, *settings.projects}
    for project in projects:
        cell_uuid = settings.default
        if project is not None:
            cell_uuid = settings.projects.get(project, settings.default)
        if cell_uuid is None:
            continue
        known = former.homes.get(project)
        if project is not None and known is None:
            known = former.homes.get(None)
        if known is None or known.cell_uuid != cell_uuid:
            known = Home(cell_uuid, stamp)
        homes[project] = known
    return homes
