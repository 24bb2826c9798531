"""What a placement driver is asked: immutable records, safe to print."""

from __future__ import annotations

import dataclasses
import hashlib
import types
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from cellplug.objects import mappings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A cell that may get the instance.

    :ivar cell: the cell: enabled, and not cell0.
    :ivar instances: how many instances are mapped to it; None unless the
        driver declares COUNTS.
    :ivar project_instances: how many of them are the project's; None unless
        the driver declares PROJECT_COUNTS.
    """

    cell: mappings.CellMapping
    instances: int | None = None
    project_instances: int | None = None

    @property
    def uuid(self) -> str:
        """The cell's uuid."""
        return self.cell.uuid


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRequest:
    """The instance that is to be placed.

    :ivar hints: what the service says beside, in words of its own; it cannot
        be changed.
    """

    instance_uuid: str
    project_id: str
    user_id: str | None = None
    hints: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({})
    )


def in_turn(
    candidates: Iterable[Candidate], instance_uuid: str
) -> list[Candidate]:
    """The candidates in an order of this instance's own.

    The same at each call and in each process, and another one for another
    instance: each cell is first for as many instances as any other. A cell
    that comes or goes leaves the order of the others alone (rendezvous
    hashing).
    """

    def turn(one: Candidate) -> bytes:
        text = f'{instance_uuid}/{one.uuid}'
        return hashlib.sha256(text.encode()).digest()

    return sorted(candidates, key=turn)
