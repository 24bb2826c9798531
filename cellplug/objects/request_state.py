"""What one request has open and has done: shared by copies of its context."""

from __future__ import annotations

import threading
from typing import Any
from typing import Self


class OpenTransactions:
    """What one thread has open on behalf of one request.

    :ivar stack: all open transactions, the innermost last.
    :ivar by_database: the same, per database key.
    """

    __slots__ = ('by_database', 'stack')

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.by_database: dict[str | None, list[Any]] = {}


class RequestState:
    """What a context and all its copies share: the request's transactions.

    It belongs to one request, lives as long as the last copy of its context,
    and starts empty in a context that came over RPC.

    What is open is kept by thread, and only while it is open. Not in a
    ``threading.local``: one that goes visits every thread of the process,
    which a server with hundreds of them pays in each request.

    :ivar acted: another object after every transaction that had an answer and
        every message that was sent: compare it by ``is``. A number, which the
        threads of a scatter all add to, might lose what one of them did.
    :ivar wrote: the database keys that this request wrote to; their readers
        no longer go to a replica.
    """

    __slots__ = ('_by_thread', 'acted', 'wrote')

    def __init__(self) -> None:
        self.acted: object = None
        # By the thread itself: an identifier may be given to the next one.
        self._by_thread: dict[threading.Thread, OpenTransactions] = {}
        self.wrote: set[str | None] = set()

    def act(self) -> None:
        """From now on the request has done something more."""
        self.acted = object()

    @property
    def open(self) -> OpenTransactions:
        """What this thread has open, to look at."""
        found = self._by_thread.get(threading.current_thread())
        return OpenTransactions() if found is None else found

    def opened(self, key: str | None) -> list[Any] | None:
        """What this thread has open on one database, the innermost last."""
        found = self._by_thread.get(threading.current_thread())
        return None if found is None else found.by_database.get(key)

    def enter(self, frame: Any, key: str | None, *, outermost: bool) -> None:
        """This thread opened a transaction, or joined one that it has open.

        :param key: the database's.
        """
        thread = threading.current_thread()
        open_ = self._by_thread.get(thread)
        if open_ is None:
            open_ = self._by_thread[thread] = OpenTransactions()
        open_.stack.append(frame)
        if outermost:
            open_.by_database.setdefault(key, []).append(frame)

    def leave(self, frame: Any, key: str | None, *, outermost: bool) -> None:
        """Undo the latest :meth:`enter` of this frame."""
        thread = threading.current_thread()
        open_ = self._by_thread.get(thread)
        if open_ is None:
            return
        _remove_last(open_.stack, frame)
        if outermost:
            _remove_last(open_.by_database.get(key, []), frame)
        if not open_.stack:
            del self._by_thread[thread]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[RequestState], tuple[()]]:
        return RequestState, ()


class _Everywhere(set[str | None]):
    """The keys of all databases."""

    def __contains__(self, key: object) -> bool:
        return True


class StateApart(RequestState):
    """The state of what is done beside a request, which hears of it.

    :param request: the state of that request.
    """

    __slots__ = ('_request',)

    def __init__(self, request: RequestState) -> None:
        super().__init__()
        self._request = request
        self.wrote = _Everywhere()

    def act(self) -> None:
        """So has the request."""
        super().act()
        self._request.act()


def _remove_last(stack: list[Any], frame: Any) -> None:
    """Take the frame from the end, where proper nesting has put it."""
    if stack and stack[-1] is frame:
        stack.pop()
        return
    for index in range(len(stack) - 1, -1, -1):
        if stack[index] is frame:
            del stack[index]
            return
