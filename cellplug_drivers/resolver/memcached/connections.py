"""Connections to one server, and the pool they wait in."""

from __future__ import annotations

import threading
import time
from typing import Any

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


class Connection(base.Client):  # type: ignore[misc]
    """One connection; keys are checked where they are made."""

    def check_key(self, key: bytes, key_prefix: bytes) -> bytes:
        """Nothing to check: the keys are hashes."""
        return key

    def add_many(self, values: dict[bytes, bytes], expire: int) -> Any:
        """Add each that is not there; one round trip for all."""
        return self._store_cmd(b'add', values, expire, False)

    def set_many(self, values: dict[bytes, bytes], expire: int) -> Any:
        """Set each; one round trip for all."""
        return self._store_cmd(b'set', values, expire, False)
