"""Which engines belong to which database: the engine registry.

It holds, for each cell, the newest CellMapping that this process has seen.
Contexts hold keys alone, so they always reach the newest engines. A hit takes
no lock.

Fork: everything lives in one state per process id. A child finds no state of
its own, and makes one from the parent's mappings: with new locks and engines,
and the parent's kept untouched, so that nothing closes a socket that is not
the child's.
"""

from __future__ import annotations

import dataclasses
import os
import threading

from cellplug import exception
from cellplug.db import engines as db_engines
from cellplug.db import entries
from cellplug.db import guarding
from cellplug.db import identity_hook
from cellplug.db import mysql
from cellplug.db import settings as db_settings
from cellplug.db import sources
from cellplug.objects import mappings
from cellplug.objects import urls

API_DATABASE = 'api'
"""The key of the API database; a cell's key is its uuid, None the own."""


CellEntry = entries.CellEntry


class _State:
    """Everything of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cells: dict[str, CellEntry] = {}
        self.fixed: dict[str | None, db_engines.Engines] = {}
        self.shared = mysql.Shared()


class EngineRegistry:
    """Engines by database key. The router owns it and closes it.

    :param fixed: the API database and the process's own, by key.
    :param queues: makes the handles of the cells' message queues.
    :ivar guards: makes what stands before each cell.
    """

    def __init__(
        self,
        fixed: dict[
            str | None, tuple[sources.Source, db_settings.EngineSettings]
        ],
        cell_settings: db_settings.EngineSettings,
        queues: entries.Queues,
        guards: guarding.Guards,
    ) -> None:
        self._fixed = fixed
        self._cell_settings = cell_settings
        self._queues = queues
        self.guards = guards
        self._states: dict[int, _State] = {}
        self._abandoned: list[object] = []
        self._closed = False

    def _state(self) -> _State:
        if self._closed:
            raise exception.RouterClosed('the router was closed')
        state = self._states.get(os.getpid())
        return state if state is not None else self._new_state()

    def _new_state(self) -> _State:
        """The state of a process that has none: the first, or a child."""
        state = _State()
        for parent in list(self._states.values()):
            for uuid, entry in list(parent.cells.items()):
                state.cells[uuid] = self._reborn(state, entry)
        return self._states.setdefault(os.getpid(), state)

    def _reborn(self, state: _State, entry: CellEntry) -> CellEntry:
        if entry.mapping is None:
            return entry
        engines = self._cell_engines(state, entry.mapping, entry.guard)
        return dataclasses.replace(entry, engines=engines)

    def attach(self, mapping: mappings.CellMapping) -> CellEntry:
        """The entry of a cell, brought up to date with this mapping.

        :raises CellMappingNotFound: if the cell is known to be deleted.
        :raises InvalidURL: if its database connection cannot be used.
        """
        entry = self._state().cells.get(mapping.uuid)
        if entry is None or mapping.generation > entry.generation:
            return self._admit(mapping)
        if entry.mapping is None:
            raise exception.CellMappingNotFound(mapping.uuid)
        return entry

    def _admit(self, mapping: mappings.CellMapping) -> CellEntry:
        whose = f'of cell {mapping.name!r} ({mapping.uuid})'
        urls.check_database(
            f'database_connection {whose}', mapping.database_connection
        )
        if mapping.slave_connection:
            urls.check_database(
                f'slave_connection {whose}', mapping.slave_connection
            )
        state, share = self._state(), self.guards.budget.connections
        with state.lock:
            known = state.cells.get(mapping.uuid)
            if known is None:
                known = CellEntry(mapping.uuid, mapping.generation - 1)
            if mapping.generation <= known.generation:
                if known.mapping is None:
                    raise exception.CellMappingNotFound(mapping.uuid)
                return known
            guard = self.guards.admit(mapping, known.guard)
            entry, retired = self._entry(state, mapping, known, guard)
            entry.queue, settle = self._queues.admit(
                mapping, known.queue, guard
            )
            state.cells[mapping.uuid] = entry
        if retired is not None:
            retired.retire()
        if settle is not None:
            settle()
        if self.guards.budget.connections < share:
            for one in list(state.cells.values()):
                if one.engines is not None:
                    one.engines.trim()
        return entry

    def _entry(
        self,
        state: _State,
        mapping: mappings.CellMapping,
        known: CellEntry,
        guard: guarding.Guard,
    ) -> tuple[CellEntry, db_engines.Engines | None]:
        digest = urls.secret_digest(
            mapping.name, mapping.database_connection, mapping.slave_connection
        )
        engines = retired = known.engines
        if known.digest == digest and engines:
            retired = None
        else:
            engines = self._cell_engines(state, mapping, guard)
        entry = CellEntry(
            mapping.uuid,
            mapping.generation,
            mapping,
            engines,
            digest,
            guard=guard,
        )
        return entry, retired

    def _cell_engines(
        self,
        state: _State,
        mapping: mappings.CellMapping,
        guard: guarding.Guard,
    ) -> db_engines.Engines:
        source = sources.Source(
            label=sources.Label(mapping.name, mapping.uuid),
            connection=mapping.database_connection,
            slave_connection=mapping.slave_connection,
            hooks=(identity_hook.checker(mapping.uuid, mapping.name),),
        )
        return db_engines.Engines(
            source,
            self._cell_settings,
            state.shared,
            guard=guard,
            budget=self.guards.budget,
        )

    def entry(self, cell_uuid: str) -> CellEntry | None:
        """What this process knows of a cell; None of one that is deleted."""
        entry = self._state().cells.get(cell_uuid)
        return entry if entry is not None and entry.mapping else None

    def newest(self, cell_uuid: str) -> mappings.CellMapping | None:
        """The newest mapping of the cell that this process has seen."""
        entry = self._state().cells.get(cell_uuid)
        return entry.mapping if entry is not None else None

    def all_newest(self) -> list[mappings.CellMapping]:
        """The newest mapping of each cell that this process works with."""
        entries = list(self._state().cells.values())
        return [one.mapping for one in entries if one.mapping is not None]

    def unbury(self, cell_uuid: str) -> None:
        """A cell that was buried may be attached again, as it was.

        For an API database that was restored.
        """
        state = self._state()
        with state.lock:
            known = state.cells.get(cell_uuid)
            if known is not None and known.mapping is None:
                known.generation = -1

    def bury(self, cell_uuid: str, generation: int) -> None:
        """The cell was deleted: older mappings of it lead nowhere."""
        state = self._state()
        with state.lock:
            known = state.cells.get(cell_uuid)
            if known is not None and known.generation > generation:
                return
            # The handle stays: contexts have it, if the cell comes back.
            handle = known.queue if known is not None else None
            guard = known.guard if known is not None else None
            state.cells[cell_uuid] = CellEntry(
                cell_uuid, generation, queue=handle, guard=guard
            )
            if guard is not None:
                self.guards.dismiss(guard)
        if known is not None and known.engines is not None:
            known.engines.retire()
            known.queue.retire()

    def engines(self, key: str | None) -> db_engines.Engines:
        """The newest engines under a key.

        :raises CellMappingNotFound: if the cell was deleted.
        :raises NotTargeted: if nothing is configured under the key.
        """
        state = self._state()
        entry = state.cells.get(key) if key is not None else None
        if entry is not None:
            if entry.engines is None:
                raise exception.CellMappingNotFound(str(key))
            return entry.engines
        found = state.fixed.get(key)
        return found if found is not None else self._fix(state, key)

    def _fix(self, state: _State, key: str | None) -> db_engines.Engines:
        if key not in self._fixed:
            if key is None:
                raise exception.NotTargeted(
                    'the context is aimed at no cell, and [database] '
                    'connection is not set'
                )
            if key == API_DATABASE:
                raise exception.NotSupported(
                    'this process has no API database: [api_database] '
                    'connection is not set'
                )
            raise exception.CellMappingNotFound(key)
        source, settings = self._fixed[key]
        with state.lock:
            if key not in state.fixed:
                state.fixed[key] = db_engines.Engines(
                    source, settings, state.shared
                )
            return state.fixed[key]

    @property
    def has_api_database(self) -> bool:
        """Whether ``[api_database] connection`` is set."""
        return API_DATABASE in self._fixed

    def drop_idle(self) -> None:
        """Close the connections of databases that nobody used for long."""
        state = self._state()
        for entry in list(state.cells.values()):
            if entry.engines is not None:
                entry.engines.drop_if_idle()
        for engines in list(state.fixed.values()):
            engines.drop_if_idle()

    def abandon(self, thing: object) -> None:
        """Keep something of the parent's alive, so that nothing ends it."""
        self._abandoned.append(thing)

    def close(self) -> None:
        """Retire all engines of this process. Idempotent."""
        self._closed = True
        state = self._states.get(os.getpid())
        if state is None:
            return
        with state.lock:
            cells = list(state.cells.values())
            fixed = list(state.fixed.values())
            state.cells.clear()
            state.fixed.clear()
            self._fixed = {}
        for engines in [e.engines for e in cells if e.engines] + fixed:
            engines.retire()
