"""A fresh database or message queue for each test.

The server is the one that the environment names (``CELLPLUG_TEST_MARIADB``
and so on), else one that is started once per process. If there is none to be
had, the test is skipped with the reason, or fails if
``CELLPLUG_REQUIRE_SERVICES=1``. A server that is there and does not start
fails the test in either case.
"""

from __future__ import annotations

import secrets
import unittest
from typing import Generic
from typing import Literal
from typing import TypeVar

import fixtures

from cellplug.testing import services
from cellplug.testing import templates
from cellplug.testing.services import admin
from cellplug.testing.services import places
from cellplug.testing.services import services_required

__all__ = [
    'Backend',
    'DatabaseFixture',
    'MemcachedFixture',
    'QueueFixture',
    'ServiceFixture',
    'services_required',
]

Backend = Literal['sqlite', 'mariadb', 'postgresql']

ServiceT = TypeVar('ServiceT', bound=services.Startable)


def _unique(prefix: str) -> str:
    return f'{prefix}_{secrets.token_hex(6)}'


def _shared_url(kind: type[services.Startable]) -> str:
    try:
        return services.shared_url(kind)
    except services.ServiceUnavailable as exc:
        if services_required():
            raise
        raise unittest.SkipTest(str(exc)) from exc


def find_servers(backend: Backend, *, queues: bool = False) -> None:
    """Make sure that the servers a fixture will need can be had.

    For the ``setUp`` of a fixture made of others: ``_setUp`` would wrap a
    skip in an error.

    :raises unittest.SkipTest: if one cannot, and they are not required.
    """
    if backend == 'mariadb':
        _shared_url(services.MariaDB)
    elif backend == 'postgresql':
        _shared_url(services.PostgreSQL)
    if queues:
        _shared_url(services.RabbitMQ)


class DatabaseFixture(fixtures.Fixture):
    """A database with a name that nothing else has.

    It is dropped in the end, whatever is still connected to it.

    :param backend: ``sqlite`` (a file), ``mariadb`` or ``postgresql``.
    :param tables: ``api`` or ``cell``: it has cellplug's tables of that
        kind, as a sync would make them, and nothing in them. By default it
        is empty.
    :ivar url: its connection URL, set while the fixture is in use.
    """

    def __init__(
        self,
        backend: Backend = 'sqlite',
        tables: templates.Tables | None = None,
    ) -> None:
        super().__init__()
        if backend not in ('sqlite', 'mariadb', 'postgresql'):
            raise ValueError(f'no backend is called {backend!r}')
        self.backend = backend
        self.tables = tables
        self.url = ''
        self._server_url = ''

    def setUp(self) -> None:
        """Find the server first: fixtures would wrap a skip."""
        if self.backend == 'mariadb':
            self._server_url = _shared_url(services.MariaDB)
        elif self.backend == 'postgresql':
            self._server_url = _shared_url(services.PostgreSQL)
        super().setUp()

    def _setUp(self) -> None:
        if self.backend == 'sqlite':
            place = fixtures.TempDir(places.parent_directory())
            folder = self.useFixture(place).path
            path = f'{folder}/{_unique("cellplug")}.db'
            if self.tables:
                templates.copy_sqlite(self.tables, path)
            self.url = f'sqlite:///{path}'
            return
        name = _unique('cellplug')
        self.addCleanup(admin.drop_database, self._server_url, name)
        self.url = self._create(name)

    def _create(self, name: str) -> str:
        if not self.tables:
            return admin.create_database(self._server_url, name)
        copy = {
            'mariadb': templates.copy_mariadb,
            'postgresql': templates.copy_postgresql,
        }[self.backend]
        return copy(self.tables, self._server_url, name)


class QueueFixture(fixtures.Fixture):
    """An empty RabbitMQ vhost with a name that nothing else has.

    It is deleted in the end, which closes what is still connected to it.

    :ivar url: its transport URL, set while the fixture is in use.
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ''
        self._server_url = ''

    def setUp(self) -> None:
        """Find the server first: fixtures would wrap a skip."""
        self._server_url = _shared_url(services.RabbitMQ)
        super().setUp()

    def _setUp(self) -> None:
        name = _unique('cellplug')
        broker = admin.BrokerAdmin(self._server_url)
        self.addCleanup(broker.delete_vhost, name)
        self.url = broker.create_vhost(name)


class MemcachedFixture(fixtures.Fixture):
    """A memcached that other tests use at the same time.

    :ivar address: ``host:port``, set while the fixture is in use.
    :ivar prefix: what no other test's keys begin with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.address = ''
        self.prefix = ''

    def setUp(self) -> None:
        """Find the server first: fixtures would wrap a skip."""
        url = _shared_url(services.Memcached)
        self.address = url.removeprefix('memcached://').rstrip('/')
        self.prefix = _unique('cellplug')
        super().setUp()


class ServiceFixture(fixtures.Fixture, Generic[ServiceT]):
    """A server of the test's own, to be killed, frozen or restarted.

    :param kind: e.g. :class:`cellplug.testing.services.MariaDB`.
    :ivar service: the running server.
    """

    def __init__(self, kind: type[ServiceT]) -> None:
        super().__init__()
        self.service: ServiceT = kind()

    def setUp(self) -> None:
        """Ask first whether there can be one: fixtures would wrap a skip."""
        reason = self.service.why_unavailable()
        if reason and not services_required():
            raise unittest.SkipTest(f'{self.service.title}: {reason}')
        super().setUp()

    def _setUp(self) -> None:
        self.addCleanup(self.service.stop)
        self.service.start()
