"""What stands before a cell: a guard, as this layer and messaging see it.

A guard refuses what the cell's state forbids, and what would ask a part of
the cell that has failed too often of late. It learns by being told: of each
transaction, and each message, whether that part did its work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol

from cellplug import exception
from cellplug.objects import mappings

FAILURES = (
    exception.DatabaseUnavailable,
    exception.CellIdentityMismatch,
    exception.CellIdentityMissing,
)
"""What says, when a transaction opens, that the database fails.

Also one that is not the cell's: whoever asks it gets no answer either.
"""


class Circuit(Protocol):
    """One part of a cell, its database or its queue; safe for all threads.

    No method waits for anything.
    """

    @property
    def is_open(self) -> bool:
        """Whether :meth:`check` raises."""
        ...

    def check(self) -> None:
        """Raise CellUnavailable at once if this part has failed too often."""
        ...

    def succeeded(self, seconds: float) -> None:
        """It did its work.

        :param seconds: how long that took.
        """
        ...

    def failed(self, error: BaseException, seconds: float = 0.0) -> None:
        """It did not answer, not in time, or as no part of this cell does.

        :param error: what a caller is told.
        :param seconds: how long that took.
        """
        ...


class Guard(Protocol):
    """What stands before one cell.

    It stays the same object as long as the process knows the cell, whatever
    becomes of the cell's mapping.
    """

    @property
    def database(self) -> Circuit:
        """The cell's database; its replica is none of it."""
        ...

    @property
    def queue(self) -> Circuit:
        """The cell's message queue."""
        ...

    def check_target(self) -> None:
        """Raise CellStateForbids if nothing at all may be done there."""
        ...

    def check(self, *, writer: bool) -> None:
        """Whether a transaction may be opened in its database.

        :raises CellStateForbids: if the cell's state says no.
        :raises CellUnavailable: if the database has failed too often.
        """
        ...

    def check_reader(self) -> None:
        """May its replica be read? Raises CellStateForbids if not."""
        ...

    def check_queue(self) -> None:
        """Whether a message may be sent there.

        :raises CellStateForbids: if the cell's state says no.
        :raises CellUnavailable: if the queue has failed too often.
        """
        ...


class Budget(Protocol):
    """How many transactions may be open in one database at a time."""

    @property
    def connections(self) -> int:
        """As it is now."""
        ...


class Guards(Protocol):
    """What gives each cell its guard."""

    opened: Callable[[Any, Any], None]
    """Told of a guard and its circuit that has opened; for who probes."""

    @property
    def budget(self) -> Budget:
        """Of each cell; one object for all, which changes with them."""
        ...

    def admit(self, mapping: mappings.CellMapping, guard: Any) -> Any:
        """The guard for a newer mapping of a cell.

        Called with a lock held; must not call back.

        :param guard: the one that the cell has, None for a new cell.
        """
        ...

    def dismiss(self, guard: Any) -> None:
        """The cell was deleted."""
        ...


class NoCircuit:
    """The circuit of what is no cell's: it is always asked."""

    __slots__ = ()

    is_open = False

    def check(self) -> None:
        """Nothing to refuse."""

    def succeeded(self, seconds: float) -> None:
        """Nobody keeps count."""

    def failed(self, error: BaseException, seconds: float = 0.0) -> None:
        """Nobody keeps count."""


class NoGuard:
    """The guard of what is no cell: the API database, the process's own."""

    __slots__ = ()

    database = NoCircuit()
    queue = NoCircuit()

    def check_target(self) -> None:
        """Nothing to refuse."""

    def check(self, *, writer: bool) -> None:
        """Nothing to refuse."""

    def check_reader(self) -> None:
        """Nothing to refuse."""

    def check_queue(self) -> None:
        """Nothing to refuse."""


NO_GUARD = NoGuard()
"""It holds nothing, so one is enough."""
