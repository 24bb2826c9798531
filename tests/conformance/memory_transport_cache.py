"""A correct transport cache: what the suite of these is proved on."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug import interfaces


class Entry:
    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.users = 0
        self.kept = True


class Shelf:
    """What a process keeps."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.entries: dict[str, Entry] = {}


class MemoryCache(interfaces.TransportCache):
    """One transport for each URL."""

    capabilities = frozenset({interfaces.TransportCacheCapability.KEEPS})

    def __init__(self, options: Any, host: Any) -> None:
        self.host = host
        self.known = Shelf()
        self.closed = False

    def shelf(self) -> Shelf:
        if self.known.pid != os.getpid():
            self.known = Shelf()
        return self.known

    @contextlib.contextmanager
    def use(self, url: str) -> Iterator[Any]:
        shelf = self.shelf()
        entry = self.enter(shelf, url)
        try:
            yield entry.transport
        finally:
            if shelf.pid == os.getpid():
                self.leave(shelf, url, entry)

    def enter(self, shelf: Shelf, url: str) -> Entry:
        with shelf.lock:
            if self.closed:
                raise exception.RouterClosed('the router was closed')
            entry = shelf.entries.get(url)
            if entry is None or entry.transport.broken:
                new = Entry(self.host.open_transport(url))
                self.drop(shelf, url)
                entry = shelf.entries[url] = new
            entry.users += 1
            return entry

    def leave(self, shelf: Shelf, url: str, entry: Entry) -> None:
        with shelf.lock:
            entry.users -= 1
            if entry.transport.broken and shelf.entries.get(url) is entry:
                self.drop(shelf, url)
            elif not entry.kept and not entry.users:
                entry.transport.close()

    def drop(self, shelf: Shelf, url: str) -> None:
        entry = shelf.entries.pop(url, None)
        if entry is not None:
            entry.kept = False
            if not entry.users:
                entry.transport.close()

    def retire(self, url: str) -> None:
        shelf = self.shelf()
        with shelf.lock:
            self.drop(shelf, url)

    def close(self) -> None:
        self.closed = True
        for url in list(self.shelf().entries):
            self.retire(url)
