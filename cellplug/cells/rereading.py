"""Looking a cell up once more, when it could not be reached as known."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug.db import registry as db_registry

LOG = logging.getLogger(__name__)

_EVERY = 1.0
"""Seconds for which an answer about a cell that fails is good enough."""

_PATIENCE = 10.0
"""Seconds to wait for the thread that asks about the same cell."""


class _Cell:
    """One cell, in one process, that could not be reached."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asker: int | None = None
        self.asked_at: float | None = None


class Rereading:
    """Asks the resolver about cells that could not be reached.

    Kept by process id, with locks of each process's own. A resolver that
    caches is told to forget the cell first, so that its source is asked.

    *When it is right.* An answer is as old as ``every`` at most. What was
    edited since is missed by this look-up, and found by the next one.

    *How large it grows.* A few words for each cell that ever failed.

    :ivar resolver: set by whoever makes the resolver.
    :ivar registry: set by whoever makes the engines.
    :ivar found: told of a cell that the resolver knows.
    :param every: seconds from an answer until a cell is asked about again.
    :param timer: seconds that never go back.
    """

    resolver: Any
    registry: db_registry.EngineRegistry

    def __init__(
        self,
        every: float = _EVERY,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every = every
        self._timer = timer
        self.found: Callable[[str], object] = lambda _: None
        self._processes: dict[int, dict[str, _Cell]] = {}

    def reread(self, cell_uuid: str) -> None:
        """See :class:`cellplug.db.rereading.Rereader`."""
        cells = self._processes.setdefault(os.getpid(), {})
        cell = cells.setdefault(cell_uuid, _Cell())
        if cell.asker == threading.get_ident():
            return  # The resolver itself works on this cell's database.
        if not cell.lock.acquire(timeout=_PATIENCE):
            return
        try:
            if not self._is_known(cell):
                cell.asker = threading.get_ident()
                self._ask(cell_uuid)
                cell.asked_at = self._timer()
        finally:
            cell.asker = None
            cell.lock.release()

    def _is_known(self, cell: _Cell) -> bool:
        """Whether it was asked about just now: while this thread waited."""
        asked_at = cell.asked_at
        return asked_at is not None and (
            self._timer() - asked_at < self._every
        )

    def _ask(self, cell_uuid: str) -> None:
        try:
            self.resolver.forget_cell(cell_uuid)
            cell = self.resolver.get_cell(cell_uuid)
            self.found(cell_uuid)
            self.registry.attach(cell)
        except exception.CellplugError as exc:
            LOG.debug('Cell %s was not looked up again: %s', cell_uuid, exc)
        except Exception as exc:  # noqa: BLE001 (a stranger's driver)
            # The request fails already, for a reason that says more.
            LOG.warning(
                'Cell %s was not looked up again: the resolver raised %s',
                cell_uuid,
                type(exc).__name__,
            )
