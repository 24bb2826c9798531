"""Users of the break room: each cell has two, and two work with all cells.

That each cell has users of its own is what makes it visible whether one bad
cell harms the others: a user who has to wait keeps no other one waiting. One
asks its database, and one its worker.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
import types
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import cellplug
from cellplug import exception
from cellplug.lab import api as lab_api
from cellplug.lab import deployment as lab_deployment
from cellplug.lab import flavors
from cellplug.lab import ledger as lab_ledger
from cellplug.lab import witness as lab_witness

PER_CELL = ('show', 'reboot')
"""What a cell's own users ask for, each for one of these."""

LISTS = ('list', 'partial')
"""How lists are noted: those of all cells, and those of some."""

LIST_TIMEOUT = 1.0
"""Seconds that a list waits for cells."""

_FIRST = 2
"""Instances that each cell has, on the average, before requests flow."""

_MOST_SPARE = 4
"""Instances that the user who boots keeps."""

_PAUSES: Mapping[str, float] = types.MappingProxyType(
    {'show': 0.04, 'reboot': 0.12, 'list': 0.25, 'boot': 0.25}
)
"""Seconds between two requests of one user, on the average."""

_END = 30.0
"""Seconds within which every request has ended."""


class Users:
    """Sends requests until told to stop, and notes what comes of each.

    :ivar deleted: the uuids of what was deleted for good.
    :ivar raw: errors that should have been translated, a line each.
    """

    def __init__(
        self,
        deployment: lab_deployment.Deployment,
        ledger: lab_ledger.Ledger,
        witness: lab_witness.Witness,
    ) -> None:
        self._deployment = deployment
        self._api = lab_api.InstanceAPI(deployment.router)
        self._ledger = ledger
        self._witness = witness
        self._stopping = threading.Event()
        self._broken: list[BaseException] = []
        self._homes: dict[str, list[str]] = {
            cell.uuid: [] for cell in deployment.cells
        }
        self._numbers = itertools.count(1)
        self.deleted: list[str] = []
        self.raw: list[str] = []

    @property
    def furniture(self) -> int:
        """How many instances :meth:`furnish` boots."""
        return _FIRST * len(self._deployment.cells)

    def furnish(self) -> None:
        """Boot what the users of the cells will ask for.

        :raises CellplugError: if that fails: nothing is broken yet.
        """
        for row in self._api.list(self._deployment.context()):
            if row['cell_uuid'] in self._homes:
                self._homes[row['cell_uuid']].append(row['uuid'])
        for _ in range(self.furniture):
            made = self._boot(self._deployment.context())
            self._homes[made['cell_uuid']].append(made['uuid'])

    def use(self, cell: cellplug.CellMapping) -> bool:
        """Whether the cell has users: there is an instance to ask for."""
        return bool(self._homes[cell.uuid])

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """They send requests while the block runs."""
        works: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (self._use_cell, (cell, request))
            for cell in self._deployment.cells
            for request in PER_CELL
            if self.use(cell)
        ]
        works += [(self._list, ()), (self._boot_and_delete, ())]
        threads = [
            threading.Thread(
                target=self._run,
                args=(work, args),
                name=f'lab-user-{number}',
                daemon=True,
            )
            for number, (work, args) in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            end = time.monotonic() + _END
            for thread in threads:
                thread.join(max(0, end - time.monotonic()))

    def check(self) -> None:
        """Raise what ended a user who should have gone on."""
        self._deployment.workers.check()
        if self._broken:
            raise self._broken[0]

    def _run(self, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            work(*args)
        except BaseException as exc:  # noqa: BLE001 (raised by check)
            self._broken.append(exc)

    def _rounds(self, pause: str) -> Iterator[int]:
        """Numbers, until it is time to stop."""
        for number in itertools.count():
            # Not in step with each other.
            seconds = _PAUSES[pause] * random.uniform(0.5, 1.5)
            if self._stopping.wait(seconds):
                return
            yield number

    # -- one cell ----------------------------------------------------------

    def _use_cell(self, cell: cellplug.CellMapping, request: str) -> None:
        call = {'show': self._api.show, 'reboot': self._api.reboot}[request]
        uuids = self._homes[cell.uuid]
        for number in self._rounds(request):
            self._ask(cell.name, request, call, uuids[number % len(uuids)])

    def _ask(
        self, cell: str, request: str, call: Callable[..., Any], *args: Any
    ) -> Any:
        """Send a request and note what came of it; None if it failed."""
        began, part = time.perf_counter(), self._ledger.part
        try:
            answer = call(self._deployment.context(), *args)
        except Exception as exc:  # noqa: BLE001 (what the user is told)
            seconds = time.perf_counter() - began
            self._failed(cell, request, seconds, exc, part)
            return None
        seconds = time.perf_counter() - began
        self._ledger.note(cell, request, seconds, began=part)
        return answer

    def _failed(
        self,
        cell: str,
        request: str,
        seconds: float,
        error: Exception,
        began: lab_ledger.Part,
    ) -> None:
        self._ledger.note(
            cell,
            request,
            seconds,
            said(error),
            refused=getattr(error, 'refused', False),
            began=began,
        )
        if request == 'show':
            self._look_for_raw(cell, error)

    def _look_for_raw(self, cell: str, error: BaseException) -> None:
        """Of reading a cell nothing may come but cellplug's own errors."""
        if not isinstance(error, exception.CellplugError):
            line = f'{cell}: {type(error).__name__} came through as it was'
            if line not in self.raw:
                self.raw.append(line)

    # -- all cells ---------------------------------------------------------

    def _list(self) -> None:
        for _ in self._rounds('list'):
            self._list_once()

    def _list_once(self) -> None:
        began, part = time.perf_counter(), self._ledger.part
        try:
            rows, failures = self._api.list_some(
                self._deployment.context(), LIST_TIMEOUT
            )
        except Exception as exc:  # noqa: BLE001 (what the user is told)
            seconds = time.perf_counter() - began
            self._failed('', LISTS[0], seconds, exc, part)
            return
        seconds = time.perf_counter() - began
        missing = {}
        for one in failures:
            missing[one.cell_name] = one.reason
            if one.error is not None:
                missing[one.cell_name] = said(one.error)
                self._look_for_raw(one.cell_name, one.error)
        cells = len(self._deployment.cells) + 1
        self._ledger.listing = lab_ledger.Listing(
            cells - len(missing), len(rows), missing
        )
        self._ledger.note('', LISTS[bool(missing)], seconds)
        self._witness.listed(missing)

    def _boot_and_delete(self) -> None:
        spare: list[str] = []
        for _ in self._rounds('boot'):
            made = self._ask('', 'boot', self._boot)
            if made is not None and made['state'] == 'active':
                self._ledger.note(self._name(made), lab_ledger.BOOTED, 0.0)
                spare.append(made['uuid'])
            if len(spare) > _MOST_SPARE:
                # If this fails, nobody knows whether it is there.
                uuid = spare.pop(0)
                if self._ask('', 'delete', self._delete, uuid):
                    self.deleted.append(uuid)

    def _boot(self, context: cellplug.RequestContext) -> dict[str, Any]:
        name = f'vm-{next(self._numbers)}'
        return self._api.boot(context, name, flavors.FLAVORS[0])

    def _delete(self, context: cellplug.RequestContext, uuid: str) -> bool:
        self._api.delete(context, uuid)
        return True

    def _name(self, made: dict[str, Any]) -> str:
        names = {one.uuid: one.name for one in self._deployment.cells}
        return names[made['cell_uuid']]


def said(error: BaseException) -> str:
    """What an error says, on one line, without the cell it is about."""
    if isinstance(error, exception.DatabaseUnavailable):
        return ' '.join(error.reason.split())
    remote = getattr(error, 'exc_type', None)
    if remote:
        # A worker's: oslo.messaging adds its traceback.
        first = str(getattr(error, 'value', '')).strip().partition('\n')[0]
        return f'{remote}: {first}'
    first = str(error).strip().partition('\n')[0]
    if isinstance(error, exception.CellplugError):
        return first
    return f'{type(error).__name__}: {first}'
