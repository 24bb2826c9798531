"""SQLite connections that leave alone what is not theirs."""

from __future__ import annotations

import os
import pathlib
import sqlite3
from typing import Any

import sqlalchemy as sa

from cellplug.db import forking


class Connection(forking.Owned, sqlite3.Connection):
    """A connection that a child of a fork leaves alone.

    There, a ROLLBACK would play the parent's journal back into the file.
    """


class ExistingConnection(Connection):
    """A connection to a file that is there.

    SQLite would make an empty one, where a path was mistyped or a disk is
    not mounted, and everything would seem to be gone.
    """

    def __init__(self, database: str, *args: Any, **kwargs: Any) -> None:
        is_path = not kwargs.get('uri')
        if is_path and not os.path.exists(database):
            raise sqlite3.OperationalError(f'there is no file {database}')
        super().__init__(database, *args, **kwargs)


def can_be_made(url: str) -> bool:
    """Whether a database is a file that is not there, in a folder that is."""
    parts = sa.make_url(url)
    if parts.get_backend_name() != 'sqlite' or not parts.database:
        return False
    path = pathlib.Path(parts.database)
    return not path.exists() and os.access(path.parent, os.W_OK | os.X_OK)
