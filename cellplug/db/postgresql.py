"""psycopg connections that do not wait for ever for a silent server.

libpq has no timeout for reading: ``statement_timeout`` works only while the
server does. So the generator through which psycopg waits for its socket gets
a deadline.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

from cellplug.db import forking


class Connection(forking.Owned, psycopg.Connection[Any]):
    """A psycopg connection with a bound on every wait.

    :cvar read_timeout: seconds; set by :func:`connection_class`.
    """

    read_timeout: float

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for the server; close the connection when it stays silent.

        :raises psycopg.OperationalError: after ``read_timeout`` seconds.
        """
        forking.check(self._pid)
        bounded = _until(gen, time.monotonic() + self.read_timeout)
        try:
            return super().wait(bounded, *args, **kwargs)
        except _SilentServerError:
            self.close()
            raise psycopg.OperationalError(
                f'connection lost: no answer within {self.read_timeout:g} s'
            ) from None


class _SilentServerError(Exception):
    pass


def _until(
    gen: Generator[Any, Any, Any], deadline: float
) -> Generator[Any, Any, Any]:
    """``gen``, given up at the deadline.

    psycopg resumes it several times a second with a false value while
    nothing arrives.
    """
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and time.monotonic() >= deadline:
                raise _SilentServerError
            state = gen.send(ready)
    except StopIteration as done:
        return done.value


def connection_class(read_timeout: float) -> type[Connection]:
    """A connection class with this bound, in seconds."""
    return type('Connection', (Connection,), {'read_timeout': read_timeout})
