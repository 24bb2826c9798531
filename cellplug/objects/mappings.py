"""Where cells and instances are: immutable records, safe to print."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from cellplug import exception
from cellplug.objects import identifiers
from cellplug.objects import urls


class CellState(enum.StrEnum):
    """What a cell is open for.

    Set by ``cell update --state``, and honoured by the newest mapping that a
    process knows, also for contexts that were targeted before. What cannot be
    done raises CellStateForbids. cellplug's own look at a cell (``cell
    verify``, ``cell health``) and the care of its schema (``db sync``) are
    done in any state.
    """

    ENABLED = 'enabled'
    """Everything."""

    NO_NEW = 'no_new'
    """What is there already; nothing new is placed."""

    READ_ONLY = 'read_only'
    """Reading, and messages; no ``db.writer``, and nothing new is placed."""

    DISABLED = 'disabled'
    """Nothing: it can neither be targeted nor worked with."""


def check_state(value: str) -> CellState:
    """The state, from its name.

    :raises InvalidInput: for any other value.
    """
    try:
        return CellState(value)
    except ValueError:
        known = ', '.join(CellState)
        raise exception.InvalidInput(
            'state', f'{value!r} is none of {known}'
        ) from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CellMapping:
    """A cell: its uuid and name, and how to reach it.

    :ivar database_connection: SQLAlchemy URL; a secret.
    :ivar slave_connection: URL of a replica for readers, or None; a secret.
    :ivar transport_url: oslo.messaging URL, ``none:///`` for a cell without
        a queue; a secret.
    :ivar generation: orders versions of this cell: a larger one is newer.
    """

    uuid: str
    name: str
    database_connection: str = dataclasses.field(repr=False)
    transport_url: str = dataclasses.field(repr=False)
    slave_connection: str | None = dataclasses.field(default=None, repr=False)
    state: CellState = CellState.ENABLED
    generation: int = 0
    created_at: datetime.datetime | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    updated_at: datetime.datetime | None = dataclasses.field(
        default=None, compare=False, repr=False
    )

    @property
    def is_cell0(self) -> bool:
        """Whether this is the cell of what could never be placed."""
        return self.uuid == identifiers.CELL0_UUID

    @property
    def has_queue(self) -> bool:
        """Whether the cell has a message queue."""
        return urls.has_queue(self.transport_url)

    def masked(self) -> dict[str, object]:
        """Every field, for people and machines: URLs without secrets."""
        return {
            'uuid': self.uuid,
            'name': self.name,
            'state': str(self.state),
            'database_connection': urls.mask(self.database_connection),
            'slave_connection': urls.mask(self.slave_connection),
            'transport_url': urls.mask(self.transport_url),
            'generation': self.generation,
            'created_at': self.created_at,
            'updated_at': self.updated_at,
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMapping:
    """In which cell an instance lives.

    :ivar cell: the cell, where the look-up read it in the same query.
    :ivar generation: orders the versions of this mapping.
    :ivar created_at: UTC without a zone; None, as ``updated_at``, where a
        request was routed by it: that look-up reads no times.
    """

    instance_uuid: str
    cell_uuid: str
    project_id: str
    user_id: str | None = None
    generation: int = 0
    cell: CellMapping | None = dataclasses.field(default=None, compare=False)
    created_at: datetime.datetime | None = dataclasses.field(
        default=None, compare=False, repr=False
    )
    updated_at: datetime.datetime | None = dataclasses.field(
        default=None, compare=False, repr=False
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Which version of an instance's mapping a request was routed by.

    It travels with the request's context to the worker that writes.
    """

    instance_uuid: str
    generation: int
