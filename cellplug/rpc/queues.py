"""Handles on message queues: what a context carries instead of a transport.

A handle is a name for a queue; it looks up the transport when a message is
sent, so that it stays valid when the cell's transport URL is edited.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cellplug import exception
from cellplug import interfaces
from cellplug.db import guarding
from cellplug.objects import mappings
from cellplug.objects import urls

_IN_PROCESS = ('fake', 'kombu+memory', 'memory')

Reread = Callable[[str], None]
"""Looks a cell up again, by its uuid; raises nothing."""


class CellQueue:
    """The handle of a cell's message queue; one object for each cell.

    Its repr and messages name the cell, and never hold the URL.

    :ivar version: another one for each URL that it had.
    :ivar guard: what stands before the cell, and has to hear how its queue
        does.
    """

    __slots__ = ('_cache', '_isolated', '_refuse', '_reread', '_url',
                 'cell_name', 'cell_uuid', 'guard', 'version')  # fmt: skip

    def __init__(
        self,
        mapping: mappings.CellMapping,
        cache: interfaces.TransportCache,
        reread: Reread | None = None,
        guard: guarding.Guard = guarding.NO_GUARD,
    ) -> None:
        self.cell_uuid = mapping.uuid
        self.guard = guard
        self._cache = cache
        self._reread = reread
        self._url = ''
        self.version = 0
        self.update(mapping)

    def __repr__(self) -> str:
        return f'<message queue of cell {self.cell_name!r} {self.cell_uuid}>'

    def update(self, mapping: mappings.CellMapping) -> Callable[[], None]:
        """Follow a newer mapping.

        A URL that cannot be used is remembered and raised by :meth:`use`:
        the cell's database may still be worked with.

        :returns: what lets go of the former transport; call it without
            holding a lock.
        """
        self.cell_name = mapping.name
        url = mapping.transport_url
        refuse: Callable[[], exception.CellplugError] | None = None
        try:
            urls.check_transport('transport_url', url)
        except exception.InvalidURL as exc:
            refuse = functools.partial(self.invalid, exc.reason)
        else:
            if not urls.has_queue(url):
                refuse = self._has_none
        self._isolated = url.partition(':')[0].lower() in _IN_PROCESS
        return self._follow(url, refuse)

    def _follow(
        self, url: str, refuse: Callable[[], exception.CellplugError] | None
    ) -> Callable[[], None]:
        former, self._refuse, self._url = self._url, refuse, url
        if former and former != url:
            # Behind the URL: who saw the new version uses the new URL.
            self.version += 1
            return lambda: self._cache.retire(former)
        return lambda: None

    def leads_elsewhere(self, version: int) -> bool:
        """Whether the cell's queue is another one than in that version.

        Has the cell looked up again first, if that is not known yet; see
        :class:`cellplug.db.rereading.Rereader`.
        """
        if self.version == version and self._reread is not None:
            self._reread(self.cell_uuid)
        return self.version != version

    def retire(self) -> None:
        """The cell was deleted: its transport closes after its last user."""
        self._follow('', self._is_gone)()

    @property
    def where(self) -> str:
        """What the queue is called in messages."""
        return f'cell {self.cell_name!r} ({self.cell_uuid})'

    def use(self) -> AbstractContextManager[Any]:
        """Borrow the transport for one message.

        :raises CellHasNoQueue: on entering, for a cell whose transport URL is
            ``none:``.
        :raises InvalidURL: if the cell's transport URL cannot be used.
        :raises CellMappingNotFound: if the cell was deleted.
        """
        return _Borrowed(self, self._cache)

    def settle(self, url: str) -> None:
        """Let go of a transport that was used, if its URL is not the cell's.

        Edited meanwhile: the use may have opened what was retired.
        """
        if url != self._url:
            self._cache.retire(url)

    def url(self) -> str:
        """The transport URL, a secret; raises as :meth:`use` does."""
        url = self._url
        if self._refuse is not None:
            raise self._refuse()
        return url

    def invalid(self, reason: str) -> exception.CellplugError:
        """The exception that says the transport URL cannot be used."""
        return exception.InvalidURL(f'transport_url of {self.where}', reason)

    def _has_none(self) -> exception.CellplugError:
        return exception.CellHasNoQueue(self.cell_uuid, self.cell_name)

    def _is_gone(self) -> exception.CellplugError:
        return exception.CellMappingNotFound(self.cell_uuid)

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
        if not self._isolated:
            return {}
        return {
            'exchange': f'cell-{self.cell_uuid}',
            'topic': f'{topic}.{self.cell_uuid}',
        }


class _Borrowed:
    """A cell's transport for one block; a class, as each message has one."""

    __slots__ = ('_cache', '_loan', '_queue', '_url')

    def __init__(
        self, queue: CellQueue, cache: interfaces.TransportCache
    ) -> None:
        self._queue = queue
        self._cache = cache

    def __enter__(self) -> Any:
        self._url = self._queue.url()
        try:
            self._loan = self._cache.use(self._url)
            return self._loan.__enter__()
        except BaseException:
            self._queue.settle(self._url)
            raise

    def __exit__(self, *error: Any) -> bool | None:
        try:
            return self._loan.__exit__(*error)
        finally:
            self._queue.settle(self._url)


class Admission:
    """Gives each cell its handle, and has it follow the cell's mapping."""

    def __init__(
        self, cache: interfaces.TransportCache, reread: Reread | None = None
    ) -> None:
        self._cache = cache
        self._reread = reread

    def admit(
        self,
        mapping: mappings.CellMapping,
        queue: CellQueue | None,
        guard: guarding.Guard,
    ) -> tuple[CellQueue, Callable[[], None] | None]:
        """The cell's handle, and what to call once no lock is held."""
        if queue is None:
            queue = CellQueue(mapping, self._cache, self._reread, guard)
            return queue, None
        return queue, queue.update(mapping)


class OwnQueue:
    """The handle of the process's own queue, ``[DEFAULT] transport_url``."""

    where = "this process's own queue"
    version = 0
    guard = guarding.NO_GUARD

    def __init__(
        self, cache: interfaces.TransportCache, find_url: Callable[[], str]
    ) -> None:
        self._cache = cache
        self._find_url = find_url
        self._url: str | None = None

    def __repr__(self) -> str:
        return "<the process's own message queue>"

    def use(self) -> AbstractContextManager[Any]:
        """Borrow the transport for one message.

        :raises NotTargeted: if ``[DEFAULT] transport_url`` is not set.
        """
        return self._cache.use(self.url())

    def url(self) -> str:
        """The transport URL, a secret; raises as :meth:`use` does."""
        if self._url is None:
            self._url = self._find_url()
        return self._url

    def invalid(self, reason: str) -> exception.CellplugError:
        """The exception that says the transport URL cannot be used."""
        return exception.InvalidURL('[DEFAULT] transport_url', reason)

    def unavailable(self, reason: str) -> exception.CellplugError:
        """The exception that says this queue does not answer."""
        return exception.QueueUnavailable(reason)

    def leads_elsewhere(self, version: int) -> bool:
        """Never: it is where the configuration says."""
        return False

    def isolation(self, topic: str) -> dict[str, str]:
        """Nothing: the process's own queue is shared by intent."""
        return {}
