"""A connection belongs to the process that opened it.

A child of a fork shares its parent's sockets and files: whatever it says
there, be it a ROLLBACK at the end of a block, it says in the midst of the
parent's transaction.
"""

from __future__ import annotations

import os

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
