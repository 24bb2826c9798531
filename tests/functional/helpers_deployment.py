"""Deployments for the specification tests, and a look at their servers.

What a test asserts about a database it reads past cellplug, on a connection
of its own; so a wrong answer of cellplug's cannot confirm itself.
"""

from __future__ import annotations

import contextlib
import threading

import sqlalchemy as sa
import testtools

from cellplug.testing import deployment
from tests.functional import databases

PATIENCE = 30.0
"""Seconds after which whoever waits has failed: "does not hang"."""

METADATA = sa.MetaData()
NOTE = sa.Table(
    'note',
    METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('word', sa.String(64), nullable=False),
    mysql_charset='utf8mb4',
)
"""The service's own table: it stands in every database of a test."""


def add(context, word):
    """What a service writes."""
    context.session.execute(sa.insert(NOTE), {'word': word})


def words(context):
    """What a service reads, in one statement."""
    statement = sa.select(NOTE.c.word).order_by(NOTE.c.id)
    return list(context.session.scalars(statement))


@contextlib.contextmanager
def past_cellplug(url):
    """A connection of the test's own, in autocommit."""
    arguments = {'ssl_disabled': True} if url.startswith('mysql') else {}
    engine = sa.create_engine(
        url,
        poolclass=sa.NullPool,
        isolation_level='AUTOCOMMIT',
        connect_args=arguments,
    )
    with engine.connect() as connection:
        yield connection


def make_notes(url, *first):
    """Make the table, with some words in it."""
    with past_cellplug(url) as connection:
        METADATA.create_all(connection)
        for word in first:
            connection.execute(sa.insert(NOTE), {'word': word})


def stored(url):
    """The committed words of a database, in the order of their ids."""
    with past_cellplug(url) as connection:
        return list(
            connection.scalars(sa.select(NOTE.c.word).order_by(NOTE.c.id))
        )


_CONNECTIONS = {
    'mysql': (
        'SELECT id FROM information_schema.processlist '
        'WHERE db = DATABASE() AND id <> CONNECTION_ID()'
    ),
    'postgresql': (
        'SELECT pid FROM pg_stat_activity WHERE '
        'datname = current_database() AND pid <> pg_backend_pid() '
        "AND backend_type = 'client backend'"
    ),
}
_KILL = {
    'mysql': 'KILL {}',
    'postgresql': 'SELECT pg_terminate_backend({})',
}


def connections(url):
    """The server's ids of the connections to a database, but our own."""
    with past_cellplug(url) as connection:
        query = _CONNECTIONS[connection.dialect.name]
        return list(connection.scalars(sa.text(query)))


def kill_connections(url):
    """Have the server end every connection to a database, and wait."""
    killed = connections(url)
    with past_cellplug(url) as connection:
        kill = _KILL[connection.dialect.name]
        for number in killed:
            connection.execute(sa.text(kill.format(int(number))))
    databases.poll_until(
        lambda: not set(connections(url)) & set(killed),
        'the server keeps connections that it was told to end',
    )
    return len(killed)


class DeploymentTestCase(testtools.TestCase):
    """Gives ``self.deploy()``, and the service's functions on it."""

    backend = 'sqlite'

    def deploy(self, cells=2, *, options=None, **keywords):
        """A deployment with the table ``note`` in all its databases.

        Each cell's holds its name, the API database's ``api``.
        """
        made = self.useFixture(
            deployment.DeploymentFixture(
                self.backend, cells, options=options, **keywords
            )
        )
        make_notes(made.api_url, 'api')
        for cell in made.cells:
            make_notes(cell.database_connection, cell.name)
        self.deployment = made
        self.router = made.router
        self.database = made.database
        self.serve(made.database)
        return made

    def serve(self, database):
        """The service's functions on a Database."""
        self.add = database.writer(add)
        self.words = database.reader(words)
        self.words_alone = database.reader.single(words)
        self.add_to_api = database.api.writer(add)
        self.words_of_api = database.api.reader(words)

    def context(self, **values):
        return self.deployment.context(**values)

    def targeted(self, cell, context=None):
        """A context aimed at a cell, to keep."""
        with self.router.target_cell(context or self.context(), cell) as cctxt:
            return cctxt

    def assertNoConnections(self, url):
        databases.poll_until(
            lambda: not connections(url), 'connections stay open'
        )


class Background:
    """A call in a thread, which the block waits for in the end.

    :ivar outcome: what it returned or raised, once it has ended.
    """

    def __init__(self, call, *arguments):
        self.outcome = None
        self._call = call
        self._arguments = arguments
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            self.outcome = self._call(*self._arguments)
        except BaseException as exc:
            self.outcome = exc

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.join()

    @property
    def ended(self):
        """Whether the call has come back."""
        return not self._thread.is_alive()

    def join(self):
        """Wait for the call; what it returned, or raise what it raised."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise AssertionError('the call in the background hangs')
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def in_thread(call, *arguments):
    """The outcome of a call in a thread of its own."""
    background = Background(call, *arguments)
    with background:
        pass
    return background.outcome
