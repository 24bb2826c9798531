"""A message queue that is down: refused at once, probed, and found again."""

from __future__ import annotations

import logging
import uuid

import fixtures
import testtools

import cellplug
from cellplug import exception
from cellplug.rpc.quiet import oslo_messaging
from cellplug.testing import deployment
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import services
from tests.functional import databases
from tests.functional import helpers_silent
from tests.functional import test_rpc as cases

SECRET = 'do-not-show-me'
OPTIONS = {
    'rpc.connect_timeout': 2,
    'rpc.call_timeout': 5,
    'cells.breaker_threshold': 3,
    'cells.breaker_retry': 3600,
    'cells.breaker_retry_max': 3600,
}
QUICK = OPTIONS | {'cells.breaker_retry': 0.2, 'cells.breaker_retry_max': 0.5}


class QueueTestCase(testtools.TestCase):
    def deploy(self, options=OPTIONS):
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        self.deployment = self.useFixture(
            deployment.DeploymentFixture(cells=0, options=options)
        )
        self.router = self.deployment.router
        self.context = self.deployment.context()

    def cell_at(self, url, name='cell1'):
        self.cell = self.deployment.add_cell(name, transport_url=url)
        with self.router.target_cell(self.context, self.cell) as self.cctxt:
            self.client = self.router.rpc_client(self.cctxt, cases.target())

    def cast(self):
        self.client.cast(self.cctxt, 'who')

    def fails(self, send=None):
        error = self.assertRaises(exception.CellUnavailable, send or self.cast)
        self.assertEqual('message queue', error.part)
        self.assertNotIn(SECRET, str(error))
        return error

    def health(self):
        return self.router.health([self.cell])[self.cell.uuid]


class TestQueueThatIsDown(QueueTestCase):
    def setUp(self):
        super().setUp()
        self.deploy()
        port = helpers_silent.free_port()
        self.cell_at(f'rabbit://user:{SECRET}@127.0.0.1:{port}/v')

    def test_after_some_failures_nobody_asks_any_more(self):
        for _ in range(3):
            self.assertFalse(self.fails().refused)
        acted = self.context._request_state.acted
        for send in (self.cast, lambda: self.client.call(self.cctxt, 'who')):
            error = self.fails(send)
            self.assertTrue(error.refused)
            self.assertIn('the message queue of cell', str(error))
        # What was refused has not been sent: the request may be repeated.
        self.assertIs(acted, self.context._request_state.acted)
        self.assertNotIn(SECRET, self.log.output)
        self.assertNotIn(SECRET, repr(self.health()))

    def test_the_database_is_asked_all_the_same(self):
        for _ in range(4):
            self.fails()
        with self.deployment.database.reader.using(self.cctxt) as session:
            session.connection()
        report = self.health()
        self.assertEqual('open', report.queue.state)
        self.assertEqual('closed', report.database.state)
        self.assertFalse(report.healthy)

    def test_an_edited_url_is_tried_at_once(self):
        for _ in range(4):
            self.fails()
        self.router.cells.update(self.cell, transport_url='fake://cell1/')
        self.cast()
        self.assertEqual('closed', self.health().queue.state)

    def test_probing_it_says_so(self):
        report = self.router.health(probe=True, timeout=60)[self.cell.uuid]
        self.assertEqual(1, report.queue.failures)
        self.assertEqual(0, report.database.failures)
        self.assertNotIn(SECRET, repr(report))


class TestQueueThatWorks(QueueTestCase):
    def setUp(self):
        super().setUp()
        self.deploy(OPTIONS | {'rpc.call_timeout': 1})
        self.cell_at(self.useFixture(cellplug_fixtures.QueueFixture()).url)
        self.addCleanup(self.router.close)

    def serve(self):
        server = self.router.rpc_server(
            self.cell, cases.target(server='one'), cases.Worker('w')
        )
        server.start()
        self.addCleanup(server.stop)

    def test_workers_that_are_silent_are_not_the_brokers_fault(self):
        for _ in range(5):
            self.assertRaises(
                exception.RPCTimeout, self.client.call, self.cctxt, 'who'
            )
        report = self.health().queue
        self.assertEqual(('closed', 0), (report.state, report.failures))
        self.assertEqual(0, report.requests)

    def test_an_answer_is_a_success_and_an_exception_is_an_answer(self):
        self.serve()
        self.assertEqual('w', self.client.call(self.cctxt, 'who'))
        self.cast()
        for kind, raised in (
            ('TestFailed', oslo_messaging.RemoteError),
            ('CellplugError', exception.CellplugError),
        ):
            self.assertRaises(
                raised, self.client.call, self.cctxt, 'fail', kind=kind
            )
        report = self.health().queue
        self.assertEqual((4, 0), (report.requests, report.failures))
        self.assertLess(0, report.latency_p50)

    def test_the_services_own_mistakes_are_nobodys_fault(self):
        for _ in range(4):
            with testtools.ExpectedException(ValueError):
                self.client.cast(self.cctxt, 'who', no=object())
        report = self.health().queue
        self.assertEqual((0, 0), (report.requests, report.failures))


class TestBrokerThatComesBack(QueueTestCase):
    def test_the_probe_finds_it(self):
        broker = self.useFixture(
            cellplug_fixtures.ServiceFixture(services.RabbitMQ)
        ).service
        self.deploy(QUICK)
        vhost = f'v{uuid.uuid4().hex}'
        self.cell_at(broker.create_vhost(vhost))
        self.addCleanup(self.router.close)
        self.cast()
        broker.kill()
        databases.poll_until(
            lambda: self.fails().refused, 'the circuit does not open'
        )
        broker.start()
        databases.poll_until(
            lambda: self.health().queue.state == 'closed',
            'the circuit stays open',
        )
        self.cast()
        self.assertIn('message queue of cell', self.log.output)
        self.assertIn('is asked again', self.log.output)


class TestOwnQueue(QueueTestCase):
    def test_the_process_own_queue_has_no_circuit(self):
        self.deploy()
        port = helpers_silent.free_port()
        # It is oslo.messaging that registers the option.
        oslo_messaging.TransportURL.parse(self.deployment.conf, 'none:///')
        self.deployment.conf.set_override(
            'transport_url', f'rabbit://u:p@127.0.0.1:{port}/'
        )
        with self.deployment.open_router(cellplug.Database()) as router:
            client = router.rpc_client(self.context, cases.target())
            for _ in range(5):
                error = self.assertRaises(
                    exception.QueueUnavailable,
                    client.cast,
                    self.context,
                    'who',
                )
                self.assertNotIn('refused without', str(error))
