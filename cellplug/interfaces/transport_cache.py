"""How long a cell's transport lives: the transport cache's contract."""

from __future__ import annotations

import abc
import enum
from contextlib import AbstractContextManager
from typing import Protocol

from cellplug.interfaces import base


class Transport(Protocol):
    """An oslo.messaging transport behind bounded calls.

    What a cache handles: it opens, lends and closes them, and looks at
    nothing inside. It compares by identity.
    """

    @property
    def broken(self) -> bool:
        """Whether the transport gave up; a cache replaces such a one."""
        ...

    def close(self) -> None:
        """Close its connections, in the background. Idempotent.

        Returns at once: a cache may call it in the midst of a request. The
        router's ``close`` waits for all connections, in bounded time.
        """
        ...


class TransportCacheCapability(enum.Enum):
    """What a transport cache can do beyond lending transports."""

    KEEPS = 'keeps'
    """A transport outlives the message it was opened for."""


class TransportCache(base.Driver):
    """Lends transports, one for each transport URL, and closes them.

    *Users.* The user of a transport is the block of :meth:`use`: a call in
    flight. A transport is closed only when its last user has left, and then
    at once if it was retired or turned out broken; it is closed exactly once.

    *Opening.* ``host.open_transport(url)`` builds one and connects to
    nothing, in a few milliseconds; two threads that ask for the same URL at
    once get the same transport, where the driver KEEPS them.
    """

    @abc.abstractmethod
    def use(self, url: str) -> AbstractContextManager[Transport]:
        """Borrow the transport of this URL for the block.

        :param url: the whole URL, credentials included; a key that is kept
            in memory only.
        :raises InvalidURL: if the URL cannot name a message queue.
        """

    @abc.abstractmethod
    def retire(self, url: str) -> None:
        """Nobody will ask for this URL again: close when the last user left.

        Unknown URLs are ignored. A later :meth:`use` of the same URL opens
        a new transport.
        """
