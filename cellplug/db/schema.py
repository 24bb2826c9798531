"""The schemas of cellplug, and how a database is brought up to date.

One :class:`Schema` per kind of database, each with an Alembic branch and a
version table of its own, so that the service's own Alembic tables in the same
database are never looked at. There is no ``alembic.ini``, no URL and no
logging configuration: whoever calls passes an engine.

SQLAlchemy and Alembic are imported inside functions, because they cost more
to start than everything else that a command may need.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import pathlib
from collections.abc import Iterator
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception

if TYPE_CHECKING:
    import sqlalchemy as sa

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
        import sqlalchemy as sa

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
        from cellplug.db import schema_lock

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
        from alembic import command
        from alembic.util import CommandError

        try:
            command.upgrade(self._config(connection), revision)
        except CommandError as exc:
            raise self._explain(connection, revision) from exc

    def _config(self, connection: sa.Connection | None = None) -> Any:
        from alembic import config as alembic_config

        package = importlib.import_module(f'{self.package}.alembic')
        config = alembic_config.Config(
            stdout=io.StringIO(),
            attributes={'schema': self, 'connection': connection},
        )
        directory = pathlib.Path(str(package.__file__)).parent
        # Alembic interpolates % in options.
        config.set_main_option(
            'script_location', str(directory).replace('%', '%%')
        )
        config.set_main_option('path_separator', 'os')
        return config

    def _explain(
        self, connection: sa.Connection, revision: str
    ) -> exception.CellplugError:
        from alembic.script import ScriptDirectory

        scripts = ScriptDirectory.from_config(self._config())
        known = {script.revision for script in scripts.walk_revisions()}
        found = self.version(connection)
        if found is not None and found not in known:
            return exception.SchemaMissing(
                f'the {self.name}',
                found,
                'which this release of cellplug does not know; it was made '
                'by a newer one',
            )
        return exception.InvalidInput(
            'revision',
            f'{revision!r} is none of {", ".join(sorted(known))}, head',
        )


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
    import sqlalchemy as sa

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
