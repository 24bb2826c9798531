"""Databases that are down, silent, or frozen: bounded, named, one alone."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
import traceback
import uuid

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from pymysql import connections as pymysql_connections

import cellplug
from cellplug import exception
from cellplug.db import mysql
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import services
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_silent
from tests.functional import helpers_tls

SECRET = 'hunter2-is-secret'
BOUNDS = {
    'cell_database.connect_timeout': 2,
    'cell_database.read_timeout': 2,
    'cell_database.write_timeout': 2,
    'cell_database.pool_timeout': 30,
}
GENEROUS = 15.0
"""Seconds: several times one timeout, a fraction of many in a row."""


def mapping(url, name='dead'):
    """A cell at this URL that only this process knows of."""
    return cellplug.CellMapping(
        uuid=str(uuid.uuid4()),
        name=name,
        database_connection=url,
        transport_url='none:///',
        generation=1,
    )


class UnreachableTests:
    """What a caller sees of a cell that cannot be reached."""

    def setUp(self):
        super().setUp()
        self.deploy(1, options=BOUNDS)

    def _url(self, **changes):
        url = sa.make_url(self.deployment.cells[0].database_connection)
        changed = url.set(**{'password': SECRET, **changes})
        return changed.render_as_string(hide_password=False)

    def _fails(self, url, call=None, expected=exception.CellUnavailable):
        cell = mapping(url)
        cctxt = self.targeted(cell)
        error = self.assertRaises(expected, call or self.words, cctxt)
        self.assertEqual(cell.uuid, error.cell_uuid)
        self.assertEqual('dead', error.cell_name)
        self.assertIn(cell.uuid, str(error))
        self.assertIn("'dead'", str(error))
        self.assertTrue(error.before_first_statement)
        shown = ''.join(traceback.format_exception(error))
        for text in (str(error), repr(error), error.reason, shown):
            self.assertNotIn(SECRET, text)
        return error

    def _for_all_ways_in(self, url):
        self._fails(url)
        self._fails(url, self.words_alone)
        self._fails(url, lambda cctxt: self.add(cctxt, 'x'))
        self._fails(url, self._enter)

    def _enter(self, cctxt):
        with self.database.writer.using(cctxt):
            raise AssertionError('entered')

    def test_refused_port(self):
        self._for_all_ways_in(self._url(port=helpers_silent.free_port()))

    def test_wrong_password(self):
        self._for_all_ways_in(self._url())

    def test_unknown_database(self):
        real = sa.make_url(self.deployment.cells[0].database_connection)
        self._for_all_ways_in(
            self._url(database='cellplug_nowhere', password=real.password)
        )

    def test_unknown_host(self):
        self._fails(self._url(host='nowhere.invalid'))

    def test_silent_server(self):
        server = self.useFixture(helpers_silent.SilentServer())
        began = time.monotonic()
        self._fails(self._url(port=server.port))
        self._fails(
            self._url(port=server.port),
            lambda cctxt: self.add(cctxt, 'x'),
        )
        self.assertLess(time.monotonic() - began, 2 * GENEROUS)
        self.assertGreater(server.accepted, 0)

    def test_threads_wait_for_a_silent_server_side_by_side(self):
        server = self.useFixture(helpers_silent.SilentServer())
        self.deploy(
            1,
            options={
                **BOUNDS,
                'cell_database.max_pool_size': 16,
                'cell_database.max_overflow': 0,
            },
        )
        cell = mapping(self._url(port=server.port))

        def use():
            self.assertRaises(
                exception.CellUnavailable, self.words, self.targeted(cell)
            )

        began = time.monotonic()
        with contextlib.ExitStack() as threads:
            for _ in range(16):
                threads.enter_context(helpers.Background(use))
            # Nor are the others kept waiting meanwhile.
            self.assertEqual(['cell1'], self.words(self.targeted('cell1')))
        self.assertLess(time.monotonic() - began, GENEROUS)

    def test_api_database_is_named_as_such(self):
        self.deployment.conf.set_override(
            'connection',
            self._url(port=helpers_silent.free_port()),
            'api_database',
        )
        other = cellplug.Database()
        with self.deployment.open_router(other) as router:
            for call in (
                lambda: router.target_cell(self.context(), 'cell1'),
                lambda: router.target_instance(
                    self.context(), str(uuid.uuid4())
                ),
                router.cells.list,
                lambda: router.instances.map(
                    self.context(), str(uuid.uuid4()), 'cell1'
                ),
            ):
                error = self.assertRaises(exception.DatabaseUnavailable, call)
                self.assertNotIsInstance(error, exception.CellUnavailable)
                self.assertIn('the API database', str(error))
                shown = ''.join(traceback.format_exception(error))
                self.assertNotIn(SECRET, shown)

    def test_cell_that_is_down_is_not_created(self):
        url = self._url(port=helpers_silent.free_port())
        error = self.assertRaises(
            exception.CellUnavailable,
            lambda: self.router.cells.create(
                name='new', database_connection=url, transport_url='none:///'
            ),
        )
        self.assertEqual('new', error.cell_name)
        self.assertNotIn(SECRET, str(error))
        self.assertEqual(1, len(self.router.cells.list()))

    def test_run_repeats_a_connect_that_failed_before_anything(self):
        cell = self.deployment.cells[0]
        instance = str(uuid.uuid4())
        self.router.instances.map(self.context(), instance, 'cell1')
        calls = []

        def work(cctxt):
            calls.append(1)
            if len(calls) == 1:
                return self.words(self.targeted(dead, cctxt))
            return self.words(cctxt)

        dead = mapping(self._url(port=helpers_silent.free_port()))
        self.assertEqual(
            ['cell1'], self.router.run(self.context(), instance, work)
        )
        self.assertEqual(2, len(calls))
        self.assertEqual('cell1', cell.name)


class TimeoutTests:
    """Statements that take too long."""

    def test_slow_statement_is_ended_and_not_repeated(self):
        self.deploy(1, options=BOUNDS)
        calls = []

        @self.database.reader
        def read(context):
            calls.append(1)
            context.session.execute(sa.text(self.sleep))

        began = time.monotonic()
        error = self.assertRaises(
            exception.CellUnavailable, read, self.targeted('cell1')
        )
        self.assertLess(time.monotonic() - began, GENEROUS)
        self.assertFalse(error.before_first_statement)
        self.assertEqual(1, len(calls))
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))


class FrozenTests:
    """A server of the test's own: stopped, killed, restarted."""

    kind: type[services.Service]

    def setUp(self):
        super().setUp()
        fixture = cellplug_fixtures.ServiceFixture(self.kind)
        self.service = self.useFixture(fixture).service
        self.deploy(1, options={**BOUNDS, 'cell_database.ping_after': 3600})
        url = self.service.create_database('frozen')
        helpers.make_notes(url, 'frozen')
        self.cell = self.deployment.add_cell('frozen', database_connection=url)
        self.cctxt = self.targeted(self.cell)
        self.addCleanup(self._thaw)

    def _thaw(self):
        if self.service.running:
            self.service.thaw()

    def test_frozen_server_is_given_up_in_time(self):
        self.words(self.cctxt)
        self.words_alone(self.cctxt)
        self.service.freeze()
        began = time.monotonic()
        for use in (self.words, self.words_alone, self._add):
            error = self.assertRaises(
                exception.CellUnavailable, use, self.cctxt
            )
            self.assertEqual('frozen', error.cell_name)
        self.assertLess(time.monotonic() - began, 3 * GENEROUS)
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))
        self.service.thaw()
        self.assertEqual(['frozen'], self.words(self.cctxt))

    def _add(self, cctxt):
        self.add(cctxt, 'x')

    def test_server_that_freezes_inside_a_transaction(self):
        with self.database.writer.using(self.cctxt) as session:
            helpers.add(self.cctxt, 'lost')
            self.service.freeze()
            began = time.monotonic()
            self.assertRaises(
                oslo_exception.DBConnectionError,
                session.execute,
                sa.text('SELECT 1'),
            )
            self.assertLess(time.monotonic() - began, GENEROUS)
            self.service.thaw()
            with contextlib.suppress(Exception):
                session.rollback()
        self.assertEqual(
            ['frozen'], helpers.stored(self.cell.database_connection)
        )

    def test_freezing_at_commit_is_an_error_that_may_not_be_repeated(self):
        def write():
            with self.database.writer.using(self.cctxt):
                helpers.add(self.cctxt, 'x')
                self.service.freeze()

        began = time.monotonic()
        error = self.assertRaises(exception.CellUnavailable, write)
        self.assertLess(time.monotonic() - began, GENEROUS)
        self.assertFalse(error.before_first_statement)

    def test_router_closes_in_time_while_the_server_is_frozen(self):
        self.words(self.cctxt)
        self.words_alone(self.cctxt)
        self.service.freeze()
        began = time.monotonic()
        self.router.close()
        self.assertLess(time.monotonic() - began, GENEROUS)

    def test_restarted_server_is_used_by_the_next_request(self):
        self.words(self.cctxt)
        self.words_alone(self.cctxt)
        self.service.restart()
        self.assertEqual(['frozen'], self.words(self.cctxt))
        self.assertEqual(['frozen'], self.words_alone(self.cctxt))

    def test_server_that_is_down_and_comes_back(self):
        self.words(self.cctxt)
        self.service.kill()
        error = self.assertRaises(
            exception.CellUnavailable, self.words, self.cctxt
        )
        self.assertTrue(error.before_first_statement)
        self.service.start()
        self._add(self.cctxt)
        self.assertEqual(['frozen', 'x'], self.words(self.cctxt))


class TestUnreachableOnMariaDB(
    UnreachableTests, TimeoutTests, helpers.DeploymentTestCase
):
    backend = 'mariadb'
    sleep = 'SELECT SLEEP(20)'

    def test_server_that_falls_silent_while_one_logs_in(self):
        self.deploy(1, options=BOUNDS | {'cell_database.read_timeout': 3600})
        for greeting in (b'', helpers_silent.GREETING):
            server = self.useFixture(helpers_silent.SilentServer(greeting))
            cell = mapping(self._url(port=server.port))
            reason = helpers.in_thread(self._reason, self.targeted(cell))
            self.assertIn('timed out', reason)

    def _reason(self, cctxt):
        return self.assertRaises(
            exception.CellUnavailable, self.words, cctxt
        ).reason


class TestUnreachableOnPostgreSQL(
    UnreachableTests, TimeoutTests, helpers.DeploymentTestCase
):
    backend = 'postgresql'
    sleep = 'SELECT pg_sleep(20)'

    def test_refused_connection_is_recognised_by_name(self):
        error = self._fails(self._url(port=helpers_silent.free_port()))
        self.assertIn('refused', error.reason.lower())


class TestFrozenMariaDB(FrozenTests, helpers.DeploymentTestCase):
    kind = services.MariaDB

    def test_server_that_does_not_take_a_long_statement(self):
        """More than the sockets' buffers hold: the sender has to wait."""
        with self.database.writer.using(self.cctxt) as session:
            self.service.freeze()
            error = self.assertRaises(
                oslo_exception.DBConnectionError,
                helpers.in_thread,
                session.execute,
                sa.text(f"SELECT LENGTH('{'x' * 15_000_000}')"),
            )
            self.assertIn('timed out', str(error))
            self.service.thaw()
            with contextlib.suppress(Exception):
                session.rollback()
        self.assertEqual(['frozen'], self.words(self.cctxt))


class TestFrozenPostgreSQL(FrozenTests, helpers.DeploymentTestCase):
    kind = services.PostgreSQL


class TestTLSOfMariaDB(helpers.DeploymentTestCase):
    """TLS is what the URL asks for, and its context is built once."""

    backend = 'mariadb'

    def test_private_names_that_are_overridden_exist(self):
        # cellplug.db.mysql stands on them: see there.
        self.assertTrue(
            callable(pymysql_connections.Connection._create_ssl_ctx)
        )
        plain = pymysql_connections.Connection(
            defer_connect=True, read_timeout=3, write_timeout=4
        )
        self.assertEqual((3, 4), (plain._read_timeout, plain._write_timeout))
        self.assertTrue(callable(plain._write_bytes))

    def test_connection_that_is_opened_again_has_its_bounds_again(self):
        self.deploy(1, options=BOUNDS)
        url = sa.make_url(self.deployment.cells[0].database_connection)
        driver = mysql.Connection(
            shared=mysql.Shared(),
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            database=url.database,
            ssl_disabled=True,
            read_timeout=3,
            write_timeout=4.5,
        )
        self.addCleanup(driver.close)
        for _ in range(2):
            for option, wanted in (
                (socket.SO_RCVTIMEO, (3, 0)),
                (socket.SO_SNDTIMEO, (4, 500_000)),
            ):
                raw = driver._sock.getsockopt(socket.SOL_SOCKET, option, 16)
                self.assertEqual(wanted, struct.unpack('ll', raw))
            driver.close()
            driver.connect()

    def test_url_with_options_of_its_own_gets_its_own_context(self):
        self.deploy(1)
        shared = mysql.Shared()
        own = mysql.Connection(
            shared=shared, defer_connect=True, ssl_verify_cert=True
        )
        plain = mysql.Connection(shared=shared, defer_connect=True)
        self.assertIsNot(own.ctx, plain.ctx)
        self.assertTrue(own._ssl_required)
        self.assertFalse(plain._ssl_required)

    def test_shared_context_is_as_strict_as_the_drivers_own(self):
        shared = mysql.Connection(shared=mysql.Shared(), defer_connect=True)
        plain = pymysql_connections.Connection(defer_connect=True)
        for name in (
            'check_hostname',
            'maximum_version',
            'minimum_version',
            'options',
            'protocol',
            'verify_mode',
        ):
            self.assertEqual(
                getattr(plain.ctx, name), getattr(shared.ctx, name), name
            )

    def _connections(self, cell):
        """Two new connections to a cell."""
        engine = self.database.get_engine(self.targeted(cell))
        with engine.connect() as one, engine.connect() as two:
            for connection in (one, two):
                yield connection, connection.connection.dbapi_connection

    def _cell(self, url, query):
        """The cell, at a URL with this query."""
        return self.router.cells.update(
            'cell1', database_connection=url.partition('?')[0] + query
        )

    def _cipher(self, connection):
        statement = sa.text("SHOW STATUS LIKE 'Ssl_cipher'")
        return connection.execute(statement).one()[1]

    def test_server_without_tls_works_and_can_be_demanded_to_have_it(self):
        self.deploy(1)
        cell = self.deployment.cells[0]
        url = cell.database_connection
        found = list(self._connections(cell))
        self.assertEqual(1, len({id(raw.ctx) for _, raw in found}))
        for query in ('?ssl_verify_cert=true', '?ssl_ca=/nowhere'):
            self._cell(url, query)
            error = self.assertRaises(
                (exception.CellUnavailable, OSError),
                self.words,
                self.targeted('cell1'),
            )
            self.assertRegex(str(error), 'SSL|No such file')

    def test_server_with_tls_is_spoken_to_in_tls(self):
        fixture = cellplug_fixtures.ServiceFixture(helpers_tls.TLSMariaDB)
        service = self.useFixture(fixture).service
        self.deploy(1)
        url = service.create_database('tls')
        helpers.make_notes(url, 'tls')
        ca = f'ssl_ca={service.certificate}'
        for query, encrypted, shared in (
            ('?charset=utf8mb4', True, True),
            (f'?{ca}', True, False),
            (f'?{ca}&ssl_check_hostname=true', True,
             False),
            ('?ssl_disabled=1', False, None),
        ):  # fmt: skip
            cell = self._cell(url, query)
            contexts = set()
            for connection, raw in self._connections(cell):
                self.assertEqual(encrypted, bool(self._cipher(connection)))
                contexts.add(getattr(raw, 'ctx', None))
            if shared is not None:
                self.assertEqual(1 if shared else 2, len(contexts), query)
            self.assertEqual(['tls'], self.words(self.targeted('cell1')))

    def test_certificate_that_is_not_trusted_is_refused(self):
        fixture = cellplug_fixtures.ServiceFixture(helpers_tls.TLSMariaDB)
        service = self.useFixture(fixture).service
        self.deploy(1)
        url = service.create_database('tls')
        helpers.make_notes(url, 'tls')
        self._cell(url, '?charset=utf8mb4')
        self._cell(url, '?ssl_verify_cert=true')
        error = self.assertRaises(
            exception.CellUnavailable, self.words, self.targeted('cell1')
        )
        self.assertIn('certificate', str(error).lower())
