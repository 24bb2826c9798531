"""The ``database`` quota driver passes the suite on real servers, too.

On SQLite it does so in ``tests.conformance``. The checks of a class share one
database: each has a project of its own.
"""

from __future__ import annotations

from typing import ClassVar

import sqlalchemy as sa
import testtools

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


class MariaDBHarness(ServerHarness):
    """Reached by a user whose account can be locked."""

    USER = 'quota-suite'

    def make_database(self) -> str:
        url = sa.make_url(self._url)
        self._run(
            f"CREATE OR REPLACE USER '{self.USER}' IDENTIFIED BY 'suite'",
            f"GRANT ALL ON `{url.database}`.* TO '{self.USER}'",
        )
        own = url.set(username=self.USER, password='suite')
        return own.render_as_string(hide_password=False)

    def stop(self) -> None:
        super().stop()
        self._run(f"DROP USER IF EXISTS '{self.USER}'")

    def break_source(self) -> None:
        self._run(
            f"ALTER USER '{self.USER}' ACCOUNT LOCK",
            f"KILL USER '{self.USER}'",
        )

    def mend_source(self) -> None:
        self._run(f"ALTER USER '{self.USER}' ACCOUNT UNLOCK")

    def _run(self, *statements: str) -> None:
        with helpers.past_cellplug(self._url) as connection:
            for statement in statements:
                connection.execute(sa.text(statement))


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
    kind: ClassVar[type[ServerHarness]]

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
    kind = MariaDBHarness
