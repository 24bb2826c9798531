"""The schemas of cellplug, and how a database is brought up to date.

One :class:`Schema` per kind of database, each with an Alembic branch and a
version table of its own, so that the service's own Alembic tables in the same
database are never looked at. There is no ``alembic.ini``, no URL and no
logging configuration: whoever calls passes an engine.

Alembic is imported when something is to be migrated: it costs more to start
than everything else that a service needs of this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Iterator

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import schema_lock

_REVISION = 'version_num'


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """Tables that are kept up to date together.

    :ivar name: for messages: ``API database`` or ``cell database``.
    :ivar package: the package of ``models`` and ``alembic``.
    :ivar version_table: where Alembic keeps the revision.
    :ivar latest: the newest revision; a test compares it with the scripts.
    """

    name: str
    package: str
    version_table: str
    latest: str

    def head(self) -> str:
        """The revision that this release of cellplug works with."""
        return self.latest

    def metadata(self) -> sa.MetaData:
        """The tables as this release of cellplug uses them."""
        models = importlib.import_module(f'{self.package}.models')
        metadata: sa.MetaData = models.METADATA
        return metadata

    def version(self, bind: sa.Engine | sa.Connection) -> str | None:
        """The revision a database is at; None if it has no such schema."""
        with _connected(bind) as connection:
            if not sa.inspect(connection).has_table(self.version_table):
                return None
            table = sa.table(self.version_table, sa.column(_REVISION))
            found: str | None = connection.scalar(
                sa.select(table.c[_REVISION])
            )
            return found

    def is_current(self, bind: sa.Engine | sa.Connection) -> bool:
        """Whether a database is at the revision this release works with."""
        return self.version(bind) == self.head()

    def sync(
        self, bind: sa.Engine | sa.Connection, revision: str = 'head'
    ) -> None:
        """Bring a database to a revision; never backwards.

        Any number of processes may do so at once: one works, the others
        wait, at most a minute. On PostgreSQL and sqlite it is all or
        nothing. MariaDB and MySQL commit each table by itself; there a run
        that was interrupted is continued by the next one.

        :param bind: an engine, or a connection without a transaction.
        :param revision: a revision of this schema, or ``head``.
        :raises TransactionInProgress: if the connection is in a transaction.
        :raises DatabaseUnavailable: if another process does not finish.
        :raises SchemaMissing: if the database is at a revision that this
            release does not know, or has a foreign table in the way.
        :raises InvalidInput: for an unknown ``revision``.
        """
        with _connected(bind, free=True) as connection:
            if revision == 'head' and self._is_synced(connection):
                return
            with schema_lock.exclusive(connection, self.name):
                self._upgrade(connection, revision)

    def _is_synced(self, connection: sa.Connection) -> bool:
        """Whether nothing is to do; leaves no transaction open."""
        with connection.begin():
            return self.is_current(connection)

    def _upgrade(self, connection: sa.Connection, revision: str) -> None:
        # Alembic's start-up cost, see above.
        from cellplug.db import migrating  # noqa: PLC0415

        branch = migrating.Branch(
            f'{self.package}.alembic', self.version_table, self.metadata()
        )
        known = branch.revisions()
        found = self.version(connection)
        if found is not None and found not in known:
            raise exception.SchemaMissing(
                f'the {self.name}',
                found,
                'a newer release of cellplug made it so; use that one',
            )
        if revision not in ('head', *known):
            raise exception.InvalidInput(
                'revision', f'{revision!r} is none of {", ".join(known)}, head'
            )
        branch.upgrade(connection, revision)


API = Schema(
    'API database', 'cellplug.db.api', 'cellplug_api_version', 'api_0001'
)
CELL = Schema(
    'cell database', 'cellplug.db.cell', 'cellplug_cell_version', 'cell_0001'
)
SCHEMAS = (API, CELL)


@contextlib.contextmanager
def _connected(
    bind: sa.Engine | sa.Connection, *, free: bool = False
) -> Iterator[sa.Connection]:
    """A connection of an engine, or the one that was passed."""
    if isinstance(bind, sa.Engine):
        with bind.connect() as connection:
            yield connection
        return
    if free and bind.in_transaction():
        raise exception.TransactionInProgress(
            'a schema is synced in a transaction of its own; commit or roll '
            'back the one that is open on this connection'
        )
    yield bind
