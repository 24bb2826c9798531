"""One bad cell stays one bad cell: circuits open, are probed, and close."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid

import fixtures
import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from oslo_db.sqlalchemy import enginefacade

import cellplug
from cellplug import exception
from cellplug.cells import router as cells_router
from cellplug.testing import deployment
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import services
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_silent
from tests.functional import test_fork

SECRET = 'hunter2-is-secret'
QUICK = {
    'cell_database.connect_timeout': 2,
    'cell_database.read_timeout': 2,
    'cell_database.write_timeout': 2,
    'cells.breaker_threshold': 3,
    'cells.breaker_retry': 0.1,
    'cells.breaker_retry_max': 0.2,
}
SLOW = QUICK | {'cells.breaker_retry': 3600, 'cells.breaker_retry_max': 3600}
"""Nothing is probed while the test lasts."""


def mapping(url, name='dead', **values):
    """A cell at this URL that only this process knows of."""
    return cellplug.CellMapping(
        **{
            'uuid': str(uuid.uuid4()),
            'name': name,
            'database_connection': url,
            'transport_url': 'none:///',
            'generation': 1,
            **values,
        }
    )


class GuardTestCase(helpers.DeploymentTestCase):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))

    def _url(self, **changes):
        url = sa.make_url(self.deployment.cells[0].database_connection)
        return url.set(**changes).render_as_string(hide_password=False)

    def _health(self, cell):
        return self.router.health([cell])[cell.uuid].database

    def _fails(self, cctxt, times=1, call=None):
        """Call, and be told each time that the cell is unavailable."""
        return [
            self.assertRaises(
                exception.CellUnavailable, call or self.words, cctxt
            )
            for _ in range(times)
        ]

    def _refused(self, cctxt, call=None):
        error = self._fails(cctxt, call=call)[0]
        self.assertTrue(error.refused, str(error))
        self.assertIn('refused without asking', str(error))
        return error

    def _until_closed(self, cell):
        guard = self.router._registry.entry(cell.uuid).guard
        databases.poll_until(
            lambda: not guard.database.is_open, 'the circuit stays open'
        )

    def _dead(self):
        """The first cell, whose database is not where the mapping says."""
        self.cell = self.deployment.cells[0]
        return self.targeted(
            mapping(
                self._url(port=helpers_silent.free_port()),
                uuid=self.cell.uuid,
                name=self.cell.name,
                generation=self.cell.generation + 1,
            )
        )


class BreakerTests:
    """What requests see; on the servers that people use."""

    def test_after_some_failures_nobody_asks_any_more(self):
        self.deploy(2, options=SLOW)
        server = self.useFixture(helpers_silent.SilentServer())
        cell = mapping(self._url(port=server.port, password=SECRET))
        cctxt = self.targeted(cell)
        for error in self._fails(cctxt, 3):
            self.assertFalse(error.refused)
        asked = server.accepted
        for call in (
            self.words,
            self.words_alone,
            lambda context: self.add(context, 'x'),
            self.database.get_session,
            self.database.get_engine,
        ):
            error = self._refused(cctxt, call)
            self.assertEqual(cell.uuid, error.cell_uuid)
            self.assertTrue(error.before_first_statement)
        self.assertEqual(asked, server.accepted)
        self.assertEqual(['cell2'], self.words(self.targeted('cell2')))
        self.assertNotIn(SECRET, self.log.output)
        self.assertNotIn(SECRET, repr(self.router.health([cell])))
        self.assertEqual(1, self.log.output.count('not asked any more'))

    def test_a_cell_that_works_again_is_found_by_the_probe(self):
        self.deploy(1, options=QUICK)
        cctxt = self._dead()
        self._fails(cctxt, 3)
        # Where the resolver says, it was all the time.
        self.router.cells.update('cell1', name='mended')
        self._until_closed(self.cell)
        self.assertEqual(['cell1'], self.words(cctxt))

    def test_wrong_password_is_a_failure_and_not_told(self):
        self.deploy(1, options=SLOW)
        cell = mapping(self._url(password=SECRET))
        cctxt = self.targeted(cell)
        self._fails(cctxt, 3)
        self._refused(cctxt)
        self.assertNotIn(SECRET, repr(self._health(cell)))
        self.assertNotIn(SECRET, self.log.output)

    def test_another_cells_database_is_a_failure(self):
        self.deploy(2, options=SLOW)
        cell = mapping(self._url())
        cctxt = self.targeted(cell)
        for _ in range(3):
            self.assertRaises(
                exception.CellIdentityMismatch, self.words, cctxt
            )
        error = self._refused(cctxt)
        self.assertIn(self.deployment.cells[0].uuid, str(error))
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))

    def test_slow_statements_are_failures(self):
        self.deploy(1, options=SLOW)
        cctxt = self.targeted('cell1')

        @self.database.reader
        def sleep(context):
            context.session.execute(sa.text(self.sleep))

        self._fails(cctxt, 3, sleep)
        self._refused(cctxt)

    def test_the_server_ends_a_statement_that_is_given_up(self):
        self.deploy(1, options=SLOW)

        @self.database.reader
        def sleep(context):
            context.session.execute(sa.text(self.sleep))

        self._fails(self.targeted('cell1'), 1, sleep)
        url = self.deployment.cells[0].database_connection
        with helpers.past_cellplug(url) as connection:
            running = list(connection.scalars(sa.text(self.running)))
        self.assertEqual([], running)

    def test_what_is_the_services_own_is_no_failure(self):
        self.deploy(1, options=SLOW)
        cctxt = self.targeted('cell1')
        self.add(cctxt, 'one')

        def fails(statement, expected):
            with self.assertRaises(expected):
                with self.database.writer.using(cctxt) as session:
                    session.execute(sa.text('SELECT 1'))
                    if statement is None:
                        raise ValueError
                    session.execute(sa.text(statement))

        for statement in (
            None,
            'SELECT nonsense',
            "INSERT INTO note (id, word) VALUES (1, 'twice')",
        ):
            for _ in range(4):
                fails(statement, Exception)
        found = self._health(self.deployment.cells[0])
        self.assertEqual(0, found.failures)
        self.assertEqual('closed', found.state)

    def test_errors_of_the_service_do_not_hide_failures(self):
        """A block that never asked says nothing of the database."""
        self.deploy(1, options=SLOW)
        cctxt = self.targeted('cell1')
        self.words(cctxt)
        guard = self.router._registry.entry(
            self.deployment.cells[0].uuid
        ).guard
        guard.database.failed(ValueError())
        with contextlib.suppress(KeyError):
            with self.database.reader.using(cctxt):
                raise KeyError
        self.assertEqual(1, guard.database.health().failures)
        self.words(cctxt)
        self.assertEqual(0, guard.database.health().failures)

    def test_a_database_of_the_services_own_is_not_the_cells_trouble(self):
        self.deploy(1, options=SLOW)
        url = self._url(port=helpers_silent.free_port())
        own = enginefacade.transaction_context()
        own.configure(connection=url, max_retries=0)

        def ask():
            with self.database.reader.using(self.targeted('cell1')) as cell:
                cell.execute(sa.text('SELECT 1'))
                own.reader.get_engine().connect()

        lost = oslo_exception.DBConnectionError, sa.exc.OperationalError
        for _ in range(3):
            self.assertRaises(lost, ask)
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))
        self.assertEqual(0, self._health(self.deployment.cells[0]).failures)

    def test_pooled_connections_that_died_do_not_open_it(self):
        self.deploy(1, options=SLOW | {'cells.breaker_threshold': 1})
        cctxt = self.targeted('cell1')
        url = self.deployment.cells[0].database_connection
        for _ in range(3):
            self.words(cctxt)
            self.assertLess(0, helpers.kill_connections(url))
            self.assertEqual(['cell1'], self.words(cctxt))
        self.assertEqual(0, self._health(self.deployment.cells[0]).failures)

    def test_no_connection_free_in_time_is_a_failure(self):
        self.deploy(
            1,
            options=SLOW
            | {
                'cell_database.max_pool_size': 1,
                'cell_database.max_overflow': 0,
                'cell_database.pool_timeout': 0.1,
            },
        )
        with self.database.reader.using(self.targeted('cell1')):
            other = self.targeted('cell1')
            self._fails(other, 3)
            self._refused(other)

    def test_a_transaction_that_is_open_goes_on(self):
        self.deploy(1, options=SLOW)
        cell = self.deployment.cells[0]
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt):
            self.add(cctxt, 'one')
            guard = self.router._registry.entry(cell.uuid).guard
            for _ in range(3):
                guard.database.failed(ValueError())
            self._refused(self.targeted('cell1'))
            self.add(cctxt, 'two')
        self.assertEqual(
            ['cell1', 'one', 'two'], helpers.stored(cell.database_connection)
        )

    def test_an_edited_url_is_tried_at_once(self):
        self.deploy(1, options=SLOW)
        cctxt = self._dead()
        self._fails(cctxt, 3)
        self._refused(cctxt)
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'elsewhere')
        self.router.cells.update('cell1', database_connection=url)
        self.assertEqual(['elsewhere'], self.words(cctxt))

    def test_a_former_address_is_not_held_against_the_new_one(self):
        self.deploy(1, options=SLOW | {'cells.breaker_threshold': 1})
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'elsewhere')
        cctxt = self.targeted('cell1')
        self.assertRaises(exception.CellUnavailable, self._lose, cctxt, url)
        self.assertEqual(['elsewhere'], self.words(self.targeted('cell1')))

    def _lose(self, cctxt, url):
        """Work at the old address while the new one is written down."""
        old = self.deployment.cells[0].database_connection
        with self.database.reader.using(cctxt):
            self.words(cctxt)
            self.router.cells.update('cell1', database_connection=url)
            helpers.kill_connections(old)
            self.words(cctxt)

    def test_start_up_with_every_cell_down(self):
        """Nobody is asked: neither in the beginning, nor one for another."""
        self.deploy(4, options=SLOW)
        server = self.useFixture(helpers_silent.SilentServer())
        for number, cell in enumerate(self.deployment.cells):
            with self.database.api.writer.using(self.context()) as session:
                session.execute(
                    sa.text(
                        'UPDATE cell_mapping SET database_connection = :url, '
                        'generation = generation + 1 WHERE uuid = :uuid'
                    ),
                    {
                        'url': self._url(
                            port=server.port, database=f'gone{number}'
                        ),
                        'uuid': cell.uuid,
                    },
                )
        other = cellplug.Database()
        with self.deployment.open_router(other) as router:
            self.assertEqual(4, len(router.cells.list()))
            self.assertEqual(4, len(router.health()))
            self.assertEqual(0, server.accepted)


class ReplicaTests:
    def _replicated(self):
        self.deploy(1, options=SLOW)
        url = self._url(port=helpers_silent.free_port())
        self.router.cells.update('cell1', slave_connection=url)
        return self.targeted('cell1')

    def test_a_replica_that_is_down_is_passed_over(self):
        cctxt = self._replicated()
        for _ in range(5):
            self.assertEqual(['cell1'], self.words(cctxt))
            self.assertEqual(['cell1'], self.words_alone(cctxt))
        self.assertEqual(0, self._health(self.deployment.cells[0]).failures)
        self.assertEqual(1, self.log.output.count('is not read for a while'))

    def test_a_replica_is_read_while_the_primary_is_down(self):
        self.deploy(2, options=SLOW)
        one = self.deployment.cells[0]
        replica = self.deployment.cells[1]
        with helpers.past_cellplug(replica.database_connection) as connection:
            connection.execute(
                sa.text('UPDATE cell_identity SET cell_uuid = :uuid'),
                {'uuid': one.uuid},
            )
        cctxt = self.targeted(
            mapping(
                self._url(port=helpers_silent.free_port()),
                uuid=one.uuid,
                slave_connection=replica.database_connection,
                generation=one.generation + 1,
            )
        )
        self._fails(cctxt, 3, lambda context: self.add(context, 'x'))
        fresh = self.targeted(one)
        self._refused(fresh, lambda context: self.add(context, 'x'))
        self.assertEqual(['cell2'], self.words(self.targeted(one)))


class TestBreakerOnMariaDB(BreakerTests, ReplicaTests, GuardTestCase):
    backend = 'mariadb'
    sleep = 'SELECT SLEEP(20)'
    running = (
        'SELECT info FROM information_schema.processlist WHERE '
        "db = DATABASE() AND info LIKE 'SELECT SLEEP%'"
    )

    def test_a_server_that_talks_nonsense_is_a_failure(self):
        self.deploy(2, options=SLOW)
        for greeting in (
            b'\x0agarbage',
            b'\xff' * 40,
            b'HTTP/1.0 200\r\n\r\n',
        ):
            server = self.useFixture(helpers_silent.SilentServer(greeting))
            cctxt = self.targeted(mapping(self._url(port=server.port)))
            self._fails(cctxt, 3)
            self._refused(cctxt)


class TestBreakerOnPostgreSQL(BreakerTests, ReplicaTests, GuardTestCase):
    backend = 'postgresql'
    sleep = 'SELECT pg_sleep(20)'
    running = (
        'SELECT query FROM pg_stat_activity WHERE '
        "datname = current_database() AND state = 'active' "
        "AND query LIKE 'SELECT pg_sleep%'"
    )


class ServerTests:
    """A server of the test's own, which goes and comes back."""

    def setUp(self):
        super().setUp()
        fixture = cellplug_fixtures.ServiceFixture(self.kind)
        self.service = self.useFixture(fixture).service
        self.addCleanup(self._thaw)

    def _thaw(self):
        if self.service.running:
            self.service.thaw()

    def _cell(self):
        url = self.service.create_database('lone')
        helpers.make_notes(url, 'lone')
        return self.deployment.add_cell('lone', database_connection=url)

    def test_down_and_up_again(self):
        self.deploy(1, options=QUICK)
        cell = self._cell()
        cctxt = self.targeted(cell)
        self.words(cctxt)
        self.service.kill()
        databases.poll_until(
            lambda: self._fails(cctxt)[0].refused, 'it does not open'
        )
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))
        self.service.start()
        self._until_closed(cell)
        self.assertEqual(['lone'], self.words(cctxt))
        self.assertIn('is asked again', self.log.output)

    def test_frozen_threads_find_out_together(self):
        """What hangs costs each request one timeout, and then no more."""
        self.deploy(1, options=SLOW)
        cell = self._cell()
        contexts = [self.targeted(cell) for _ in range(6)]
        for cctxt in contexts:
            self.words(cctxt)
        self.service.freeze()
        race = databases.Race(
            *[lambda cctxt=cctxt: self.words(cctxt) for cctxt in contexts]
        )
        self.assertEqual(6, len(race.errors))
        self._refused(contexts[0])
        before = threading.active_count()
        for _ in range(100):
            self._refused(contexts[0])
        self.assertEqual(before, threading.active_count())


class TestServerOfMariaDB(ServerTests, GuardTestCase):
    kind = services.MariaDB
    backend = 'mariadb'


class TestServerOfPostgreSQL(ServerTests, GuardTestCase):
    kind = services.PostgreSQL
    backend = 'postgresql'


class TestProber(GuardTestCase):
    """In the background; on SQLite files, which can be taken away."""

    def _gone(self, options=QUICK):
        self.deploy(2, options=options)
        self.cell = self.deployment.cells[0]
        self.path = sa.make_url(self.cell.database_connection).database
        os.rename(self.path, self.path + '.away')
        self.cctxt = self.targeted(self.cell)
        self._fails(self.cctxt, 3)

    def _back(self):
        os.rename(self.path + '.away', self.path)

    @property
    def circuit(self):
        entry = self.router._registry.entry(self.cell.uuid)
        return entry.guard.database

    def _threads(self, name):
        return [t for t in threading.enumerate() if t.name == name]

    def test_it_is_probed_until_it_answers(self):
        self._gone()
        databases.poll_until(
            lambda: self.circuit.health().failures >= 6, 'it is not probed'
        )
        self._refused(self.cctxt)
        self._back()
        self._until_closed(self.cell)
        self.assertEqual(['cell1'], self.words(self.cctxt))
        databases.poll_until(
            lambda: not self._threads('cellplug-prober'), 'the prober stays'
        )

    def test_it_is_looked_up_before_it_is_probed(self):
        # Nobody else looks it up.
        self._gone(QUICK | {'cells.follow_interval': 0})
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'elsewhere')
        other = cellplug.Database()
        with self.deployment.open_router(other) as router:
            router.cells.update('cell1', database_connection=url)
        self._until_closed(self.cell)
        self.assertEqual(['elsewhere'], self.words(self.cctxt))

    def test_a_cell_that_was_deleted_is_probed_no_more(self):
        self._gone()
        other = cellplug.Database()
        with self.deployment.open_router(other) as router:
            router.cells.delete(self.cell)
        databases.poll_until(
            lambda: self.router._registry.entry(self.cell.uuid) is None,
            'the deletion is not noticed',
        )
        self.assertRaises(
            exception.CellMappingNotFound, self.words, self.cctxt
        )

    def test_a_cell_that_was_given_by_hand_is_not_taken_for_deleted(self):
        self.deploy(1, options=QUICK)
        # A file that is not there.
        cell = mapping(self.deployment.fresh_database(), name='by hand')
        cctxt = self.targeted(cell)
        self._fails(cctxt, 3)
        guard = self.router._registry.entry(cell.uuid).guard
        databases.poll_until(
            lambda: guard.database.health().failures >= 5, 'it is not probed'
        )
        self._refused(cctxt)
        self.targeted(cell)

    def test_a_cell_that_is_restored_comes_back(self):
        """For some time, the API database knew it no more."""
        self._gone(QUICK | {'cells.follow_interval': 0.2})
        registry = self.router._registry
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            rows = connection.execute(
                sa.text('SELECT * FROM cell_mapping WHERE uuid = :uuid'),
                {'uuid': self.cell.uuid},
            )
            row = dict(rows.mappings().one())
            connection.execute(
                sa.text('DELETE FROM cell_mapping WHERE uuid = :uuid'), row
            )
            databases.poll_until(
                lambda: registry.entry(self.cell.uuid) is None,
                'the deletion is not noticed',
            )
            self._back()
            names = ', '.join(row)
            values = ', '.join(f':{name}' for name in row)
            connection.execute(
                sa.text(
                    f'INSERT INTO cell_mapping ({names}) VALUES ({values})'
                ),
                row,
            )
        databases.poll_until(
            lambda: registry.entry(self.cell.uuid) is not None,
            'the cell does not come back',
        )
        self.assertEqual(['cell1'], self.words(self.cctxt))

    def test_a_probe_that_hangs_is_not_joined_by_another(self):
        self._gone()
        begun, end = threading.Semaphore(0), threading.Event()
        self.addCleanup(end.set)
        prober = self.router._parts.prober

        def hang(guard, circuit):
            if circuit is not self.circuit:
                return
            begun.release()
            end.wait(helpers.PATIENCE)
            raise ValueError

        prober._probe = hang
        self.assertTrue(begun.acquire(timeout=helpers.PATIENCE))
        for _ in range(3):
            report = self.router.health([self.cell], probe=True, timeout=0.2)[
                self.cell.uuid
            ]
            self.assertFalse(report.healthy)
            self.assertEqual('half-open', report.database.state)
            self.assertEqual(
                'no answer within 0.2 s', report.database.last_error
            )
        self._refused(self.cctxt)
        self.assertFalse(begun.acquire(blocking=False))
        self.assertEqual(1, len(self._threads('cellplug-probe')))
        began = time.monotonic()
        self.router.close()
        self.assertLess(time.monotonic() - began, helpers.PATIENCE / 2)

    def test_closing_the_router_ends_the_probing(self):
        self._gone()
        self.router.close()
        databases.poll_until(
            lambda: not self._threads('cellplug-prober'), 'the prober stays'
        )

    def test_a_child_of_a_fork_tries_for_itself(self):
        self._gone(SLOW)
        self._refused(self.cctxt)
        self._back()
        self.assertEqual(
            ['cell1'], test_fork.in_child(lambda: self.words(self.cctxt))
        )
        self._refused(self.cctxt)

    def test_a_child_probes_what_opens_in_the_child(self):
        self._gone(QUICK)

        def child():
            self._fails(self.cctxt, 3)
            self._refused(self.cctxt)
            self._back()
            self._until_closed(self.cell)
            return self.words(self.cctxt)

        self.assertEqual(['cell1'], test_fork.in_child(child))


class TestHealth(GuardTestCase):
    def test_cells_that_were_used_and_cells_that_were_not(self):
        self.deploy(2, options=SLOW)
        cctxt = self.targeted('cell1')
        for _ in range(3):
            self.words(cctxt)
        report = self.router.health()
        one, two = (report[cell.uuid] for cell in self.deployment.cells)
        self.assertTrue(one.healthy)
        self.assertTrue(two.healthy)
        self.assertEqual(3, one.database.requests)
        self.assertLess(0, one.database.latency_p50)
        self.assertLessEqual(
            one.database.latency_p50, one.database.latency_p99
        )
        self.assertEqual(0, two.database.requests)
        self.assertEqual(0, one.connections_busy)
        self.assertEqual(10, one.connections_max)
        with self.database.reader.using(cctxt):
            one = self.router.health(['cell1'])[one.cell.uuid]
            self.assertEqual(1, one.connections_busy)

    def test_a_state_other_than_enabled_is_not_healthy(self):
        self.deploy(1)
        self.router.cells.update('cell1', state='no_new')
        (report,) = self.router.health().values()
        self.assertFalse(report.healthy)
        self.assertEqual('no_new', report.state)

    def test_without_the_api_database_it_is_about_what_is_known(self):
        self.deploy(2, options=SLOW)
        self.words(self.targeted('cell1'))
        path = sa.make_url(self.deployment.api_url).database
        os.rename(path, path + '.away')
        self.addCleanup(os.rename, path + '.away', path)
        known = {cell.uuid for cell in self.deployment.cells}
        self.assertEqual(known, set(self.router.health()))
        (one,) = self.router.health(['cell1'])
        self.assertEqual(self.deployment.cells[0].uuid, one)

    def test_probing_finds_what_nobody_asked(self):
        self.deploy(3, options=SLOW)
        one = self.deployment.cells[0]
        os.remove(sa.make_url(one.database_connection).database)
        other = cellplug.Database()
        with self.deployment.open_router(other) as router:
            self.assertTrue(router.health()[one.uuid].healthy)
            report = router.health(probe=True, timeout=helpers.PATIENCE)
        self.assertEqual(
            [False, True, True], [each.healthy for each in report.values()]
        )
        self.assertEqual(1, report[one.uuid].database.failures)
        self.assertIsNone(report[one.uuid].database.latency_p50)
        two = report[self.deployment.cells[1].uuid]
        self.assertEqual(1, two.database.requests)
        self.assertEqual(1, two.queue.requests)

    def test_probing_closes_what_works_again(self):
        self.deploy(1, options=SLOW)
        cell = self.deployment.cells[0]
        path = sa.make_url(cell.database_connection).database
        os.rename(path, path + '.away')
        cctxt = self.targeted(cell)
        self._fails(cctxt, 3)
        os.rename(path + '.away', path)
        self._refused(cctxt)
        report = self.router.health(probe=True, timeout=helpers.PATIENCE)
        self.assertTrue(report[cell.uuid].healthy)
        self.assertEqual(['cell1'], self.words(cctxt))

    def test_a_url_that_cannot_be_used_is_one_cells_trouble(self):
        self.deploy(2)
        one = self.deployment.cells[0]
        with self.database.api.writer.using(self.context()) as session:
            session.execute(
                sa.text(
                    "UPDATE cell_mapping SET database_connection = 'nonsense',"
                    ' generation = generation + 1 WHERE uuid = :uuid'
                ),
                {'uuid': one.uuid},
            )
        report = self.router.health(probe=True, timeout=helpers.PATIENCE)
        self.assertFalse(report[one.uuid].healthy)
        self.assertIn(
            'database_connection', report[one.uuid].database.last_error
        )

    def test_wrong_arguments(self):
        self.deploy(1)
        self.assertRaises(exception.InvalidInput, self.router.health, 'cell1')
        self.assertRaises(
            exception.InvalidInput, self.router.health, probe=True, timeout=0
        )
        self.assertRaises(
            exception.CellMappingNotFound, self.router.health, ['nowhere']
        )
        self.router.close()
        self.assertRaises(exception.RouterClosed, self.router.health)


class TestShares(GuardTestCase):
    """``[cells] max_connections``, over all cells of the process."""

    backend = 'mariadb'

    def test_one_total_bounds_the_connections_to_all_cells(self):
        self.deploy(
            4,
            options=SLOW
            | {
                'cells.max_connections': 8,
                'cell_database.pool_timeout': helpers.PATIENCE,
            },
        )
        busy = []

        def work(cell):
            for _ in range(5):
                self.words(self.targeted(cell))
                self.words_alone(self.targeted(cell))
                report = self.router.health().values()
                busy.append(max(one.connections_busy for one in report))

        cells = self.deployment.cells * 6
        race = databases.Race(
            *[lambda cell=cell: work(cell) for cell in cells]
        )
        self.assertEqual([], race.errors)
        self.assertEqual(2, max(busy))
        for cell in self.deployment.cells:
            url = cell.database_connection
            databases.poll_until(
                lambda url=url: len(helpers.connections(url)) <= 2,
                'more connections than its share stay open',
            )

    def test_what_a_replaced_pool_lends_is_closed_afterwards(self):
        """A thread may take it just before its pool is replaced."""
        self.deploy(1, options=SLOW)
        url = self.deployment.cells[0].database_connection
        engine = self.database.get_engine(self.targeted('cell1'))
        old = engine.pool
        engine.dispose()
        lent = old.connect()
        self.assertEqual(1, len(helpers.connections(url)))
        lent.close()
        self.assertNoConnections(url)

    def test_what_idles_beyond_a_smaller_share_is_closed(self):
        self.deploy(1, options=SLOW | {'cells.max_connections': 5})
        cctxt = [self.targeted('cell1') for _ in range(5)]
        with contextlib.ExitStack() as stack:
            for one in cctxt:
                stack.enter_context(self.database.reader.using(one))
        url = self.deployment.cells[0].database_connection
        self.assertEqual(5, len(helpers.connections(url)))
        for number in range(4):
            self.deployment.add_cell(f'more{number}')
        self.assertNoConnections(url)
        self.assertEqual(['cell1'], self.words(cctxt[0]))


class TestMany(GuardTestCase):
    def test_cells_that_nobody_reaches_cost_start_up_nothing(self):
        conf = self.useFixture(
            deployment.ConfFixture(
                {
                    'api_database.connection': 'mysql+pymysql://nowhere.invalid/x'
                }
            )
        ).conf
        router = cells_router.CellRouter.from_conf(conf)
        self.addCleanup(router.close)
        self.assertRaises(exception.DatabaseUnavailable, router.cells.list)
        self.assertEqual({}, router.health())
