"""Messaging on queues that work: who hears what, and what travels."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import threading
import time
import traceback
import urllib.parse
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import amqp
import sqlalchemy as sa
import testtools
from fixtures import MonkeyPatch
from fixtures import TempDir
from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import rpc
from cellplug.rpc.quiet import oslo_messaging
from cellplug.testing import deployment
from cellplug.testing import fixtures
from cellplug.testing import services
from cellplug.testing.services import admin

DEADLINE = 60
"""Seconds after which a test says that something hangs."""


class TestFailed(Exception):
    """An exception of the service's own."""


class Worker:
    """What the servers of these tests offer."""

    def __init__(self, name: str = '') -> None:
        self.name = name
        self.contexts: list[Any] = []
        self.entered = threading.Event()
        self.release = threading.Event()

    def who(self, context: Any) -> str:
        self.contexts.append(context)
        return self.name

    def echo(self, context: Any, value: Any) -> Any:
        self.contexts.append(context)
        return value

    def fail(self, context: Any, kind: str) -> None:
        kinds: dict[str, type[Exception]] = {
            'ValueError': ValueError,
            'OSError': OSError,
            'ConnectionRefusedError': ConnectionRefusedError,
            'TimeoutError': TimeoutError,
            'CellplugError': exception.CellplugError,
            'TestFailed': TestFailed,
        }
        raise kinds[kind]('the worker says no')

    def wait(self, context: Any) -> str:
        self.entered.set()
        self.release.wait(DEADLINE)
        return self.name


class OwnContext(cellplug.RequestContext):
    """A service's context, with something of its own."""

    def __init__(self, *args: Any, colour: str = '', **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.colour = colour

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), 'colour': self.colour}

    @classmethod
    def from_dict(cls, values: dict[str, Any], **kwargs: Any) -> OwnContext:
        return super().from_dict(
            values, colour=values.get('colour', ''), **kwargs
        )


def target(topic: str = 'work', **values: Any) -> Any:
    return rpc.Target(topic=topic, **values)


def eventually(holds: Callable[[], bool], deadline: float = DEADLINE) -> bool:
    """Whether something becomes true before the deadline."""
    end = time.monotonic() + deadline
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def in_threads(
    count: int, function: Callable[[], Any], deadline: float = DEADLINE
) -> list[Any]:
    """What so many calls at once return or raise."""
    barrier = threading.Barrier(count)
    results: list[Any] = []

    def work() -> None:
        barrier.wait(DEADLINE)
        try:
            results.append(function())
        except Exception as exc:
            results.append(exc)

    threads = [
        threading.Thread(target=work, daemon=True) for _ in range(count)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(deadline)
        if one.is_alive():
            raise AssertionError('a call hangs')
    return results


@contextlib.contextmanager
def channel(url: str) -> Iterator[Any]:
    """A channel of a client that is not oslo.messaging."""
    parts = urllib.parse.urlsplit(url)
    with amqp.Connection(
        host=f'{parts.hostname}:{parts.port}',
        userid=parts.username,
        password=parts.password,
        virtual_host=parts.path[1:],
    ) as connection:
        yield connection.channel()


class RPCCase(testtools.TestCase):
    """Two cells on RabbitMQ, each with a virtual host of its own."""

    queues = 'rabbitmq'

    def setUp(self) -> None:
        super().setUp()
        self.deployment = self.deploy()
        self.router = self.deployment.router
        self.context = self.deployment.context()

    def deploy(self, **values: Any) -> deployment.DeploymentFixture:
        values.setdefault('cells', 2)
        values.setdefault('queues', self.queues)
        return self.useFixture(deployment.DeploymentFixture(**values))

    def serve(self, cell: Any, worker: Any = None, **values: Any) -> Worker:
        """Start a worker of the cell; it is stopped in the end."""
        worker = worker or Worker(getattr(cell, 'name', 'own'))
        server = self.router.rpc_server(
            cell, target(**{'server': uuid.uuid4().hex, **values}), [worker]
        )
        server.start()
        self.addCleanup(server.stop)
        return worker

    def aimed(self, cell: Any) -> Any:
        with self.router.target_cell(self.context, cell) as cctxt:
            return cctxt

    def call(self, cell: Any, method: str, /, **kwargs: Any) -> Any:
        """Call a method in the cell."""
        cctxt = self.aimed(cell)
        client = self.router.rpc_client(cctxt, target())
        return client.call(cctxt, method, **kwargs)


class EachCellItsOwnTest(RPCCase):
    """A cell's worker answers the calls to its cell, and no others."""

    def test_calls_reach_the_targeted_cells_worker(self) -> None:
        for cell in self.deployment.cells:
            self.serve(cell)
        for _ in range(10):
            for cell in self.deployment.cells:
                self.assertEqual(cell.name, self.call(cell, 'who'))

    def test_casts_reach_the_targeted_cells_worker(self) -> None:
        one, two = self.deployment.cells
        here, there = self.serve(one), self.serve(two)
        cctxt = self.aimed(one)
        self.router.rpc_client(cctxt, target()).cast(cctxt, 'who')
        self.assertTrue(eventually(lambda: bool(here.contexts)))
        self.assertEqual([], there.contexts)

    def test_a_fanout_reaches_all_workers_of_the_cell_alone(self) -> None:
        one, two = self.deployment.cells
        here = [self.serve(one), self.serve(one)]
        there = self.serve(two)
        cctxt = self.aimed(one)
        client = self.router.rpc_client(cctxt, target())
        client.prepare(fanout=True).cast(cctxt, 'who')
        self.assertTrue(eventually(lambda: all(w.contexts for w in here)))
        self.assertEqual([], there.contexts)

    def test_a_server_may_be_named(self) -> None:
        (one, _) = self.deployment.cells
        self.serve(one, Worker('a'), server='a')
        self.serve(one, Worker('b'), server='b')
        cctxt = self.aimed(one)
        client = self.router.rpc_client(cctxt, target())
        for name in 'abba':
            named = client.prepare(server=name)
            self.assertEqual(name, named.call(cctxt, 'who'))

    def test_many_first_calls_at_once_share_the_connections(self) -> None:
        cell = self.deployment.cells[0]
        self.serve(cell)
        answers = in_threads(8, lambda: self.call(cell, 'who'))
        self.assertEqual(['cell1'] * 8, answers)


class EachCellItsOwnOnFakeTest(EachCellItsOwnTest):
    """The same in one process, without a broker."""

    queues = 'fake'


class EachCellItsOwnInMemoryTest(EachCellItsOwnTest):
    """The same on kombu's memory transport, which ignores virtual hosts."""

    def deploy(self, **values: Any) -> deployment.DeploymentFixture:
        made = super().deploy(cells=0, queues='fake')
        made.cells = [
            made.add_cell(name, transport_url=f'kombu+memory:///{name}')
            for name in ('cell1', 'cell2')
        ]
        return made

    def test_workers_do_not_poll_without_a_pause(self) -> None:
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            time.sleep(seconds)

        self.useFixture(
            MonkeyPatch('kombu.transport.virtual.base.sleep', sleep)
        )
        for cell in self.deployment.cells:
            self.serve(cell)
            self.call(cell, 'who')
        self.assertTrue(eventually(lambda: len(pauses) > 100))
        self.assertLess(0, min(pauses))


class RouterCloseTest(RPCCase):
    """A closed router leaves nothing that listens."""

    def test_servers_that_still_run_are_stopped(self) -> None:
        cell = self.deployment.cells[0]
        other = self.deployment.open_router(type(self.deployment.database)())
        with other.target_cell(self.deployment.context(), cell):
            server = other.rpc_server(
                cell, target(server=uuid.uuid4().hex), [Worker('theirs')]
            )
        server.start()
        self.assertEqual('theirs', self.call(cell, 'who'))
        other.close()
        context = self.aimed(cell)
        client = self.router.rpc_client(context, target(), timeout=1)
        self.assertRaises(exception.RPCTimeout, client.call, context, 'who')
        server.stop()


class WireTest(RPCCase):
    """What another reader of the broker would see."""

    def seen(self, context: Any, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        """The message that a cast leaves on the broker."""
        cell = self.deployment.cells[0]
        with channel(cell.transport_url) as raw:
            raw.exchange_declare(
                'wire', 'topic', durable=False, auto_delete=False
            )
            raw.queue_declare('wire', durable=False, auto_delete=False)
            raw.queue_bind('wire', 'wire', 'wire')
            client = self.router.rpc_client(
                context, target('wire', exchange='wire')
            )
            client.cast(context, 'do', **kwargs)
            messages: list[Any] = []

            def arrived() -> bool:
                messages.append(raw.basic_get('wire', no_ack=True))
                return messages[-1] is not None

            self.assertTrue(eventually(arrived))
        body = messages[-1].body
        text = body.decode() if isinstance(body, bytes) else body
        text += repr(messages[-1].headers)
        return text, json.loads(json.loads(body)['oslo.message'])

    def test_a_context_travels_without_its_target(self) -> None:
        cell = self.deployment.cells[0]
        cctxt = self.aimed(cell)
        text, message = self.seen(cctxt, x=1)
        password = urllib.parse.urlsplit(cell.transport_url).password
        for secret in (
            cell.uuid,
            cell.transport_url,
            cell.database_connection,
            str(password),
            'db_connection',
            'mq_connection',
            'cell_uuid',
            'rabbit:',
        ):
            self.assertNotIn(secret, text)
        self.assertEqual('p', message['_context_project_id'])
        self.assertEqual({'x': 1}, message['args'])
        self.assertNotIn('_context_route', message)

    def test_a_context_travels_with_its_route(self) -> None:
        instance = str(uuid.uuid4())
        mapped = self.router.instances.map(
            self.context, instance, self.deployment.cells[0]
        )
        with self.router.target_instance(self.context, instance) as cctxt:
            _, message = self.seen(cctxt)
        self.assertEqual(
            {'instance_uuid': instance, 'generation': mapped.generation},
            message['_context_route'],
        )

    def test_the_users_token_travels(self) -> None:
        self.context.auth_token = 'a-token'
        _, message = self.seen(self.aimed(self.deployment.cells[0]))
        self.assertEqual('a-token', message['_context_auth_token'])


class WorkersContextTest(RPCCase):
    """What a worker's method is handed as its context."""

    def deploy(self, **values: Any) -> deployment.DeploymentFixture:
        return super().deploy(router={'context_class': OwnContext})

    def setUp(self) -> None:
        super().setUp()
        self.cell, self.other = self.deployment.cells
        self.worker = self.serve(self.cell)

    def test_it_is_of_the_services_class_and_aimed_at_the_cell(self) -> None:
        context = OwnContext(user_id='u', project_id='p', colour='red')
        with self.router.target_cell(context, self.cell) as cctxt:
            self.router.rpc_client(cctxt, target()).call(cctxt, 'who')
        (seen,) = self.worker.contexts
        self.assertIsInstance(seen, OwnContext)
        self.assertEqual('red', seen.colour)
        self.assertEqual(self.cell.uuid, seen.cell_uuid)
        self.assertEqual(self.cell.uuid, seen.db_connection)
        client = self.router.rpc_client(seen, target())
        self.assertEqual('cell1', client.call(seen, 'who'))

    def test_its_route_is_the_callers(self) -> None:
        instance = str(uuid.uuid4())
        self.router.instances.map(self.context, instance, self.cell)
        with self.router.target_instance(self.context, instance) as cctxt:
            self.router.rpc_client(cctxt, target()).call(cctxt, 'who')
        self.assertEqual(cctxt.route, self.worker.contexts[0].route)

    def forged(self, **values: Any) -> Any:
        """Call with a message that says what it likes."""
        client = self.router.rpc_client(self.aimed(self.cell), target())
        return client.call({**self.context.to_dict(), **values}, 'who')

    def test_no_message_chooses_the_cell(self) -> None:
        self.forged(
            cell_uuid=self.other.uuid,
            db_connection=self.other.uuid,
            mq_connection=self.other.transport_url,
        )
        (seen,) = self.worker.contexts
        self.assertEqual(self.cell.uuid, seen.cell_uuid)
        self.assertEqual(self.cell.uuid, seen.db_connection)
        self.assertIs(self.aimed(self.cell).mq_connection, seen.mq_connection)

    def test_a_route_that_is_none_is_refused(self) -> None:
        for route in (
            'x',
            7,
            [],
            ['a'],
            {},
            {'instance_uuid': 'i'},
            {'instance_uuid': 'i', 'generation': 'many'},
        ):
            error = self.assertRaises(
                exception.InvalidInput, self.forged, route=route
            )
            self.assertEqual('route', error.name)
        self.assertEqual([], self.worker.contexts)


class OwnQueueTest(testtools.TestCase):
    """A process with [database] and [DEFAULT] transport_url alone."""

    def setUp(self) -> None:
        super().setUp()
        self.context = cellplug.RequestContext(user_id='u', project_id='p')

    def router(self, transport_url: str = '') -> cellplug.CellRouter:
        database = self.useFixture(fixtures.DatabaseFixture()).url
        path = self.useFixture(TempDir()).join('service.conf')
        lines = ['[database]', f'connection = {database}']
        if transport_url:
            lines[:0] = ['[DEFAULT]', f'transport_url = {transport_url}']
        pathlib.Path(path).write_text('\n'.join(lines))
        conf = cfg.ConfigOpts()
        cellplug.register_opts(conf)
        conf(['--config-file', path], project='cellplug')
        made = cellplug.CellRouter.from_conf(conf)
        self.addCleanup(made.close)
        return made

    def own_queue(self) -> str:
        url: str = self.useFixture(fixtures.QueueFixture()).url
        return url

    def test_a_worker_needs_no_api_database(self) -> None:
        router = self.router(self.own_queue())
        worker = Worker('own')
        with router.rpc_server(None, target(server='s'), worker):
            client = router.rpc_client(self.context, target())
            self.assertEqual('own', client.call(self.context, 'who'))
            hostile = {'cell_uuid': 'x', 'db_connection': 'api'}
            client.call({**self.context.to_dict(), **hostile}, 'who')
        self.assertEqual(2, len(worker.contexts))
        for seen in worker.contexts:
            self.assertIsNone(seen.cell_uuid)
            with router.database.writer.using(seen) as session:
                session.execute(sa.text('CREATE TABLE own (id INTEGER)'))
                session.execute(sa.text('DROP TABLE own'))

    def test_without_a_transport_url_there_is_nobody_to_call(self) -> None:
        for url in ('', 'none:///'):
            router = self.router(url)
            client = router.rpc_client(self.context, target())
            error = self.assertRaises(
                exception.NotTargeted, client.call, self.context, 'who'
            )
            self.assertIn('transport_url', str(error))
            self.assertRaises(
                exception.NotTargeted,
                router.rpc_server,
                None,
                target(server='s'),
                Worker(),
            )
            router.close()

    def test_a_wrong_transport_url_is_named_without_its_secret(self) -> None:
        router = self.router('rabbit://u:sec/ret@h:1/v')
        client = router.rpc_client(self.context, target())
        error = self.assertRaises(
            exception.InvalidURL, client.call, self.context, 'who'
        )
        self.assertIn('[DEFAULT] transport_url', str(error))
        self.assertNotIn('sec', str(error))


class RefusedTest(RPCCase):
    """What is wrong is said before anything is sent."""

    queues = 'fake'

    def test_cell0_has_no_queue(self) -> None:
        cell = self.deployment.add_cell(
            'cell0', uuid=str(uuid.UUID(int=0)), transport_url='none:///'
        )
        for attempt in (
            lambda: self.call(cell, 'who'),
            lambda: self.router.rpc_server(cell, target(server='s'), Worker()),
            lambda: self.router.rpc_client(
                self.aimed(cell), target()
            ).can_send_version('1.0'),
        ):
            error = self.assertRaises(exception.CellHasNoQueue, attempt)
            self.assertEqual('cell0', error.cell_name)

    def test_a_wrong_transport_url_leaves_the_database_usable(self) -> None:
        # What an operator can write into the API database by hand.
        cell = dataclasses.replace(
            self.deployment.cells[0],
            generation=self.deployment.cells[0].generation + 1,
        )
        for url in (
            'nonsense',
            'rabbits://u:secret@h/',
            'rabbit://u:secret@h:port/',
            'rabbit://u:sec/secret@h/v',
            'rabbit://u:1/secret@h/v',
            'kafka://u:secret@h/',
        ):
            cell = dataclasses.replace(
                cell, transport_url=url, generation=cell.generation + 1
            )
            cctxt = self.aimed(cell)
            database = self.deployment.database
            with database.reader.using(cctxt) as session:
                session.execute(sa.text('SELECT 1'))
            for attempt in (
                lambda cell=cell: self.call(cell, 'who'),
                lambda cell=cell: self.router.rpc_server(
                    cell, target(server='s'), Worker()
                ).start(),
            ):
                error = self.assertRaises(exception.InvalidURL, attempt)
                text = ''.join(traceback.format_exception(error))
                self.assertIn(cell.uuid, str(error), url)
                self.assertIn('cell1', str(error))
                self.assertNotIn('secret', text.replace('u:secret@', ''))

    def test_wrong_timeouts_are_refused(self) -> None:
        cctxt = self.aimed(self.deployment.cells[0])
        client = self.router.rpc_client(cctxt, target())
        for value in (0, 0.0, -1, '5', True, float('nan'), float('inf')):
            for name in ('timeout', 'call_monitor_timeout'):
                error = self.assertRaises(
                    exception.InvalidInput, client.prepare, **{name: value}
                )
                self.assertEqual(name, error.name)
                self.assertRaises(
                    exception.InvalidInput,
                    self.router.rpc_client,
                    cctxt,
                    target(),
                    **{name: value},
                )

    def test_unknown_options_are_refused(self) -> None:
        cctxt = self.aimed(self.deployment.cells[0])
        client = self.router.rpc_client(cctxt, target())
        for attempt in (
            lambda: client.prepare(topik='x'),
            lambda: self.router.rpc_client(cctxt, target(), topik='x'),
        ):
            error = self.assertRaises(exception.InvalidInput, attempt)
            self.assertEqual('topik', error.name)

    def test_a_call_to_all_is_refused(self) -> None:
        cctxt = self.aimed(self.deployment.cells[0])
        client = self.router.rpc_client(cctxt, target()).prepare(fanout=True)
        self.assertRaises(exception.InvalidInput, client.call, cctxt, 'who')

    def test_a_target_without_a_topic_is_refused(self) -> None:
        cell = self.deployment.cells[0]
        cctxt = self.aimed(cell)
        client = self.router.rpc_client(cctxt, rpc.Target())
        self.assertRaises(exception.InvalidInput, client.call, cctxt, 'who')
        for wrong in (rpc.Target(topic='t'), rpc.Target(server='s'), None):
            self.assertRaises(
                exception.InvalidInput,
                self.router.rpc_server,
                cell,
                wrong,
                Worker(),
            )

    def test_a_server_without_endpoints_is_refused(self) -> None:
        for nothing in (None, [], ()):
            self.assertRaises(
                exception.InvalidInput,
                self.router.rpc_server,
                self.deployment.cells[0],
                target(server='s'),
                nothing,
            )


class LoginTest(RPCCase):
    """User names and passwords as operators have them."""

    def test_any_character_may_be_in_a_password(self) -> None:
        cell = self.deployment.cells[0]
        _, _, host = cell.transport_url.rpartition('@')
        broker = admin.BrokerAdmin(os.environ[services.RabbitMQ.variable])
        user = f'u{uuid.uuid4().hex}'
        vhost = host.rpartition('/')[2]
        self.addCleanup(broker._ask, 'DELETE', f'users/{user}')
        for password in ('a/b', 'a@b', 'a%2Fb', 'a#b?c', 'a:b,c', 'a b$é"'):
            broker._ask(
                'PUT', f'users/{user}', {'password': password, 'tags': ''}
            )
            everything = {'configure': '.*', 'write': '.*', 'read': '.*'}
            broker._ask('PUT', f'permissions/{vhost}/{user}', everything)
            quoted = urllib.parse.quote(password, safe='')
            cell = self.router.cells.update(
                cell, transport_url=f'rabbit://{user}:{quoted}@{host}'
            )
            with self.router.rpc_server(cell, target(server='s'), Worker('w')):
                self.assertEqual('w', self.call(cell, 'who'), password)


class AnswersTest(RPCCase):
    """What comes back from a worker."""

    def setUp(self) -> None:
        super().setUp()
        self.cell = self.deployment.cells[0]
        self.serve(self.cell)
        self.client = self.router.rpc_client(self.aimed(self.cell), target())

    def call(self, method: str, /, **kwargs: Any) -> Any:
        return self.client.call(self.aimed(self.cell), method, **kwargs)

    def test_values_come_back_as_json_has_them(self) -> None:
        for value in (None, 0, '', [], {'a': [1, 'é']}, 1.5, False):
            self.assertEqual(value, self.call('echo', value=value))

    def test_a_workers_builtin_exception_is_the_callers(self) -> None:
        for kind in (ValueError, OSError, ConnectionRefusedError,
                     TimeoutError):  # fmt: skip
            error = self.assertRaises(
                kind, self.call, 'fail', kind=kind.__name__
            )
            self.assertIs(kind, type(error))
            self.assertIn('the worker says no', str(error))
        # And the transport is as good as before.
        self.assertEqual('cell1', self.call('who'))

    def test_other_exceptions_are_remote_errors(self) -> None:
        error = self.assertRaises(
            oslo_messaging.RemoteError,
            self.call,
            'fail',
            kind='TestFailed',
        )
        self.assertEqual('TestFailed', error.exc_type)

    def test_cellplugs_own_exceptions_arrive_as_such(self) -> None:
        error = self.assertRaises(
            exception.CellplugError, self.call, 'fail', kind='CellplugError'
        )
        self.assertIn('the worker says no', str(error))

    def test_a_method_that_is_not_there(self) -> None:
        error = self.assertRaises(
            oslo_messaging.RemoteError, self.call, 'nothing'
        )
        self.assertEqual('NoSuchMethod', error.exc_type)

    def test_nobody_answers_in_time(self) -> None:
        client = self.client.prepare(topic='nobody', timeout=0.5)
        error = self.assertRaises(
            exception.RPCTimeout, client.call, self.aimed(self.cell), 'who'
        )
        for word in (self.cell.name, self.cell.uuid, "'who'", '0.5 s'):
            self.assertIn(word, str(error))
        self.assertEqual(0.5, error.seconds)

    def test_a_worker_that_gives_no_sign_of_life(self) -> None:
        client = self.client.prepare(
            topic='nobody', timeout=DEADLINE, call_monitor_timeout=2
        )
        error = self.assertRaises(
            exception.RPCTimeout, client.call, self.aimed(self.cell), 'who'
        )
        self.assertEqual(2, error.seconds)

    def test_a_worker_that_gives_signs_of_life_is_waited_for(self) -> None:
        worker = Worker('slow')
        self.serve(self.cell, worker, topic='slow')
        client = self.client.prepare(
            topic='slow', timeout=DEADLINE, call_monitor_timeout=3
        )
        # Longer than call_monitor_timeout: only the signs keep it alive.
        threading.Timer(4, worker.release.set).start()
        self.assertEqual('slow', client.call(self.aimed(self.cell), 'wait'))

    def test_versions_above_the_cap_are_not_sent(self) -> None:
        capped = self.client.prepare(version_cap='1.3')
        self.assertTrue(capped.can_send_version('1.3'))
        self.assertFalse(capped.can_send_version('1.4'))
        self.assertFalse(capped.can_send_version('2.0'))
        self.assertTrue(capped.prepare(version='1.1').can_send_version())
        self.assertRaises(
            oslo_messaging.rpc.client.RPCVersionCapError,
            capped.prepare(version='1.4').call,
            self.aimed(self.cell),
            'who',
        )

    def test_a_worker_without_the_version_says_so(self) -> None:
        error = self.assertRaises(
            oslo_messaging.RemoteError,
            self.client.prepare(version='7.0').call,
            self.aimed(self.cell),
            'who',
        )
        self.assertEqual('UnsupportedVersion', error.exc_type)


class AllowedExceptionsTest(RPCCase):
    def deploy(self, **values: Any) -> deployment.DeploymentFixture:
        return super().deploy(router={'allowed_remote_exmods': (__name__,)})

    def test_a_workers_own_exception_is_the_callers(self) -> None:
        cell = self.deployment.cells[0]
        self.serve(cell)
        error = self.assertRaises(
            TestFailed,
            self.call,
            cell,
            'fail',
            kind='TestFailed',
        )
        self.assertIn('the worker says no', str(error))
