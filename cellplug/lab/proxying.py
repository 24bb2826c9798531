"""A TCP proxy before a server, which breaks it and heals it again.

The server itself stays as it is: what stands between it and its clients is
what fails. One thread runs all proxies.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import threading
from collections.abc import Coroutine
from collections.abc import Iterator
from typing import Any
from typing import Self
from typing import TypeVar

from cellplug.lab import breaking
from cellplug.lab import read_only

R = TypeVar('R')

HOST = '127.0.0.1'
"""Where proxies listen."""

_CHUNK = 65536
_TIMEOUT = 10.0
"""Seconds within which the thread does what it is told."""

_PAGE = b'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'


class Proxy:
    """Forwards connections to a server; used by its thread alone.

    Healed, connections that hung go on: what either side had sent by then
    arrives late, as after a partition of the network.

    :ivar port: on :data:`HOST`; it stays the same, also while it refuses.
    :param host: the server's.
    :param is_database: whether it can be read-only: a MariaDB, without TLS.
    """

    def __init__(self, host: str, port: int, *, is_database: bool) -> None:
        self._server = host, port
        self._is_database = is_database
        self._kind: breaking.Kind | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._rubbish = itertools.cycle(_rubbish())
        # Keeps the port while nobody listens: it listens never.
        self._keeper = _bound(0)
        self.port: int = self._keeper.getsockname()[1]

    async def open(self) -> None:
        """Begin to listen."""
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._accept, sock=_bound(self.port), limit=_CHUNK
            )

    async def become(self, kind: breaking.Kind | None) -> None:
        """Be broken in this way from now on; None: in none."""
        self._kind = kind
        if kind is breaking.Kind.HANG:
            self._flows.clear()
        else:
            self._flows.set()
        if kind is breaking.Kind.REFUSE:
            self._stop_listening()
        else:
            await self.open()
        if kind in (breaking.Kind.REFUSE, breaking.Kind.GARBAGE):
            for link in list(self._links):
                self._cut(link)

    async def close(self) -> None:
        """End everything."""
        self._stop_listening()
        self._keeper.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _cut(self, link: _Link) -> None:
        if self._kind is breaking.Kind.GARBAGE:
            link.client.write(next(self._rubbish))
            link.client.close()
        else:
            link.client.transport.abort()
        if link.server is not None:
            link.server.transport.abort()

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = _Link(writer)
        self._links.add(link)
        try:
            # A connection that breaks is what this is all about.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(link, reader)
        finally:
            self._links.discard(link)
            self._tasks.discard(task)
            link.close()

    async def _serve(self, link: _Link, reader: asyncio.StreamReader) -> None:
        await self._flows.wait()
        if self._kind is breaking.Kind.GARBAGE:
            self._cut(link)
            await link.client.wait_closed()
            return
        answers, link.server = await asyncio.open_connection(*self._server)
        pumps = [
            asyncio.create_task(self._ask(link, reader)),
            asyncio.create_task(self._answer(link, answers)),
        ]
        try:
            # When one side has ended, the other one has nobody to talk to.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _ask(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """From the client to the server."""
        assert link.server is not None
        guard = read_only.Filter() if self._is_database else None
        while data := await reader.read(_CHUNK):
            await self._flows.wait()
            if guard is not None:
                refuses = self._kind is breaking.Kind.READONLY
                data, refusals = guard.sift(data, refuses=refuses)
                link.client.write(refusals)
            link.server.write(data)
            await link.server.drain()

    async def _answer(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """From the server to the client."""
        while data := await reader.read(_CHUNK):
            await self._flows.wait()
            if self._kind is breaking.Kind.SLOW:
                await asyncio.sleep(breaking.SLOWNESS)
            link.client.write(data)
            await link.client.drain()


class _Link:
    """A client's connection, and the one to the server that it led to."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None

    def close(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                writer.close()


class Proxies:
    """The thread that runs proxies, and the room in which cells break.

    A block: at its end everything is closed.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name='lab-proxies', daemon=True
        )
        self._proxies: dict[str, list[Proxy]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in itertools.chain(*self._proxies.values()):
            self._run(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    def add(
        self, cell: str, host: str, port: int, *, is_database: bool
    ) -> int:
        """Put a proxy before a server of a cell; its port."""
        proxy = self._run(_opened(host, port, is_database))
        self._proxies.setdefault(cell, []).append(proxy)
        return proxy.port

    def damage(self, cell: str, kind: breaking.Kind) -> None:
        """See :class:`.breaking.Room`."""
        for proxy in self._proxies[cell]:
            self._run(proxy.become(kind))

    def heal(self, cell: str) -> None:
        """See :class:`.breaking.Room`."""
        for proxy in self._proxies[cell]:
            self._run(proxy.become(None))

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(
            _TIMEOUT
        )


async def _opened(host: str, port: int, is_database: bool) -> Proxy:
    proxy = Proxy(host, port, is_database=is_database)
    await proxy.open()
    return proxy


def _bound(port: int) -> socket.socket:
    """A socket that has the port, beside others that do not listen."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((HOST, port))
    return made


def _rubbish() -> Iterator[bytes]:
    """What may come instead of an answer: each is wrong in its own way."""
    yield _PAGE
    yield os.urandom(256)
    # As long as it says it is, and nonsense all the same.
    yield b'\x40\0\0\0' + os.urandom(64)
