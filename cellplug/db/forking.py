"""A connection belongs to the process that opened it.

A child of a fork shares its parent's sockets and files: whatever it says
there, be it a ROLLBACK at the end of a block, it says in the midst of the
parent's transaction.
"""

from __future__ import annotations

import os
from typing import Any

from cellplug import exception


def is_foreign(pid: int) -> bool:
    """Whether this is another process."""
    return pid != os.getpid()


def check(pid: int) -> None:
    """Raise TransactionForked in another process."""
    if pid != os.getpid():
        raise exception.TransactionForked(
            'this connection was opened before the process forked; it '
            'belongs to the parent process'
        )


class Owned:
    """A DBAPI connection that a child of a fork leaves to its parent.

    To be mixed in before the driver's class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pid = os.getpid()
        super().__init__(*args, **kwargs)

    def commit(self) -> None:
        """Commit; raise TransactionForked in a child of a fork."""
        check(self._pid)
        super().commit()  # type: ignore[misc]

    def rollback(self) -> None:
        """Roll back; in a child of a fork, leave that to the parent."""
        if not is_foreign(self._pid):
            super().rollback()  # type: ignore[misc]

    def close(self) -> None:
        """Close; in a child of a fork, leave that to the parent."""
        if not is_foreign(self._pid):
            super().close()  # type: ignore[misc]
