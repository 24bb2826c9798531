"""The ``none`` transport cache: one transport per message."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug import interfaces


class NoTransportCache(interfaces.TransportCache):
    """Opens a transport for each message and closes it behind it.

    *When it is right.* To compare, and to find out whether a fault lies with
    kept connections. Not in production.

    *What it costs.* Each message connects, logs in and disconnects: a cast
    once, a call twice. That takes many times as long as the message itself,
    and the broker has to work for it as well. Connections close in the
    background: a process that sends without a pause has several that are
    not closed yet.

    *What clears it.* Nothing has to: no connection outlives its message, so
    an edited cell is followed at once.

    *How large it grows.* One transport for each message in flight.

    *Fork.* There is nothing to inherit but a message that is just being
    sent, which stays the parent's.
    """

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._host = host
        self._locks: dict[int, threading.Lock] = {}
        self._closed = False

    @contextlib.contextmanager
    def use(self, url: str) -> Iterator[interfaces.Transport]:
        if self._closed:
            raise exception.RouterClosed('the router was closed')
        pid = os.getpid()
        # One at a time: each registers options, which oslo.config does not
        # expect of several threads at once. A parent's lock may be held for
        # ever in its child.
        with self._locks.setdefault(pid, threading.Lock()):
            transport = self._host.open_transport(url)
        try:
            yield transport
        finally:
            # A child that was forked in the block leaves the parent's alone.
            if os.getpid() == pid:
                transport.close()

    def retire(self, url: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Open no more; what is in use closes when its user leaves."""
        self._closed = True
