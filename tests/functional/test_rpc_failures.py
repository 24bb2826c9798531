"""Messaging on queues that fail: bounded, named, and good again afterwards."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
import traceback
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import testtools
from fixtures import FakeLogger

import cellplug
from cellplug import exception
from cellplug.testing import deployment
from cellplug.testing import services
from tests.functional import test_rpc as cases

CONNECT = 2
DEADLINE = cases.DEADLINE
PASSWORD = 'do-not-show-me'


def our_threads() -> list[str]:
    """The threads that connections, and attempts to connect, cost."""
    return sorted(
        one.name
        for one in threading.enumerate()
        if one.name.startswith(('cellplug-bounded', 'Rabbit-heartbeat'))
        or one.name.endswith('(poll)')
    )


@contextlib.contextmanager
def silent_peer() -> Iterator[int]:
    """The port of something that accepts connections and says nothing."""
    with socket.create_server(('127.0.0.1', 0), backlog=100) as listening:
        yield listening.getsockname()[1]


def refused_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(('127.0.0.1', 0)) as listening:
        return int(listening.getsockname()[1])


class FailureCase(testtools.TestCase):
    """A cell on a broker of the test class's own."""

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
        self.log = self.useFixture(FakeLogger(level=logging.DEBUG))
        self.addCleanup(self.check_log)
        self.vhost = f'v{uuid.uuid4().hex}'
        self.url = self.broker.create_vhost(self.vhost)
        self.addCleanup(self.broker.delete_vhost, self.vhost)
        self.deployment = self.useFixture(
            deployment.DeploymentFixture(
                cells=0,
                options={
                    'rpc.connect_timeout': CONNECT,
                    'rpc.call_timeout': 10,
                    'rpc.stop_timeout': 4,
                    # Of two that answer at once, the second opens one more
                    # connection, and keeps it: nothing that was left behind.
                    'rpc.server_threads': 1,
                    # Every message asks the broker here.
                    'cells.breaker_threshold': 0,
                },
            )
        )
        self.router = self.deployment.router
        self.context = self.deployment.context()
        self.addCleanup(self.settle)

    def check_log(self) -> None:
        """No log line of anybody shows a password, at no level."""
        for secret in (PASSWORD, self.broker.password):
            self.assertNotIn(secret, self.log.output)

    def settle(self) -> None:
        """Whatever the test did, the broker serves the next one."""
        self.broker.thaw()
        if not self.broker.running:
            self.broker.start()

    def cell_at(self, transport_url: str, name: str = '') -> Any:
        return self.deployment.add_cell(
            name or f'cell-{uuid.uuid4().hex[:8]}x',
            transport_url=transport_url,
        )

    def serve(self, cell: Any) -> cases.Worker:
        worker = cases.Worker(cell.name)
        server = self.router.rpc_server(
            cell, cases.target(server=uuid.uuid4().hex), worker
        )
        server.start()
        self.addCleanup(server.stop)
        return worker

    def aimed(self, cell: Any) -> Any:
        with self.router.target_cell(self.context, cell) as cctxt:
            return cctxt

    def call(self, cell: Any, **options: Any) -> Any:
        cctxt = self.aimed(cell)
        client = self.router.rpc_client(cctxt, cases.target(), **options)
        return client.call(cctxt, 'who')

    def cast(self, cell: Any) -> None:
        cctxt = self.aimed(cell)
        self.router.rpc_client(cctxt, cases.target()).cast(cctxt, 'who')

    def start_server(self, cell: Any) -> None:
        server = self.router.rpc_server(
            cell, cases.target(server='s'), cases.Worker()
        )
        try:
            server.start()
        finally:
            server.stop()

    def assert_unavailable(self, error: Any, cell: Any) -> None:
        """The error names the cell, and shows no secret anywhere."""
        self.assertIsInstance(error, exception.CellUnavailable)
        self.assertEqual(
            (cell.uuid, cell.name, 'message queue'),
            (error.cell_uuid, error.cell_name, error.part),
        )
        self.assertIn(cell.uuid, str(error))
        self.assertIn(cell.name, str(error))
        text = ''.join(traceback.format_exception(error))
        for secret in (PASSWORD, self.broker.password):
            self.assertNotIn(secret, text)

    def assert_fails(self, cell: Any) -> None:
        """Everything that needs the cell's queue says that it is away."""
        for attempt in (self.call, self.cast, self.start_server):
            (error,) = cases.in_threads(1, lambda a=attempt: a(cell))
            self.assert_unavailable(error, cell)

    def assert_calm(self, before: list[str]) -> None:
        """What was left behind ends by itself."""
        self.assertTrue(
            cases.eventually(lambda: len(our_threads()) <= len(before)),
            f'{our_threads()} after {before}',
        )

    def assert_recovers(self, cell: Any, tries: int = 8) -> None:
        """Calls succeed again within so many tries, and then go on to."""
        for _ in range(tries):
            try:
                self.call(cell, timeout=5)
                break
            except (exception.CellUnavailable, exception.RPCTimeout):
                continue
        for _ in range(3):
            self.assertEqual(cell.name, self.call(cell, timeout=5))


class NeverThereTest(FailureCase):
    """Queues that cannot be used from the start."""

    def at(self, port: int, **parts: str) -> str:
        login = parts.get('login', f'u:{PASSWORD}')
        return f'rabbit://{login}@127.0.0.1:{port}/{parts.get("vhost", "v")}'

    def test_a_port_that_refuses(self) -> None:
        before = our_threads()
        self.assert_fails(self.cell_at(self.at(refused_port())))
        self.assert_calm(before)

    def test_a_wrong_password(self) -> None:
        before = our_threads()
        self.assert_fails(self.cell_at(self.at(self.broker.port)))
        self.assert_calm(before)

    def test_an_unknown_virtual_host(self) -> None:
        login = f'{self.broker.user}:{self.broker.password}'
        url = self.at(self.broker.port, login=login, vhost='unknown')
        before = our_threads()
        self.assert_fails(self.cell_at(url))
        self.assert_calm(before)

    def test_a_peer_that_is_silent(self) -> None:
        before = our_threads()
        with silent_peer() as port:
            self.assert_fails(self.cell_at(self.at(port)))
        self.assert_calm(before)

    def test_eight_first_calls_at_once(self) -> None:
        with silent_peer() as port:
            for dead in (port, refused_port()):
                cell = self.cell_at(self.at(dead))
                errors = cases.in_threads(8, lambda cell=cell: self.call(cell))
                for error in errors:
                    self.assert_unavailable(error, cell)

    def test_a_hanging_attempt_is_not_paid_for_twice(self) -> None:
        before = our_threads()
        with silent_peer() as port:
            cell = self.cell_at(self.at(port))
            most = 0
            for _ in range(5):
                self.assertRaises(exception.CellUnavailable, self.call, cell)
                most = max(most, len(our_threads()))
            self.assertLessEqual(most, len(before) + 1)
        self.assert_calm(before)

    def test_the_database_of_such_a_cell_works(self) -> None:
        cell = self.cell_at(self.at(refused_port()))
        cctxt = self.aimed(cell)
        database = self.deployment.database
        self.assertRaises(exception.CellUnavailable, self.call, cell)
        with database.writer.using(cctxt) as session:
            session.execute(cases.sa.text('CREATE TABLE t (id INTEGER)'))

    def test_one_live_host_of_several_is_enough(self) -> None:
        live = self.url.removeprefix('rabbit://')
        login = live.rpartition('@')[0]
        cell = self.cell_at(
            f'rabbit://{login}@127.0.0.1:{refused_port()},{live}'
        )
        self.serve(cell)
        # oslo.messaging shuffles the hosts for each connection.
        for _ in range(4):
            with cellplug_router(self.deployment) as router:
                with router.target_cell(self.context, cell) as cctxt:
                    client = router.rpc_client(cctxt, cases.target())
                    self.assertEqual(cell.name, client.call(cctxt, 'who'))

    def test_oslo_messaging_alone_would_hang(self) -> None:
        """Why there is more here than a call of get_rpc_client."""
        script = """
            import sys
            import oslo_messaging
            from oslo_config import cfg
            conf = cfg.CONF
            conf([], project='x', default_config_files=[])
            transport = oslo_messaging.get_rpc_transport(conf, sys.argv[1])
            client = oslo_messaging.get_rpc_client(
                transport, oslo_messaging.Target(topic='t'), retry=0,
                timeout=0.5)
            print('calls', flush=True)
            client.call({}, 'who')
        """
        with subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(script),
             self.at(refused_port())],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                self.assertEqual(b'calls\n', process.stdout.readline())
                self.assertRaises(subprocess.TimeoutExpired, process.wait, 5)
            finally:
                process.kill()


@contextlib.contextmanager
def cellplug_router(
    made: deployment.DeploymentFixture,
) -> Iterator[cellplug.CellRouter]:
    """One more router on a deployment, with no connections yet."""
    with cellplug.CellRouter.from_conf(made.conf) as router:
        yield router


class GoneTest(FailureCase):
    """Queues that worked, and then did not."""

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.cell_at(self.url)

    def test_a_frozen_broker(self) -> None:
        self.serve(self.cell)
        self.call(self.cell)
        before = our_threads()
        self.broker.freeze()
        for attempt in (self.call, self.cast, self.call):
            (error,) = cases.in_threads(
                1, lambda attempt=attempt: attempt(self.cell)
            )
            self.assert_unavailable(error, self.cell)
        self.broker.thaw()
        self.assert_recovers(self.cell)
        self.assert_calm(before)

    def test_a_frozen_broker_and_a_message_without_an_answer(self) -> None:
        # oslo.messaging waits for a heartbeat's minute, and another one.
        self.cast(self.cell)
        self.broker.freeze()
        (error,) = cases.in_threads(
            1, lambda: self.cast(self.cell), deadline=30
        )
        self.assert_unavailable(error, self.cell)

    def test_a_frozen_broker_with_many_callers(self) -> None:
        self.serve(self.cell)
        self.call(self.cell)
        self.broker.freeze()
        for error in cases.in_threads(40, lambda: self.call(self.cell)):
            self.assert_unavailable(error, self.cell)

    def test_a_broker_frozen_before_the_first_call(self) -> None:
        self.broker.freeze()
        for error in cases.in_threads(8, lambda: self.call(self.cell)):
            self.assert_unavailable(error, self.cell)
        self.broker.thaw()
        self.serve(self.cell)
        self.assert_recovers(self.cell)

    def test_a_broker_killed_and_started_again(self) -> None:
        self.serve(self.cell)
        self.call(self.cell)
        before = our_threads()
        self.broker.kill()
        for _ in range(4):
            for attempt in (self.call, self.cast):
                (error,) = cases.in_threads(
                    1, lambda attempt=attempt: attempt(self.cell)
                )
                self.assert_unavailable(error, self.cell)
        self.broker.start()
        self.assert_recovers(self.cell, tries=12)
        self.assert_calm(before)

    def test_a_broker_restarted_between_two_calls(self) -> None:
        self.serve(self.cell)
        cases.in_threads(6, lambda: self.call(self.cell))
        self.broker.restart()
        self.assert_recovers(self.cell, tries=12)

    def assert_dies_before_the_first_call(
        self, end: Callable[[], None], begin: Callable[[], None]
    ) -> None:
        """A message was sent, but nobody listens for answers yet."""
        self.cast(self.cell)
        end()
        for error in cases.in_threads(8, lambda: self.call(self.cell)):
            self.assert_unavailable(error, self.cell)
        begin()
        self.serve(self.cell)
        self.assert_recovers(self.cell)

    def test_a_broker_that_dies_before_the_first_call(self) -> None:
        self.assert_dies_before_the_first_call(
            self.broker.kill, self.broker.start
        )

    def test_a_broker_that_freezes_before_the_first_call(self) -> None:
        self.assert_dies_before_the_first_call(
            self.broker.freeze, self.broker.thaw
        )

    def test_a_call_that_was_given_up_is_not_made_later(self) -> None:
        self.broker.freeze()
        self.assertRaises(exception.CellUnavailable, self.call, self.cell)
        self.broker.thaw()
        worker = self.serve(self.cell)
        self.call(self.cell)
        self.assertEqual(1, len(worker.contexts))

    def test_one_bad_cell_stays_one_bad_cell(self) -> None:
        well = self.deployment.add_cell('well')
        self.serve(well)
        self.broker.freeze()
        stuck = threading.Thread(
            target=lambda: cases.in_threads(8, lambda: self.call(self.cell))
        )
        stuck.start()
        for _ in range(10):
            self.assertEqual('well', self.call(well))
        self.assertTrue(stuck.is_alive())
        stuck.join(DEADLINE)

    def test_a_server_stops_with_a_frozen_broker(self) -> None:
        server = self.router.rpc_server(
            self.cell, cases.target(server='s'), cases.Worker()
        )
        server.start()
        self.broker.freeze()
        (stopped,) = cases.in_threads(1, server.stop)
        self.assertIsNone(stopped)

    def test_a_router_closes_with_a_frozen_broker(self) -> None:
        with cellplug_router(self.deployment) as router:
            with router.target_cell(self.context, self.cell) as cctxt:
                client = router.rpc_client(cctxt, cases.target())
                client.cast(cctxt, 'who')
            self.broker.freeze()
            (closed,) = cases.in_threads(1, router.close)
        self.assertIsNone(closed)


class LifeTest(FailureCase):
    """Connections come and go with what they are for."""

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.cell_at(self.url)

    def assert_connections(self, vhost: str, count: int) -> None:
        self.assertTrue(
            cases.eventually(lambda: self.broker.connections(vhost) == count),
            f'{self.broker.connections(vhost)} connections',
        )

    def moved(self, cell: Any) -> tuple[Any, str]:
        """The cell with another virtual host, and its name."""
        vhost = f'v{uuid.uuid4().hex}'
        url = self.broker.create_vhost(vhost)
        self.addCleanup(self.broker.delete_vhost, vhost)
        return self.router.cells.update(cell, transport_url=url), vhost

    def test_an_edited_url_is_followed(self) -> None:
        with self.router.rpc_server(
            self.cell, cases.target(server='s'), cases.Worker('old')
        ):
            before = self.aimed(self.cell)
            client = self.router.rpc_client(before, cases.target())
            self.assertEqual('old', client.call(before, 'who'))
            new, _ = self.moved(self.cell)
            with self.router.rpc_server(
                new, cases.target(server='s'), cases.Worker('new')
            ):
                # Targeted before the edit, or with the older mapping.
                self.assertEqual('new', client.call(before, 'who'))
                after = self.aimed(self.cell)
                client = self.router.rpc_client(after, cases.target())
                self.assertEqual('new', client.call(after, 'who'))
        self.assert_connections(self.vhost, 0)

    def test_calls_in_flight_finish_where_they_began(self) -> None:
        worker = self.serve(self.cell)
        cctxt = self.aimed(self.cell)
        client = self.router.rpc_client(cctxt, cases.target())
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.append(client.call(cctxt, 'wait'))
        )
        thread.start()
        self.assertTrue(worker.entered.wait(DEADLINE))
        held = self.broker.connections(self.vhost)
        new, _ = self.moved(self.cell)
        self.serve(new)
        self.assertEqual(self.cell.name, client.call(cctxt, 'who'))
        self.assertEqual(held, self.broker.connections(self.vhost))
        worker.release.set()
        thread.join(DEADLINE)
        self.assertEqual([self.cell.name], answers)
        # The worker of the old queue keeps its own: it listens and answers.
        self.assert_connections(self.vhost, 2)

    def test_a_deleted_cells_transport_closes(self) -> None:
        cctxt = self.aimed(self.cell)
        client = self.router.rpc_client(cctxt, cases.target())
        client.cast(cctxt, 'who')
        self.router.cells.delete(self.cell)
        self.assert_connections(self.vhost, 0)
        self.assertRaises(
            exception.CellMappingNotFound, client.cast, cctxt, 'who'
        )

    def test_a_closed_router_has_no_connections(self) -> None:
        before = our_threads()
        with cellplug_router(self.deployment) as router:
            with router.target_cell(self.context, self.cell) as cctxt:
                client = router.rpc_client(cctxt, cases.target())
            with router.rpc_server(
                self.cell, cases.target(server='s'), cases.Worker('w')
            ):
                self.assertEqual('w', client.call(cctxt, 'who'))
        self.assertEqual(0, self.broker.connections(self.vhost))
        self.assertEqual(before, our_threads())
        self.assertRaises(exception.RouterClosed, client.call, cctxt, 'who')

    def test_a_closed_router_stops_a_server_that_nobody_kept(self) -> None:
        with cellplug_router(self.deployment) as router:
            router.rpc_server(
                self.cell, cases.target(server='s'), cases.Worker('w')
            ).start()
            gc.collect()
            self.assertEqual('w', self.call(self.cell))
        self.assertRaises(
            exception.RPCTimeout, self.call, self.cell, timeout=0.5
        )

    def test_a_stopped_server_has_no_connections(self) -> None:
        server = self.router.rpc_server(
            self.cell, cases.target(server='s'), cases.Worker('w')
        )
        for _ in range(2):  # it may be started again
            server.start()
            server.start()
            self.assertEqual('w', self.call(self.cell))
            server.stop()
            server.stop()
        self.assertRaises(
            exception.RPCTimeout, self.call, self.cell, timeout=0.5
        )
        # The client's own: one to send, one for answers.
        self.assert_connections(self.vhost, 2)

    def test_a_stop_lets_handlers_finish(self) -> None:
        worker = cases.Worker('w')
        server = self.router.rpc_server(
            self.cell, cases.target(server='s'), worker
        )
        server.start()
        cctxt = self.aimed(self.cell)
        client = self.router.rpc_client(cctxt, cases.target())
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.append(client.call(cctxt, 'wait'))
        )
        thread.start()
        self.assertTrue(worker.entered.wait(DEADLINE))
        threading.Timer(1, worker.release.set).start()
        server.stop()
        thread.join(DEADLINE)
        self.assertEqual(['w'], answers)

    def test_a_stop_waits_for_no_handler_for_ever(self) -> None:
        worker = cases.Worker('w')
        self.addCleanup(worker.release.set)
        server = self.router.rpc_server(
            self.cell, cases.target(server='s'), worker
        )
        server.start()
        self.assertEqual('w', self.call(self.cell))
        cctxt = self.aimed(self.cell)
        client = self.router.rpc_client(cctxt, cases.target())
        client.cast(cctxt, 'wait')
        self.assertTrue(worker.entered.wait(DEADLINE))
        (stopped,) = cases.in_threads(1, server.stop)
        self.assertIsNone(stopped)
        self.assertFalse(worker.release.is_set())
        self.assertRaises(
            exception.RPCTimeout, self.call, self.cell, timeout=0.5
        )
        self.assert_connections(self.vhost, 2)

    def test_a_server_that_could_not_start_can_later(self) -> None:
        self.broker.freeze()
        before = our_threads()
        server = self.router.rpc_server(
            self.cell, cases.target(server='s'), cases.Worker('w')
        )
        (error,) = cases.in_threads(1, server.start)
        self.assert_unavailable(error, self.cell)
        self.broker.thaw()
        self.assert_calm(before)
        self.assert_connections(self.vhost, 0)
        with server:
            self.assertEqual('w', self.call(self.cell))

    def test_a_child_gets_connections_of_its_own(self) -> None:
        self.serve(self.cell)
        self.assertEqual(self.cell.name, self.call(self.cell))
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            said = b'failed'
            try:
                if [self.call(self.cell) for _ in range(3)] == (
                    [self.cell.name] * 3
                ):
                    said = b'fine'
            except Exception as exc:
                said = repr(exc).encode()
            finally:
                os.write(writer, said)
                os._exit(0)
        os.close(writer)
        for _ in range(3):
            self.assertEqual(self.cell.name, self.call(self.cell))
        self.assertEqual(b'fine', os.read(reader, 1000))
        os.close(reader)
        os.waitpid(pid, 0)
        self.assertEqual(self.cell.name, self.call(self.cell))


class ProcessTest(FailureCase):
    """What messaging does to the process it runs in."""

    def test_nothing_global_is_needed_or_shown(self) -> None:
        script = """
            import sys
            import cellplug
            from oslo_config import cfg
            conf = cfg.ConfigOpts()
            cellplug.register_opts(conf)
            conf([], project='x', default_config_files=[])
            conf.set_override('connection', sys.argv[1], 'api_database')
            with cellplug.CellRouter.from_conf(conf) as router:
                assert 'eventlet' not in sys.modules
                context = cellplug.RequestContext()
                from cellplug import rpc
                class Worker:
                    def who(self, context):
                        return 'me'
                with router.target_cell(context, sys.argv[2]) as cctxt:
                    client = router.rpc_client(cctxt, rpc.Target(topic='t'))
                    with router.rpc_server(
                        sys.argv[2], rpc.Target(topic='t', server='s'),
                        Worker()):
                        print(client.call(cctxt, 'who'))
                from eventlet import patcher
                patched = [m for m in ('thread', 'socket', 'time', 'select')
                           if patcher.is_monkey_patched(m)]
                print(patched, 'transport_url' in cfg.CONF)
        """
        cell = self.cell_at(self.url)
        done = subprocess.run(
            [sys.executable, '-W', 'default', '-c', textwrap.dedent(script),
             self.deployment.api_url, cell.uuid],
            capture_output=True, text=True, timeout=DEADLINE,
        )  # fmt: skip
        self.assertEqual('me\n[] False\n', done.stdout, done.stderr)
        self.assertNotIn('Warning', done.stderr)
