"""The ``process`` transport cache: one transport per URL, kept for ever."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug import interfaces


class _Entry:
    """A transport and how many use it just now."""

    def __init__(self, transport: interfaces.Transport) -> None:
        self.transport = transport
        self.users = 0
        self.retired = False

    def retire(self) -> bool:
        """Take no new users; returns whether there are none left."""
        self.retired = True
        return not self.users


class _State:
    """What one process has open."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entries: dict[str, _Entry] = {}


class ProcessTransportCache(interfaces.TransportCache):
    """Keeps a transport for each URL for as long as the process lives.

    *When it is right.* Almost always: it is the default. A transport that
    was used holds two broker connections or more; a process that talks to
    very many cells may want a bounded cache.

    *Fork.* Keyed by process id: a child opens its own, and leaves the
    parent's alone.
    """

    capabilities = frozenset({interfaces.TransportCacheCapability.KEEPS})

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._host = host
        self._states: dict[int, _State] = {}
        self._closed = False

    def _state(self) -> _State:
        pid = os.getpid()
        state = self._states.get(pid)
        return state or self._states.setdefault(pid, _State())

    @contextlib.contextmanager
    def use(self, url: str) -> Iterator[interfaces.Transport]:
        state = self._state()
        entry = self._enter(state, url)
        try:
            yield entry.transport
        finally:
            self._leave(state, url, entry)

    def _enter(self, state: _State, url: str) -> _Entry:
        with state.lock:
            if self._closed:
                raise exception.RouterClosed('the router was closed')
            former = state.entries.get(url)
            if former is not None and not former.transport.broken:
                former.users += 1
                return former
            entry = _Entry(self._host.open_transport(url))
            entry.users = 1
            state.entries[url] = entry
            last = former is not None and former.retire()
        if former is not None and last:
            former.transport.close()
        return entry

    def _leave(self, state: _State, url: str, entry: _Entry) -> None:
        with state.lock:
            entry.users -= 1
            if entry.transport.broken:
                entry.retired = True
                if state.entries.get(url) is entry:
                    del state.entries[url]
            last = entry.retired and not entry.users
        if last:
            entry.transport.close()

    def retire(self, url: str) -> None:
        state = self._state()
        with state.lock:
            entry = state.entries.pop(url, None)
            last = entry is not None and entry.retire()
        if entry is not None and last:
            entry.transport.close()

    def close(self) -> None:
        """Retire all transports of this process."""
        self._closed = True
        for url in list(self._state().entries):
            self.retire(url)
