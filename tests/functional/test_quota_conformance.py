"""The ``database`` quota driver passes the suite on real servers, too.

On SQLite it does so in ``tests.conformance``. The checks of a class share one
database: each has a project of its own.
"""

from __future__ import annotations

from typing import ClassVar

import sqlalchemy as sa
import testtools

from cellplug import exception
from cellplug.testing import conformance
from cellplug.testing import fixtures
from tests.functional import helpers_deployment as helpers


class ServerHarness(conformance.DatabaseHarness):
    """A database on a server."""

    forks_busy = True

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def make_database(self) -> str:
        return self._url

    def break_source(self) -> None:
        raise exception.NotSupported('MariaDB cannot shut one database')

    def mend_source(self) -> None:
        """It is never broken."""


class PostgreSQLHarness(ServerHarness):
    def break_source(self) -> None:
        self._run('ALTER DATABASE "{}" ALLOW_CONNECTIONS false')
        self._run(
            'SELECT pg_terminate_backend(pid) FROM pg_stat_activity '
            "WHERE datname = '{}'"
        )

    def mend_source(self) -> None:
        self._run('ALTER DATABASE "{}" ALLOW_CONNECTIONS true')

    def _run(self, statement: str) -> None:
        """On the server, past the database."""
        url = sa.make_url(self._url)
        server = url.set(database='postgres')
        with helpers.past_cellplug(
            server.render_as_string(hide_password=False)
        ) as connection:
            connection.execute(sa.text(statement.format(url.database)))


class OnServer(conformance.QuotaSuite):
    driver = 'database'
    backend: ClassVar[fixtures.Backend]
    kind: ClassVar[type[ServerHarness]] = ServerHarness

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        made = fixtures.DatabaseFixture(cls.backend)
        made.setUp()
        cls.addClassCleanup(made.cleanUp)
        url, kind = made.url, cls.kind
        cls.harness = staticmethod(lambda: kind(url))


class TestOnPostgreSQL(OnServer, testtools.TestCase):
    backend = 'postgresql'
    kind = PostgreSQLHarness


class TestOnMariaDB(OnServer, testtools.TestCase):
    backend = 'mariadb'
