"""Transport caches, judged by the connections that the broker has."""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import Any

import testtools

import cellplug
from cellplug import exception
from cellplug.testing import deployment
from cellplug.testing import services
from tests.functional import test_rpc as cases

DEADLINE = cases.DEADLINE
CELLS = 3

WORKERS = 2
"""A server's own connections, once it has answered: to listen, to answer."""

USED = 2
"""A client's, once it has called: to send, to hear the answer."""


class CountedCase(testtools.TestCase):
    """Three cells with a worker each, on a broker of the test class's own."""

    driver = ''
    broker: services.RabbitMQ

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        reason = services.RabbitMQ.why_unavailable()
        if reason and not cases.fixtures.services_required():
            raise cls.skipException(reason)
        cls.broker = services.RabbitMQ()
        cls.broker.start()
        cls.addClassCleanup(cls.broker.stop)

    def setUp(self) -> None:
        super().setUp()
        self.deployment = self.useFixture(
            deployment.DeploymentFixture(cells=0)
        )
        self.vhosts = [f'v{uuid.uuid4().hex}' for _ in range(CELLS)]
        self.cells = [
            self.add_cell(f'cell-{number}', vhost)
            for number, vhost in enumerate(self.vhosts)
        ]
        self.servers: list[Any] = []
        self.addCleanup(self.stop_servers)
        self.workers = [self.serve(cell) for cell in self.cells]
        self.context = self.deployment.context()
        self.router = self.open_router()

    def add_cell(self, name: str, vhost: str) -> Any:
        url = self.broker.create_vhost(vhost)
        self.addCleanup(self.broker.delete_vhost, vhost)
        return self.deployment.add_cell(name, transport_url=url)

    def serve(self, cell: Any) -> cases.Worker:
        """A worker of the cell that has answered once."""
        worker = cases.Worker(cell.name)
        server = self.deployment.router.rpc_server(
            cell, cases.target(server='s'), worker
        )
        server.start()
        self.servers.append(server)
        with contextlib.closing(
            cellplug.CellRouter.from_conf(self.deployment.conf)
        ) as router:
            self.call(cell, router=router)
        return worker

    def stop_servers(self) -> None:
        servers, self.servers = self.servers, []
        if servers:
            cases.in_threads(len(servers), lambda: servers.pop().stop())

    def open_router(self, **options: Any) -> Any:
        """A router with the cache under test, closed in the end."""
        values = {
            'api_database.connection': self.deployment.api_url,
            'transport_cache.driver': self.driver,
        }
        for name, value in options.items():
            values[f'transport_cache_{self.driver}.{name}'] = value
        conf = self.useFixture(deployment.ConfFixture(values)).conf
        router = cellplug.CellRouter.from_conf(conf)
        self.addCleanup(router.close)
        return router

    def send(
        self, how: str, cell: Any, method: str = 'who', *, router: Any = None
    ) -> Any:
        router = router or self.router
        with router.target_cell(self.deployment.context(), cell) as cctxt:
            client = router.rpc_client(cctxt, cases.target())
            return getattr(client, how)(cctxt, method)

    def call(self, cell: Any, method: str = 'who', **values: Any) -> Any:
        return self.send('call', cell, method, **values)

    def held(self) -> list[int]:
        """The connections of the router under test, cell by cell."""
        found = self.broker.connections_of(self.vhosts)
        return [number - WORKERS for number in found]

    def assert_held(self, *expected: int) -> None:
        self.assertTrue(
            cases.eventually(lambda: self.held() == list(expected)),
            f'{self.held()} connections',
        )

    def assert_all_answer(self) -> None:
        for cell in self.cells:
            self.assertEqual(cell.name, self.call(cell))


class ProcessTest(CountedCase):
    driver = 'process'

    def test_every_cells_connections_are_kept_until_the_close(self) -> None:
        self.assert_held(0, 0, 0)
        for _ in range(3):
            self.assert_all_answer()
        self.assert_held(USED, USED, USED)
        self.router.close()
        self.assertEqual([0, 0, 0], self.held())


class LRUTest(CountedCase):
    driver = 'lru'

    def test_of_many_cells_connections_the_latest_are_kept(self) -> None:
        self.router = self.open_router(max_transports=1)
        for _ in range(3):
            self.assert_all_answer()
        self.assert_held(0, 0, USED)
        self.assertEqual('cell-1', self.call(self.cells[1]))
        self.assert_held(0, USED, 0)
        self.router.close()
        self.assertEqual([0, 0, 0], self.held())

    def test_a_call_in_flight_gets_its_answer(self) -> None:
        self.router = self.open_router(max_transports=1)
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.append(self.call(self.cells[0], 'wait'))
        )
        thread.start()
        self.addCleanup(self.workers[0].release.set)
        self.assertTrue(self.workers[0].entered.wait(DEADLINE))
        self.assertEqual('cell-1', self.call(self.cells[1]))
        self.assertEqual('cell-2', self.call(self.cells[2]))
        self.assert_held(USED, 0, USED)
        self.workers[0].release.set()
        thread.join(DEADLINE)
        self.assertEqual(['cell-0'], answers)
        self.assert_held(0, 0, USED)

    def test_idle_connections_close_while_nothing_is_sent(self) -> None:
        self.router = self.open_router(idle_timeout=1)
        self.assert_all_answer()
        self.assert_held(0, 0, 0)
        self.assert_all_answer()


class NoneTest(CountedCase):
    driver = 'none'

    def test_no_connection_outlives_its_message(self) -> None:
        for _ in range(3):
            self.assert_all_answer()
        for cell in self.cells:
            self.send('cast', cell)
        for worker in self.workers:
            self.assertTrue(
                cases.eventually(
                    lambda worker=worker: len(worker.contexts) == 5
                )
            )
        self.assert_held(0, 0, 0)

    def test_calls_at_once_do_not_disturb_each_other(self) -> None:
        (cell, *_) = self.cells
        answers = cases.in_threads(8, lambda: self.call(cell))
        self.assertEqual([cell.name] * 8, answers)
        # So many answers at once took the worker more connections.
        self.stop_servers()
        self.assert_held(-WORKERS, -WORKERS, -WORKERS)

    def test_a_closed_router_sends_no_more(self) -> None:
        with self.router.target_cell(self.context, self.cells[0]) as cctxt:
            client = self.router.rpc_client(cctxt, cases.target())
        client.cast(cctxt, 'who')
        self.router.close()
        self.assertEqual([0, 0, 0], self.held())
        self.assertRaises(exception.RouterClosed, client.cast, cctxt, 'who')
