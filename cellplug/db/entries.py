"""What a process knows of one cell, and who adds to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from typing import Protocol

from cellplug.db import engines as db_engines
from cellplug.db import guarding
from cellplug.objects import mappings


@dataclasses.dataclass(slots=True)
class CellEntry:
    """What the process knows of one cell.

    :ivar generation: of the newest mapping seen; older ones change nothing.
    :ivar mapping: that mapping; None once the cell was deleted.
    :ivar queue: the handle of the cell's transport.
    :ivar guard: what stands before the cell; None before there was a mapping.
        It stays the same for all of them, as the handle does.
    """

    uuid: str
    generation: int
    mapping: mappings.CellMapping | None = None
    engines: db_engines.Engines | None = None
    digest: str = dataclasses.field(default='', repr=False)
    queue: Any = None
    guard: Any = None


class Queues(Protocol):
    """What gives each cell the handle of its message queue."""

    def admit(
        self, mapping: mappings.CellMapping, queue: Any, guard: guarding.Guard
    ) -> tuple[Any, Callable[[], None] | None]:
        """The handle for a newer mapping, and what to call afterwards.

        Called with a lock held; what it returns is called without.

        :param queue: the one that the cell has, None for a new cell.
        :param guard: to be asked before each message.
        """
        ...
