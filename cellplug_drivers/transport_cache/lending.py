"""Transports on loan: what the transport caches of this package share.

No driver itself. The user of a transport is a block of ``use``; what is kept
no longer closes as soon as it has no user, and so exactly once.
"""

from __future__ import annotations

import collections
import contextlib
import os
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from contextlib import AbstractContextManager

from cellplug import exception
from cellplug import interfaces

Open = Callable[[str], interfaces.Transport]


class Entry:
    """A transport and how many use it just now.

    :ivar since: when its last user left, where a book wants to know.
    """

    __slots__ = ('since', 'transport', 'users')

    def __init__(self, transport: interfaces.Transport) -> None:
        self.transport = transport
        self.users = 0
        self.since = 0.0


class Loan:
    """A transport for one block; a class, as each message has one."""

    __slots__ = ('_book', '_entry', '_url')

    def __init__(self, book: Book, url: str) -> None:
        self._book = book
        self._url = url

    def __enter__(self) -> interfaces.Transport:
        self._entry = self._book.enter(self._url)
        return self._entry.transport

    def __exit__(self, *_: object) -> None:
        self._book.leave(self._url, self._entry)


class Book:
    """The transports that one process keeps, by URL, and who uses them.

    ``_entries`` has what is kept, the least recently asked for first. An
    entry that is not in it any more gets no new user, and closes when its
    last one leaves.

    The lock is held while a transport is opened, which contacts nothing, and
    never while one is closed. A subclass decides in three methods, called
    with the lock held, what is kept: here, everything.
    """

    def __init__(self, open_transport: Open) -> None:
        self._open = open_transport
        self._lock = threading.Lock()
        self._entries: collections.OrderedDict[str, Entry]
        self._entries = collections.OrderedDict()
        self._closed = False
        self._pid = os.getpid()

    def enter(self, url: str) -> Entry:
        """The URL's entry, with one user more.

        :raises RouterClosed: after :meth:`close`.
        """
        unused: list[Entry] = []
        with self._lock:
            if self._closed:
                raise exception.RouterClosed('the router was closed')
            entry = self._entries.get(url)
            if entry is None or entry.transport.broken:
                entry = Entry(self._open(url))
                unused += self._drop([url])
                self._entries[url] = entry
                self._opened()
            entry.users += 1
            self._entries.move_to_end(url)
            excess = self._excess()
            if excess:
                unused += self._drop(excess)
        if unused:
            close_all(unused)
        return entry

    def leave(self, url: str, entry: Entry) -> None:
        """A user of the entry has left.

        A child that was forked in the block leaves nothing: the user is the
        parent, and so is the owner of the lock.
        """
        if os.getpid() != self._pid:
            return
        unused: list[Entry] = []
        with self._lock:
            entry.users -= 1
            if self._entries.get(url) is not entry:
                if not entry.users:
                    unused.append(entry)
            elif entry.transport.broken:
                unused += self._drop([url])
            elif not entry.users:
                self._unused(entry)
                excess = self._excess()
                if excess:
                    unused += self._drop(excess)
        if unused:
            close_all(unused)

    def retire(self, url: str) -> None:
        """Keep the URL's transport no longer."""
        with self._lock:
            unused = self._drop([url])
        close_all(unused)

    def close(self) -> None:
        """Keep nothing any longer, and lend nothing more."""
        with self._lock:
            self._closed = True
            unused = self._drop(list(self._entries))
        close_all(unused)

    def _drop(self, urls: Iterable[str]) -> list[Entry]:
        """Keep these no longer; the lock is held.

        :returns: those without a user, to be closed once it is not.
        """
        dropped = [self._entries.pop(url, None) for url in urls]
        return [one for one in dropped if one is not None and not one.users]

    def _opened(self) -> None:
        """A transport was added."""

    def _unused(self, entry: Entry) -> None:
        """The last user of a transport that is kept has left."""

    def _excess(self) -> Sequence[str]:
        """The URLs whose transports are too many now."""
        return ()


def close_all(entries: list[Entry]) -> None:
    """Close them all, even if one raises."""
    with contextlib.ExitStack() as stack:
        for entry in entries:
            stack.callback(entry.transport.close)


class Lender(interfaces.TransportCache):
    """A transport cache that has a book in each process.

    A parent's book stays where it is in the child, and is not touched: its
    lock may be held for ever there, and a connection that is garbage shuts
    the socket it shares with the parent's.

    :param make_book: called by the first thread of a process that asks.
    """

    def __init__(self, make_book: Callable[[], Book]) -> None:
        self._make_book = make_book
        self._books: dict[int, Book] = {}
        self._closed = False

    def _book(self) -> Book:
        pid = os.getpid()
        book = self._books.get(pid)
        if book is None:
            book = self._books.setdefault(pid, self._make_book())
            if self._closed:
                book.close()
        return book

    def use(self, url: str) -> AbstractContextManager[interfaces.Transport]:
        return Loan(self._book(), url)

    def retire(self, url: str) -> None:
        self._book().retire(url)

    def close(self) -> None:
        """Keep nothing of this process any longer."""
        self._closed = True
        book = self._books.get(os.getpid())
        if book is not None:
            book.close()
