"""A deployment for a test: an API database, cells, and a router over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fixtures
from oslo_config import cfg

import cellplug
from cellplug import context as cellplug_context
from cellplug import loader
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import templates


class ConfFixture(fixtures.Fixture):
    """A private configuration with cellplug's options, parsed.

    :param options: values by ``group.option``, as in
        ``{'cell_database.max_pool_size': 1}``; without a group, ``DEFAULT``.
        A driver's own options are registered first.
    :ivar conf: the ``cfg.ConfigOpts``.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._options = dict(options or {})

    def _setUp(self) -> None:
        self.conf = cfg.ConfigOpts()
        cellplug.register_opts(self.conf)
        self.conf([], project='cellplug', default_config_files=[])
        for name, value in self._options.items():
            self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Override one option, named ``group.option``."""
        group, _, option = name.rpartition('.')
        self._register(group)
        self.conf.set_override(option, value, group or None)

    def _register(self, group: str) -> None:
        """Register the options of a driver, whose group it may be."""
        for interface in loader.INTERFACES:
            prefix = f'{interface}_'
            if group.startswith(prefix):
                name = group.removeprefix(prefix)
                options = loader.load_options(interface, name)
                self.conf.register_opts(options, group)


class DeploymentFixture(fixtures.Fixture):
    """An API database and some cells on fresh databases, and a router.

    The databases have cellplug's tables from the beginning; those of
    :meth:`fresh_database` are empty.

    :param backend: ``sqlite``, ``mariadb`` or ``postgresql``.
    :param cells: how many cells, named ``cell1`` and so on.
    :param queues: ``fake`` (in process) or ``rabbitmq`` (a virtual host per
        cell).
    :param options: as for :class:`ConfFixture`.
    :param router: keyword arguments of ``CellRouter.from_conf``.

    :ivar conf: the configuration.
    :ivar database: the bound ``cellplug.Database``.
    :ivar router: the open ``CellRouter``.
    :ivar cells: the CellMappings, in order.
    """

    def __init__(
        self,
        backend: cellplug_fixtures.Backend = 'sqlite',
        cells: int = 3,
        *,
        queues: str = 'fake',
        options: Mapping[str, Any] | None = None,
        router: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backend = backend
        self._count = cells
        self._queues = queues
        self._options = dict(options or {})
        self._router_options = dict(router or {})

    def setUp(self) -> None:
        """Find the servers first: fixtures would wrap a skip."""
        cellplug_fixtures.find_servers(
            self.backend, queues=self._queues == 'rabbitmq'
        )
        super().setUp()

    def _setUp(self) -> None:
        self._routers: list[cellplug.CellRouter] = []
        self.api_url = self._database_with('api')
        options = {'api_database.connection': self.api_url, **self._options}
        self.conf = self.useFixture(ConfFixture(options)).conf
        cellplug.sync_api_database(self.conf)
        self.database = cellplug.Database()
        self.router = self.open_router(self.database)
        self.cells = [
            self.add_cell(f'cell{number + 1}') for number in range(self._count)
        ]

    def open_router(
        self, database: cellplug.Database, **options: Any
    ) -> cellplug.CellRouter:
        """One more router on the same deployment, closed on cleanup."""
        router = cellplug.CellRouter.from_conf(
            self.conf,
            database=database,
            **{**self._router_options, **options},
        )
        self._routers.append(router)
        self.addCleanup(router.close)
        return router

    def _close_routers(self) -> None:
        """Close them before what they talk to goes away."""
        for router in self._routers:
            router.close()

    def add_cell(self, name: str, **values: Any) -> cellplug.CellMapping:
        """Create a cell on a fresh database and queue."""
        if 'database_connection' not in values:
            values['database_connection'] = self._database_with('cell')
        values.setdefault('transport_url', self.fresh_queue(name))
        return self.router.cells.create(name=name, **values)

    def fresh_database(self) -> str:
        """The URL of an empty database of the backend."""
        return self._database_with(None)

    def _database_with(self, tables: templates.Tables | None) -> str:
        fixture = cellplug_fixtures.DatabaseFixture(self.backend, tables)
        url: str = self.useFixture(fixture).url
        return url

    def fresh_queue(self, name: str) -> str:
        """The URL of a queue nobody else uses."""
        if self._queues == 'fake':
            return f'fake://{name}/'
        url: str = self.useFixture(cellplug_fixtures.QueueFixture()).url
        self.addCleanup(self._close_routers)
        return url

    def context(self, **values: Any) -> cellplug_context.RequestContext:
        """A request's context, of user ``u`` and project ``p``."""
        return cellplug.RequestContext(
            **{'user_id': 'u', 'project_id': 'p', **values}
        )
