"""Rotating a cell's credentials under load: nobody notices."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import pathlib
import threading
import uuid

import kombu
import sqlalchemy as sa
import testtools
from fixtures import TempDir

import cellplug
from cellplug import rpc
from cellplug.cells import draining
from cellplug.cmd import app
from cellplug.testing import deployment
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_rotation

LOG = logging.getLogger(__name__)

FOLLOW = 1.0
THREADS = 3
"""Those that work at the same time on the database of one process."""

CONNECTIONS = 4
"""To the broker: service and worker send on one and hear on another."""


class Endpoint:
    """A worker of a cell: it writes and reads there."""

    def __init__(self, database):
        self._add = database.writer(helpers.add)

    def note(self, context, word):
        self._add(context, word)
        return word


class Process:
    """What one process of a service has: a router, and its functions."""

    def __init__(self, database, router):
        self.database = database
        self.router = router
        self.add = database.writer(helpers.add)
        self.words = database.reader(count)

    def close(self):
        self.router.close()


def count(context):
    return len(helpers.words(context))


class RotationTestCase(testtools.TestCase):
    """A cell with accounts of its own, a service and a worker."""

    backend = 'mariadb'
    options = {}  # noqa: RUF012 (read only)

    def setUp(self):
        super().setUp()
        self.deployment = self.useFixture(
            deployment.DeploymentFixture(
                self.backend,
                1,
                queues='rabbitmq',
                options={
                    'cells.follow_interval': FOLLOW,
                    'rpc.call_timeout': 5,
                    'rpc.stop_timeout': 4,
                    'rpc.server_threads': 1,
                    'cell_database.max_pool_size': THREADS,
                    **self.options,
                },
            )
        )
        (cell,) = self.deployment.cells
        helpers.make_notes(cell.database_connection)
        self.accounts = self.useFixture(
            helpers_rotation.Accounts(cell.database_connection)
        )
        self.broker = self.useFixture(
            helpers_rotation.BrokerAccounts(cell.transport_url)
        )
        # Before the accounts go.
        self.addCleanup(self.deployment._close_routers)
        self.cell = self.deployment.router.cells.update(
            cell,
            database_connection=self.accounts.add(),
            transport_url=self.broker.add(),
        )
        self.instance = str(uuid.uuid4())
        self.deployment.router.instances.map(
            self.deployment.context(), self.instance, self.cell
        )
        self.config = (
            pathlib.Path(self.useFixture(TempDir()).path) / 'cellplug.conf'
        )
        self.config.write_text(
            f'[api_database]\nconnection = {self.deployment.api_url}\n'
            f'[cells]\nfollow_interval = {FOLLOW}\n'
            '[rpc]\ncall_timeout = 5\nstop_timeout = 4\n'
        )

    def process(self):
        database = cellplug.Database()
        return Process(database, self.deployment.open_router(database))

    def targeted(self, process):
        """A context that is kept, whatever becomes of the cell."""
        context = self.deployment.context()
        with process.router.target_cell(context, self.cell.uuid) as cctxt:
            return cctxt

    def serve(self, process):
        server = process.router.rpc_server(
            self.cell.uuid,
            rpc.Target(topic='notes', server='worker'),
            [Endpoint(process.database)],
        )
        server.start()
        return server

    def client(self, process, cctxt):
        return process.router.rpc_client(cctxt, rpc.Target(topic='notes'))

    def rotate(self, *argv, stdin=''):
        """Run the command as an operator does."""
        out, err = io.StringIO(), io.StringIO()
        program = app.App(io.StringIO(stdin), out, err)
        code = program.run(
            ['--config-file', str(self.config), 'cell', 'rotate',
             self.cell.name, '-f', 'json', *argv]
        )  # fmt: skip
        return code, out.getvalue(), err.getvalue()


class UnderLoadMixin:
    def work(self, service):
        """What the service's threads do, over and over."""
        kept = self.targeted(service)

        def write():
            service.add(kept, 'kept')

        def read():
            service.words(kept)

        def run():
            context = self.deployment.context()
            service.router.run(context, self.instance, service.add, 'run')

        client = self.client(service, kept)

        def call():
            client.call(kept, 'note', word='called')

        assert THREADS == 3
        return [write, read, run], call

    def census(self, service):
        """Each account's sessions in the database, all threads at work."""
        full = threading.Barrier(THREADS + 1, timeout=helpers.PATIENCE)

        def hold():
            cctxt = self.targeted(service)
            with service.database.writer.using(cctxt):
                helpers.words(cctxt)
                full.wait()
                full.wait()

        threads = [
            threading.Thread(target=hold, daemon=True) for _ in range(THREADS)
        ]
        for one in threads:
            one.start()
        full.wait()
        try:
            return self.accounts.count()
        finally:
            full.wait()
            for one in threads:
                one.join(helpers.PATIENCE)

    def assert_connected(self, url):
        """Nothing but all the connections that are needed, by one account.

        The broker's management tells of new ones late, but not of a later
        one before an earlier one: of one that is opened last it is waited.
        """
        user = helpers_rotation.user_of(self.broker.url)
        last = kombu.Connection(self.broker.url.replace('rabbit', 'amqp', 1))
        with last:
            last.connect()
            databases.poll_until(
                lambda: self.broker.count().get(user), 'it was never told'
            )
            self.assertEqual(
                {helpers_rotation.user_of(url): CONNECTIONS, user: 1},
                self.broker.count(),
            )

    def loaded(self, service):
        """The work, and the census behind it, once it is quiet."""
        calls, call = self.work(service)
        return helpers_rotation.Load(*calls, call)

    def test_no_request_fails_and_connections_are_as_before(self):
        service, worker = self.process(), self.process()
        self.serve(worker)
        with self.loaded(service) as before:
            before.reach(100)
        sessions = self.census(service)
        self.assert_connected(self.cell.transport_url)
        former = (self.cell.database_connection, self.cell.transport_url)
        later = self.accounts.add(), self.broker.add()
        with self.loaded(service) as load:
            load.reach(50)
            code, out, err = self.rotate(
                '--database-connection', '-', '--transport-url', '-',
                stdin='\n'.join(later) + '\n',
            )  # fmt: skip
            told = load.done
            self.assertEqual(0, code, err)
            ended = self.accounts.drop(helpers_rotation.user_of(former[0]))
            left = self.broker.count().get(
                helpers_rotation.user_of(former[1]), 0
            )
            self.broker.drop(helpers_rotation.user_of(former[1]))
            load.reach(200)
        self.assertEqual([], before.failures + load.failures)
        self.assertEqual((0, 0), (ended, left), 'somebody used the old ones')
        now_sessions = self.census(service)
        renamed = {
            helpers_rotation.user_of(old): helpers_rotation.user_of(new)
            for old, new in zip(former, later, strict=True)
        }
        self.assertEqual(
            {renamed[user]: n for user, n in sessions.items()}, now_sessions
        )
        self.assert_connected(later[1])
        shown = json.loads(out)
        self.assertTrue(shown['revocable'])
        self.assertEqual(0, shown['sessions'])
        for secret in (*former, *later):
            self.assertNotIn(helpers_rotation.password_of(secret), out + err)
        LOG.info(
            '%s: %d requests beside the rotation (%d until the command was '
            'done), %d failures; sessions %s -> %s\n%s',
            self.backend,
            load.done,
            told,
            len(load.failures),
            sessions,
            now_sessions,
            err,
        )


class CommandMixin:
    """What the command finds before and after it writes."""

    def stored(self):
        return self.deployment.router.cells.get(self.cell.name)

    def assertRefused(self, url, *words):
        code, out, err = self.rotate(
            '--database-connection', '-', stdin=f'{url}\n'
        )
        self.assertEqual((1, ''), (code, out), err)
        for word in (*words, 'nothing was written'):
            self.assertIn(word, err)
        self.assertNotIn(helpers_rotation.password_of(url), err)
        self.assertEqual(self.cell, self.stored())

    def test_an_account_that_may_do_less_is_refused(self):
        for what in ('DELETE', 'INSERT'):
            url = self.accounts.add(but=what)
            self.assertRefused(url, f'{what} on note')

    def test_a_wrong_password_is_refused(self):
        url = self.accounts.add()
        wrong = url.replace(helpers_rotation.password_of(url), 'not-it-22')
        self.assertRefused(wrong, 'unavailable')

    def test_connections_that_are_left_are_told(self):
        service = self.process()
        cctxt = self.targeted(service)
        url = self.accounts.add()
        with service.database.writer.using(cctxt):
            helpers.add(cctxt, 'long')
            code, out, err = self.rotate(
                '--database-connection', url, '--wait', str(FOLLOW + 3)
            )
            self.assertEqual(1, code, err)
            self.assertIn('do not revoke', err)
            shown = json.loads(out)
            self.assertEqual(1, shown['sessions'])
            self.assertFalse(shown['revocable'])
            self.assertEqual(url, self.stored().database_connection)
        # It ended where it began, and who comes later is elsewhere.
        self.assertEqual(1, service.words(cctxt))
        databases.poll_until(
            lambda: (
                list(self.accounts.count()) == [helpers_rotation.user_of(url)]
            ),
            'the former account keeps a session',
        )

    def drain(self, *steps):
        """Wait for the former account with a clock of the test's own.

        :param steps: done one by one, instead of sleeping.
        """
        clock = itertools.count()
        waiting = iter(steps)
        drain = draining.Drain(
            self.deployment.router.conf,
            self.cell,
            {'database_connection': self.accounts.add()},
            timer=lambda: next(clock),
            sleep=lambda _: next(waiting, lambda: None)(),
        )
        seen = []
        return drain.wait(20, seen.append), [one.sessions for one in seen]

    def test_who_counts_goes_on_after_a_lost_connection(self):
        """As when the server is restarted."""
        former = self.cell.database_connection
        others = contextlib.ExitStack()
        self.addCleanup(others.close)

        def restart():
            self.accounts.kill(helpers_rotation.user_of(former))
            others.enter_context(helpers.past_cellplug(former)).execute(
                sa.text('SELECT 1')
            )

        found, seen = self.drain(restart)
        self.assertEqual((1, False), (found.sessions, found.drained))
        self.assertEqual([0, 1], seen)

    def test_an_account_may_be_dropped_while_its_sessions_are_counted(self):
        user = helpers_rotation.user_of(self.cell.database_connection)
        found, _ = self.drain(lambda: self.accounts.drop(user))
        self.assertEqual((None, True), (found.sessions, found.drained))

    def test_an_account_that_is_gone_already_can_be_replaced(self):
        """Rotated too late: the cell is brought back."""
        self.accounts.drop(
            helpers_rotation.user_of(self.cell.database_connection)
        )
        url = self.accounts.add()
        code, out, err = self.rotate('--database-connection', url)
        self.assertEqual(0, code, err)
        self.assertIsNone(json.loads(out)['sessions'])
        service = self.process()
        service.add(self.targeted(service), 'again')
        self.assertEqual(1, service.words(self.targeted(service)))


class TestMariaDB(UnderLoadMixin, CommandMixin, RotationTestCase):
    pass


class TestPostgreSQL(UnderLoadMixin, CommandMixin, RotationTestCase):
    backend = 'postgresql'
