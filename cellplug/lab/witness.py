"""What happens to the cells, as whoever watches the router sees it."""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable
from collections.abc import Mapping

from cellplug import objects
from cellplug.lab import ledger as lab_ledger

_NUMBERS = re.compile(r'[\d.]+')
_MOST = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something that changed.

    :ivar seconds: when, since requests flow.
    :ivar cell: the name of the cell; '' if it concerns several.
    :ivar text: what.
    """

    seconds: float
    cell: str
    text: str


class Witness:
    """Looks at the health of all cells again and again, and notes changes.

    :param look: the router's ``health``; it contacts no cell.

    :ivar events: in order; the first :data:`_MOST`.
    :ivar cells: the last look, by the cell's name.
    """

    def __init__(
        self,
        ledger: lab_ledger.Ledger,
        look: Callable[[], Mapping[str, objects.CellHealth]],
    ) -> None:
        self._ledger = ledger
        self._look = look
        self._lock = threading.Lock()
        self._states: dict[tuple[str, str], objects.CircuitState] = {}
        self._missing: dict[str, str] = {}
        self.events: list[Event] = []
        self.cells: dict[str, objects.CellHealth] = {}

    def note(self, cell: str, text: str) -> None:
        """Something happened."""
        with self._lock:
            if len(self.events) < _MOST:
                self.events.append(Event(self._ledger.now, cell, text))

    def look(self) -> None:
        """Look once, and note what has changed since."""
        found = self._look().values()
        self.cells = {one.cell.name: one for one in found}
        for name, one in self.cells.items():
            self._compare(name, 'database', one.database)
            if one.queue is not None:
                self._compare(name, 'queue', one.queue)

    @property
    def unhealed(self) -> list[str]:
        """A line for each part of a cell that is not asked just now."""
        return [
            f'the {part} of {name}'
            for (name, part), state in self._states.items()
            if state is not objects.CircuitState.CLOSED
        ]

    def _compare(
        self, cell: str, part: str, circuit: objects.CircuitHealth
    ) -> None:
        key = cell, part
        former = self._states.get(key, objects.CircuitState.CLOSED)
        self._states[key] = circuit.state
        if circuit.state is former:
            return
        closed = objects.CircuitState.CLOSED
        breaker = f'the breaker of the {part}'
        if former is closed:
            # It may have been open between two looks.
            self.note(cell, f'{breaker} opens: {circuit.last_error}')
        if circuit.state is objects.CircuitState.HALF_OPEN:
            self.note(cell, f'the {part} is probed')
        elif circuit.state is closed:
            self.note(cell, f'{breaker} closes')

    def listed(self, missing: Mapping[str, str]) -> None:
        """A list has come back; note if other cells are missing than before.

        :param missing: the names of the cells that are, and why.
        """
        # How long it took is no news, nor when it will be asked again.
        told = {c: why.partition(';')[0] for c, why in missing.items()}
        kinds = {cell: _NUMBERS.sub('', why) for cell, why in told.items()}
        former, self._missing = self._missing, kinds
        for cell, why in told.items():
            if former.get(cell) != kinds[cell]:
                self.note(cell, f'is missing in the list: {why}')
        for cell in former.keys() - kinds.keys():
            self.note(cell, 'is in the list again')
