"""Connections to one server, and the pool they wait in."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from pymemcache import exceptions
from pymemcache import pool
from pymemcache.client import base


class BusyError(Exception):
    """All connections are in use, and stay so."""


class Pool(pool.ObjectPool):  # type: ignore[misc]
    """Waits for a connection where pymemcache's raises at once.

    Lock order: ``_returned``, then the pool's own.
    """

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._returned = threading.Condition(threading.Lock())
        self._waiting = 0
        self._closed = False

    def get(self) -> Any:
        """A connection, after ``patience`` seconds at most."""
        if self._closed:
            raise BusyError
        try:
            return super().get()
        except RuntimeError:
            return self._wait()

    def _wait(self) -> Any:
        deadline = time.monotonic() + self._patience
        with self._returned:
            self._waiting += 1
            try:
                while True:
                    try:
                        return super().get()
                    except RuntimeError:
                        left = deadline - time.monotonic()
                    if left <= 0 or not self._returned.wait(left):
                        raise BusyError from None
            finally:
                self._waiting -= 1

    def _wake(self) -> None:
        # A waiter counts itself before it looks into the pool, and this is
        # called after the pool was filled: so one of the two sees the other.
        if self._waiting:
            with self._returned:
                self._returned.notify()

    def release(self, obj: Any, silent: bool = True) -> None:
        """Give it back."""
        if self._closed:
            self.destroy(obj)
            return
        super().release(obj, silent)
        self._wake()

    def destroy(self, obj: Any, silent: bool = True) -> None:
        """Close it; another one may be opened instead."""
        super().destroy(obj, silent)
        self._wake()

    def drop_idle(self) -> None:
        """Close those that nobody uses."""
        while True:
            try:
                self._free_objs.popleft().close()
            except IndexError:
                return

    def close(self) -> None:
        """Close all, each when its user gives it back."""
        self._closed = True
        self.drop_idle()


_MEGABYTE = 1_000_000
_ROOM = 1_100_000
"""Bytes of an answer: the largest value, and what stands around it."""

_ROOM_FOR_EACH = 4096
"""Further bytes for each further key that was asked for."""


class _Socket(socket.socket):
    """Takes an answer within the timeout, and of bounded length.

    A timeout of the system's bounds each part that arrives. The first part is
    nearly always all of it, so nothing is looked at before the second.
    An answer of megabytes has the timeout anew for each of them.
    """

    __slots__ = ('_began', '_command', '_patience', '_room', '_taken')

    _taken: int
    _room: int
    _command: bytes
    _patience: float | None
    _began: float

    def take_over(self, other: socket.socket) -> _Socket:
        """Like the other one, which it replaces."""
        self._patience = other.gettimeout()
        self._command = b''
        self._taken = -1
        self._room = 0
        self._began = 0.0
        self.settimeout(self._patience)
        return self

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send a command: another answer begins."""
        if self._taken > 0:
            self.settimeout(self._patience)
        self._taken = -1
        self._began = _now()
        self._command = data
        _sendall(self, data, flags)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Some of the answer.

        :raises TimeoutError: when it takes too long.
        :raises MemcacheUnknownError: when there is no end of it.
        """
        if self._taken < 0:
            self._taken = 0
            return _recv(self, size, flags)
        return self._recv_more(size, flags)

    def _recv_more(self, size: int, flags: int) -> bytes:
        if self._command:
            asks = self._command[:3] == b'get'
            keys = self._command.count(b' ') if asks else 0
            self._room = _ROOM + keys * _ROOM_FOR_EACH
            self._command = b''
        if self._taken > self._room:
            raise exceptions.MemcacheUnknownError('there is no end of it')
        if self._patience is not None:
            patience = self._patience * (1 + self._taken // _MEGABYTE)
            left = self._began + patience - _now()
            if left <= 0:
                raise TimeoutError('timed out')
            self.settimeout(left)
        more = _recv(self, size, flags)
        self._taken += len(more)
        return more


_sendall = socket.socket.sendall
_recv = socket.socket.recv
_now = time.monotonic


class Connection(base.Client):  # type: ignore[misc]
    """One connection; keys are checked where they are made."""

    sock: Any

    def _connect(self) -> None:
        super()._connect()
        plain = self.sock
        self.sock = _Socket(fileno=plain.fileno()).take_over(plain)
        plain.detach()

    def check_key(self, key: bytes, key_prefix: bytes) -> bytes:
        """Nothing to check: the keys are hashes."""
        return key

    def add_many(self, values: dict[bytes, bytes], expire: int) -> Any:
        """Add each that is not there; one round trip for all."""
        return self._store_cmd(b'add', values, expire, False)

    def set_many(self, values: dict[bytes, bytes], expire: int) -> Any:
        """Set each; one round trip for all."""
        return self._store_cmd(b'set', values, expire, False)
