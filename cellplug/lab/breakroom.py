"""A run in which cells break and heal, in three parts of the same length.

Calm, broken, healed: what changes from one to the next is the cells alone.
Requests flow all the while, and nobody tells the router what happens.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Protocol

from cellplug.lab import breaking
from cellplug.lab import choosing
from cellplug.lab import deployment as lab_deployment
from cellplug.lab import ledger as lab_ledger
from cellplug.lab import people
from cellplug.lab import quotas
from cellplug.lab import settling
from cellplug.lab import traffic
from cellplug.lab import users as lab_users
from cellplug.lab import witness as lab_witness

RETRY_MAX = 2.0
"""Seconds, at most, between two probes of what is broken."""

_LOOK_EVERY = 0.1
"""Seconds between two looks at the health of the cells."""

_HEALS_WITHIN = 30.0
"""Seconds after which a healed cell must be asked again."""


class Progress(traffic.Progress, Protocol):
    """Also shows people what happens while it does."""

    def watched(
        self, tell: Callable[[], Story]
    ) -> contextlib.AbstractContextManager[None]:
        """A block in which the story so far is shown, again and again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Story:
    """What came of it.

    :ivar broken: how each cell was broken, by name.
    :ivar names: the cells that take instances, in order.
    :ivar seconds: how long it was until the end of the last part.
    :ivar stalled: seconds that this machine stood still at the longest, for
        all that the lab did.
    :ivar quotas: limits and usages in the end, as the service sees them.
    :ivar settled: what was left behind.
    :ivar deleted: the uuids of what was deleted for good.
    :ivar problems: what may not be, whatever breaks.
    """

    broken: Mapping[str, breaking.Kind]
    names: list[str]
    ledger: lab_ledger.Ledger
    witness: lab_witness.Witness
    seconds: float
    stalled: float = 0.0
    quotas: list[quotas.Row] = dataclasses.field(default_factory=list)
    settled: settling.Settled = dataclasses.field(
        default_factory=settling.Settled
    )
    deleted: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def tuned(taken: choosing.Groups, *, real: bool) -> choosing.Groups:
    """Bounds so short that one can watch; what the user chose stays.

    :param real: on servers. A file's ``read_timeout`` is how long a writer
        waits for another one, and says nothing about hanging.
    """
    ours = {
        'cells': {
            'breaker_threshold': '3',
            'breaker_retry': '1',
            'breaker_retry_max': f'{RETRY_MAX:g}',
        },
        'cell_database': {
            'connect_timeout': f'{breaking.PATIENCE:g}',
            'read_timeout': '2' if real else '10',
            'write_timeout': '2',
            'pool_timeout': '2',
        },
        # A first connection to a broker takes a while on a busy machine.
        'rpc': {'connect_timeout': '3'},
    }
    found = {
        group: {option: [value] for option, value in options.items()}
        for group, options in ours.items()
    }
    for group, options in taken.items():
        found.setdefault(group, {}).update(options)
    return found


class BreakRoom:
    """Lets requests flow while cells break and heal.

    :param room: what breaks them.
    :param broken: which, and how.
    :param seconds: how long each part takes.
    """

    def __init__(
        self,
        deployment: lab_deployment.Deployment,
        room: breaking.Room,
        progress: Progress,
        broken: Mapping[str, breaking.Kind],
        seconds: float,
    ) -> None:
        self._deployment = deployment
        self._room = room
        self._progress = progress
        self._broken = broken
        self._seconds = seconds
        self._ledger = lab_ledger.Ledger()
        self._witness = lab_witness.Witness(
            self._ledger, deployment.router.health
        )
        self._users = lab_users.Users(deployment, self._ledger, self._witness)
        self._stalled = 0.0

    def run(self, instances: int, deleted: list[str]) -> Story:
        """Do it, and have the books settled in the end.

        :param instances: how many may be booted, beside those that the
            users of the cells ask for.
        :param deleted: what was deleted for good before; what is deleted now
            is added.
        :raises CellplugError: if something fails that nothing broke.
        """
        router, context = self._deployment.router, self._deployment.context()
        room = instances + self._users.furniture
        limits = quotas.make_room_for(router, context, room)
        self._progress.phase('Booting')
        self._users.furnish()
        try:
            with (
                self._progress.watched(self._story),
                self._users.at_work(),
            ):
                self._tell()
            seconds = self._ledger.now
        finally:
            deleted += self._users.deleted
        self._progress.phase('Stopping the workers')
        self._deployment.workers.stop()
        self._progress.phase('Settling the books')
        settled = self._deployment.settle()
        deleted += settled.forgotten
        return dataclasses.replace(
            self._story(),
            seconds=seconds,
            quotas=limits and quotas.rows(router, context, (people.USER,)),
            settled=settled,
            deleted=self._users.deleted,
            problems=list(self._problems()),
        )

    def _story(self) -> Story:
        return Story(
            broken=self._broken,
            names=[cell.name for cell in self._deployment.cells],
            ledger=self._ledger,
            witness=self._witness,
            seconds=max(3 * self._seconds, self._ledger.now),
            stalled=self._stalled,
        )

    def _tell(self) -> None:
        """The three parts."""
        self._ledger.begin(lab_ledger.Part.CALM)
        self._go_on()
        # Nothing fails by what is broken before it is said to be.
        self._ledger.begin(lab_ledger.Part.BROKEN)
        with self._damaged():
            self._go_on()
        self._go_on()
        end = time.monotonic() + _HEALS_WITHIN
        while self._witness.unhealed and time.monotonic() < end:
            self._look()

    @contextlib.contextmanager
    def _damaged(self) -> Iterator[None]:
        """The cells are broken within the block, however it ends."""
        try:
            for cell, kind in self._broken.items():
                self._room.damage(cell, kind)
                meaning = breaking.MEANINGS[kind]
                self._witness.note(cell, f'breaks: {kind} ({meaning})')
            yield
        finally:
            self._ledger.begin(lab_ledger.Part.HEALED)
            for cell in self._broken:
                self._room.heal(cell)
                self._witness.note(cell, 'is healed')

    def _go_on(self) -> None:
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            self._look()

    def _look(self) -> None:
        began = time.monotonic()
        self._users.check()
        self._witness.look()
        time.sleep(_LOOK_EVERY)
        late = time.monotonic() - began - _LOOK_EVERY
        self._stalled = max(self._stalled, late)

    def _problems(self) -> Iterator[str]:
        """What may not be, whatever breaks."""
        yield from self._users.raw
        for part in self._witness.unhealed:
            yield f'{part} was healed, and is not asked again'
        for cell in self._deployment.cells:
            if self._stalled < breaking.PATIENCE:
                yield from self._harm(cell.name)
            healed = self._ledger.tally(
                lab_ledger.Part.HEALED, cell.name, *lab_users.PER_CELL
            )
            if self._users.use(cell) and not healed.answered:
                yield f'{cell.name} answered nothing in the last part'

    def _harm(self, cell: str) -> Iterator[str]:
        """What failed where nothing was broken.

        A machine that stood still proves nothing: whoever waits for a second
        at most is not answered then, whatever breaks.
        """
        for part in lab_ledger.Part:
            if part is not lab_ledger.Part.CALM and cell in self._broken:
                continue
            tally = self._ledger.tally(part, cell, *lab_users.PER_CELL)
            if tally.failed:
                yield (
                    f'{cell} was whole, and {tally.failed} of its requests '
                    f'failed ({part}): {tally.error}'
                )
