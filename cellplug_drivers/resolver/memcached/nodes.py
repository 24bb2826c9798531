"""One server: whether it answers, and is left out for a while if not.

pymemcache with ``ignore_exc`` makes a dead server look like a miss, and
without it one dead server takes the answers of the others with it. Here a
server that does not answer makes :data:`UNAVAILABLE`, for its keys alone.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Sequence
from typing import Any
from typing import Final

from pymemcache import exceptions
from pymemcache.client import base

from cellplug_drivers.resolver.memcached import connections
from cellplug_drivers.resolver.memcached import notices


class Trouble(enum.Enum):
    """What is neither a hit nor a miss."""

    UNAVAILABLE = 'unavailable'


UNAVAILABLE: Final = Trouble.UNAVAILABLE
"""The server did not answer, or is left out, or had no connection left."""

_HUNG_UP = (
    BrokenPipeError,
    ConnectionAbortedError,
    ConnectionResetError,
    exceptions.MemcacheUnexpectedCloseError,
)
_REFUSALS = (exceptions.MemcacheClientError, exceptions.MemcacheServerError)
_REPEATABLE = frozenset(
    {'get', 'gets', 'get_many', 'gets_many', 'set', 'set_many'}
)


class Node(base.PooledClient):  # type: ignore[misc]
    """One server, its connections, and whether it is left out.

    One that fails is left out for ``retry_after`` seconds; after that time
    one thread tries it, while the others go on without it.
    """

    client_class = connections.Connection

    def __init__(
        self,
        server: Any,
        *,
        retry_after: float,
        told: notices.Notices,
        **kwargs: Any,
    ) -> None:
        super().__init__(server, **kwargs)
        self.client_pool = connections.Pool(
            self._create_client,
            after_remove=lambda client: client.close(),
            max_size=kwargs['max_pool_size'],
            patience=kwargs['timeout'],
        )
        self._retry_after = retry_after
        self._told = told
        self._lock = threading.Lock()
        self._out_until = 0.0
        self.name = (
            '{}:{}'.format(*self.server)
            if isinstance(self.server, tuple)
            else self.server
        )

    def close(self) -> None:
        """Close the connections; from now on unavailable."""
        self.client_pool.close()

    def ask(self, command: str, *args: Any) -> Any:
        """What the server says, or UNAVAILABLE."""
        if self._out_until and not self._may_try():
            return UNAVAILABLE
        try:
            try:
                answer = self._once(command, args)
            except _HUNG_UP:
                # As after a restart, when all that are idle are dead, too.
                self.client_pool.drop_idle()
                if command not in _REPEATABLE:
                    return UNAVAILABLE
                answer = self._once(command, args)
        except connections.BusyError:
            return UNAVAILABLE
        except Exception as exc:  # noqa: BLE001 (a server may say anything)
            self._failed(exc)
            return UNAVAILABLE
        if self._out_until:
            self._out_until = 0.0
            self._told.over(self.name, f'memcached {self.name} answers again')
        return answer

    def _once(self, command: str, args: Sequence[Any]) -> Any:
        client = self.client_pool.get()
        try:
            answer = getattr(client, command)(*args)
        except BaseException:
            # What was left unread would be the next one's answer.
            self.client_pool.destroy(client)
            raise
        self.client_pool.release(client)
        return answer

    def _may_try(self) -> bool:
        now = time.monotonic()
        with self._lock:
            if now < self._out_until:
                return False
            self._out_until = now + self._retry_after
            return True

    def _failed(self, exc: Exception) -> None:
        hung_up = isinstance(exc, exceptions.MemcacheUnexpectedCloseError)
        if isinstance(exc, _REFUSALS) and not hung_up:
            self._told.note(
                f'{self.name} refuses',
                f'memcached {self.name} refuses: {_reason(exc)}',
            )
            return
        with self._lock:
            self._out_until = time.monotonic() + self._retry_after
        self._told.trouble(
            self.name,
            f'memcached {self.name} does not answer ({_reason(exc)}): what it '
            'holds is looked up behind it; it is tried again every '
            f'{self._retry_after:g} s',
        )


def _reason(exc: Exception) -> str:
    said = ' '.join(str(exc).split())[:200]
    return f'{type(exc).__name__}: {said}' if said else type(exc).__name__
