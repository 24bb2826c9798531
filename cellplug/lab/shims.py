"""What stands between SQLAlchemy and a cell's SQLite file, and breaks it.

A file has no server that could hang. But every transaction opens it anew, and
whoever opens it may be kept waiting, or given another file: so it looks like
a server to those who use it, and the file itself stays as it is.
"""

from __future__ import annotations

import pathlib
import sqlite3
import threading
from collections.abc import Mapping
from typing import Any
from typing import Self

import sqlalchemy as sa

from cellplug.lab import breaking

_JUNK = b'<html><body>502 Bad Gateway</body></html>\n' * 100


class Shims:
    """The room in which cells on SQLite files break.

    A block: within it, all engines of this process pass by here. Those who
    are kept waiting go on at once when the cell is healed.

    :param files: the path of each cell's file, by the cell's name.
    :param junk: where to put a file that is no database.
    """

    def __init__(self, files: Mapping[str, str], junk: str) -> None:
        self._files = dict(files)
        self._junk = pathlib.Path(junk)
        self._kinds: dict[str, breaking.Kind] = {}
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self._junk.write_bytes(_JUNK)
        sa.event.listen(sa.Engine, 'do_connect', self._connect)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(sa.Engine, 'do_connect', self._connect)
        self._junk.unlink(missing_ok=True)

    def damage(self, cell: str, kind: breaking.Kind) -> None:
        """See :class:`.breaking.Room`."""
        with self._changed:
            self._kinds[self._files[cell]] = kind

    def heal(self, cell: str) -> None:
        """See :class:`.breaking.Room`."""
        with self._changed:
            self._kinds.pop(self._files[cell], None)
            self._changed.notify_all()

    def _connect(
        self, dialect: Any, record: Any, cargs: Any, cparams: dict[str, Any]
    ) -> Any:
        """SQLAlchemy opens a file; None: it may do so by itself."""
        path = str(cargs[0]) if cargs else ''
        kind = self._kinds.get(path)
        if kind is breaking.Kind.HANG:
            self._hang(path)
        elif kind is breaking.Kind.SLOW:
            self._wait(path, breaking.SLOWNESS)
        elif kind is breaking.Kind.REFUSE:
            return _opened(path + '.gone', 'rw', cparams)
        elif kind is breaking.Kind.GARBAGE:
            return _opened(str(self._junk), 'rw', cparams)
        elif kind is breaking.Kind.READONLY:
            return _opened(path, 'rw', cparams, _ReadOnly)
        return None

    def _hang(self, path: str) -> None:
        if not self._wait(path, breaking.PATIENCE):
            raise sqlite3.OperationalError(
                f'no answer within {breaking.PATIENCE:g} s'
            )

    def _wait(self, path: str, seconds: float) -> bool:
        """Whether the cell is healed within these seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: path not in self._kinds, seconds
            )


class _ReadOnlyCursor(sqlite3.Cursor):
    """Lets SQLite refuse writes, and no transaction for being a writer's.

    SQLite refuses BEGIN IMMEDIATE where nothing can be written. A server does
    not: it refuses the writes, and so does this.
    """

    def execute(self, sql: str, *args: Any) -> Self:
        begins = sql.lstrip().upper().startswith('BEGIN')
        self._allow_writes(begins)
        try:
            return super().execute(sql, *args)
        finally:
            self._allow_writes(False)

    def _allow_writes(self, allowed: bool) -> None:
        # By a cursor of its own: it would drop what was found by this one.
        sqlite3.Cursor(self.connection).execute(
            f'PRAGMA query_only = {"OFF" if allowed else "ON"}'
        )


class _ReadOnly(sqlite3.Connection):
    """Hands out such cursors."""

    def cursor(self, factory: Any = _ReadOnlyCursor) -> Any:
        return super().cursor(factory)


def _opened(
    path: str,
    mode: str,
    options: Mapping[str, Any],
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    return sqlite3.connect(
        f'{pathlib.Path(path).as_uri()}?mode={mode}',
        uri=True,
        factory=factory,
        check_same_thread=options.get('check_same_thread', True),
        timeout=options.get('timeout', breaking.PATIENCE),
    )
