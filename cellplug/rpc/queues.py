"""Handles on message queues: what a context carries instead of a transport.

A handle is a name for a queue; it looks up the transport when a message is
sent, so that it stays valid when the cell's transport URL is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cellplug import exception
from cellplug import interfaces
from cellplug.objects import mappings
from cellplug.objects import urls

_IN_PROCESS = ('fake', 'kombu+memory', 'memory')


class CellQueue:
    """The handle of a cell's message queue; one object for each cell.

    Its repr and messages name the cell, and never hold the URL.
    """

    __slots__ = ('_cache', '_url', '_wrong', 'cell_name', 'cell_uuid')

    def __init__(
        self, mapping: mappings.CellMapping, cache: interfaces.TransportCache
    ) -> None:
        self.cell_uuid = mapping.uuid
        self._cache = cache
        self._url = ''
        self._wrong: exception.InvalidURL | None = None
        self.cell_name = mapping.name
        self.update(mapping)

    def __repr__(self) -> str:
        return f'<message queue of cell {self.cell_name!r} {self.cell_uuid}>'

    def update(self, mapping: mappings.CellMapping) -> Callable[[], None]:
        """Follow a newer mapping.

        A URL that cannot be used is remembered and raised by :meth:`use`:
        the cell's database may still be worked with.

        :returns: what lets go of the former transport; call it without
            holding a lock, since it may close connections.
        """
        former, self._url = self._url, mapping.transport_url
        self.cell_name = mapping.name
        self._wrong = None
        try:
            urls.check_transport('transport_url', mapping.transport_url)
        except exception.InvalidURL as exc:
            self._wrong = exc
        if former and former != self._url and urls.has_queue(former):
            return lambda: self._cache.retire(former)
        return lambda: None

    def retire(self) -> None:
        """The cell was deleted: its transport closes after its last user."""
        if self._url and urls.has_queue(self._url):
            self._cache.retire(self._url)

    @property
    def where(self) -> str:
        """What the queue is called in messages."""
        return f'cell {self.cell_name!r} ({self.cell_uuid})'

    def use(self) -> AbstractContextManager[Any]:
        """Borrow the transport for one message.

        :raises CellHasNoQueue: for a cell whose transport URL is ``none:``.
        :raises InvalidURL: if the cell's transport URL cannot be used.
        """
        return self._cache.use(self.url())

    def url(self) -> str:
        """The transport URL, a secret; raises as :meth:`use` does."""
        if self._wrong is not None:
            raise self._wrong
        if not urls.has_queue(self._url):
            raise exception.CellHasNoQueue(self.cell_uuid, self.cell_name)
        return self._url

    def unavailable(self, reason: str) -> exception.CellplugError:
        """The exception that says this queue does not answer."""
        return exception.CellUnavailable(
            self.cell_uuid, self.cell_name, reason, part='message queue'
        )

    def isolation(self, topic: str) -> dict[str, str]:
        """The exchange and topic that keep cells apart in one process.

        In-process transports ignore host and virtual host: there, every cell
        would get every cell's messages. A real broker needs none of this.
        """
        if self._url.partition(':')[0].lower() not in _IN_PROCESS:
            return {}
        return {
            'exchange': f'cell-{self.cell_uuid}',
            'topic': f'{topic}.{self.cell_uuid}',
        }


class Admission:
    """Gives each cell its handle, and has it follow the cell's mapping."""

    def __init__(self, cache: interfaces.TransportCache) -> None:
        self._cache = cache

    def admit(
        self, mapping: mappings.CellMapping, queue: CellQueue | None
    ) -> tuple[CellQueue, Callable[[], None] | None]:
        """The cell's handle, and what to call once no lock is held."""
        if queue is None:
            return CellQueue(mapping, self._cache), None
        return queue, queue.update(mapping)


class OwnQueue:
    """The handle of the process's own queue, ``[DEFAULT] transport_url``."""

    where = "this process's own queue"

    def __init__(
        self, cache: interfaces.TransportCache, find_url: Callable[[], str]
    ) -> None:
        self._cache = cache
        self._find_url = find_url

    def __repr__(self) -> str:
        return "<the process's own message queue>"

    def use(self) -> AbstractContextManager[Any]:
        """Borrow the transport for one message.

        :raises NotTargeted: if ``[DEFAULT] transport_url`` is not set.
        """
        return self._cache.use(self.url())

    def url(self) -> str:
        """The transport URL, a secret; raises as :meth:`use` does."""
        return self._find_url()

    def unavailable(self, reason: str) -> exception.CellplugError:
        """The exception that says this queue does not answer."""
        return exception.QueueUnavailable(reason)

    def isolation(self, topic: str) -> dict[str, str]:
        """Nothing: the process's own queue is shared by intent."""
        return {}
