"""Engines: how many connections there are, where to, and until when."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import logging
import os
import subprocess
import sys
import threading
import types
import uuid
from unittest import mock

import fixtures
import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import options as oslo_db_options
from sqlalchemy import orm

import cellplug
from cellplug import exception
from cellplug.db import schema
from cellplug.db.cell import identity
from tests.functional import databases
from tests.functional import helpers_deployment as helpers


class ReplacementTests:
    """Engines that were replaced close with their last transaction."""

    def _replace(self, cell):
        """Change the cell's URL, but not its database."""
        url = self.deployment.cells[0].database_connection
        mark = '&' if '?' in url else '?'
        return self.router.cells.update(
            cell, database_connection=f'{url}{mark}connect_timeout=17'
        )

    def test_idle_connections_close_at_once(self):
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        cctxt = self.targeted('cell1')
        self.words(cctxt)
        self.words_alone(cctxt)
        self.assertEqual(2, len(helpers.connections(url)))
        self._replace('cell1')
        self.assertNoConnections(url)
        self.assertEqual(['cell1'], self.words(cctxt))
        self.assertEqual(1, len(helpers.connections(url)))

    def test_connection_in_use_closes_with_its_transaction(self):
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        cctxt = self.targeted('cell1')
        self.words_alone(cctxt)
        with self.database.writer.using(cctxt):
            self.add(cctxt, 'x')
            self._replace('cell1')
            databases.poll_until(
                lambda: len(helpers.connections(url)) == 1,
                'the idle connection stays',
            )
            self.add(cctxt, 'y')
        self.assertNoConnections(url)
        self.assertEqual(['cell1', 'x', 'y'], helpers.stored(url))

    def test_session_in_use_keeps_its_engine_until_it_is_closed(self):
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        session = self.database.get_session(self.targeted('cell1'))
        session.scalar(sa.text('SELECT 1'))
        self._replace('cell1')
        session.execute(sa.insert(helpers.NOTE), {'word': 'x'})
        session.commit()
        session.close()
        self.assertNoConnections(url)
        self.assertEqual(['cell1', 'x'], helpers.stored(url))

    def test_deleted_cells_connections_close(self):
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        self.words(self.targeted('cell1'))
        self.router.cells.delete('cell1')
        self.assertNoConnections(url)

    def test_many_edits_leave_nothing_behind(self):
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        cctxt = self.targeted('cell1')
        for number in range(10):
            self.router.cells.update(
                'cell1',
                database_connection=f'{url.partition("?")[0]}'
                f'?connect_timeout={10 + number}',
            )
            self.assertEqual(['cell1'], self.words(cctxt))
        databases.poll_until(
            lambda: len(helpers.connections(url)) == 1,
            'connections of replaced engines stay open',
        )

    def test_closed_router_leaves_no_connection_and_no_thread(self):
        before = set(threading.enumerate())
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        cctxt = self.targeted('cell1')
        self.words_alone(cctxt)
        with self.database.writer.using(cctxt):
            self.add(cctxt, 'in flight')
            self.router.close()
            self.assertIn('in flight', self._joined_words(cctxt))
        self.router.close()
        self.assertNoConnections(url)
        self.assertNoConnections(self.deployment.api_url)
        databases.poll_until(
            lambda: not set(threading.enumerate()) - before,
            'a thread of the router stays',
        )
        self.assertEqual(['cell1', 'in flight'], helpers.stored(url))

    def _joined_words(self, cctxt):
        return helpers.words(cctxt)


class BudgetTests:
    """max_pool_size + max_overflow bounds what one process has open."""

    SMALL = types.MappingProxyType(
        {
            'cell_database.max_pool_size': 2,
            'cell_database.max_overflow': 1,
            'cell_database.pool_timeout': 0.5,
        }
    )

    def test_all_lanes_together_stay_within_the_budget(self):
        self.deploy(
            1, options={**self.SMALL, 'cell_database.pool_timeout': 30}
        )
        url = self.deployment.cells[0].database_connection
        meeting = threading.Barrier(4, timeout=helpers.PATIENCE)

        def busy(access):
            def read(context):
                helpers.words(context)
                meeting.wait()
                meeting.wait()

            access(read)(self.targeted('cell1'))

        for access in (
            self.database.reader,
            self.database.reader.single,
            self.database.writer,
            self.database.reader.single,
            self.database.reader,
        ):
            with contextlib.ExitStack() as threads:
                for _ in range(3):
                    threads.enter_context(helpers.Background(busy, access))
                meeting.wait()
                # Those that were closed vanish a moment later.
                databases.poll_until(
                    lambda: len(helpers.connections(url)) == 3,
                    'more connections than the budget has',
                )
                meeting.wait()

    def test_waiting_for_a_connection_is_bounded_and_says_so(self):
        self.deploy(1, options=self.SMALL)
        contexts = [self.targeted('cell1') for _ in range(3)]
        with contextlib.ExitStack() as open_:
            for cctxt in contexts:
                open_.enter_context(self.database.reader.using(cctxt))
            error = self.assertRaises(
                exception.CellUnavailable,
                self.words,
                self.targeted('cell1'),
            )
        self.assertIn('all 3 connections', str(error))
        self.assertIn('max_pool_size + max_overflow', str(error))
        self.assertTrue(error.before_first_statement)
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))

    def test_connection_that_becomes_free_is_handed_on(self):
        self.deploy(
            1, options={**self.SMALL, 'cell_database.pool_timeout': 30}
        )
        contexts = [self.targeted('cell1') for _ in range(3)]
        with contextlib.ExitStack() as open_:
            for cctxt in contexts:
                open_.enter_context(self.database.reader.using(cctxt))
            waiting = helpers.Background(self.words, self.targeted('cell1'))
            waiting._thread.start()
            open_.close()
            self.assertEqual(['cell1'], waiting.join())

    def test_full_cell_does_not_hinder_the_others(self):
        self.deploy(2, options=self.SMALL)
        with contextlib.ExitStack() as open_:
            for _ in range(3):
                block = self.database.reader.using(self.targeted('cell1'))
                open_.enter_context(block)
            self.assertEqual(['cell2'], self.words(self.targeted('cell2')))

    def test_sessions_count_until_they_are_closed_or_collected(self):
        self.deploy(1, options=self.SMALL)
        cctxt = self.targeted('cell1')
        sessions = [self.database.get_session(cctxt) for _ in range(3)]
        self.assertRaises(exception.CellUnavailable, self.words, cctxt)
        sessions.pop().close()
        self.assertEqual(['cell1'], self.words(cctxt))
        sessions[0].close()
        sessions[0].close()
        sessions += [self.database.get_session(cctxt) for _ in range(2)]
        self.assertRaises(exception.CellUnavailable, self.words, cctxt)
        del sessions
        gc.collect()
        self.assertEqual(['cell1'], self.words(cctxt))
        engines = self.router._registry.engines(cctxt.db_connection)
        self.assertEqual(0, engines._leases)

    def test_lease_may_end_while_its_thread_takes_another(self):
        """A session is collected at any point, also inside the lock."""
        self.deploy(1)
        cctxt = self.targeted('cell1')
        engines = self.router._registry.engines(cctxt.db_connection)

        def collect():
            self.assertTrue(engines.acquire())
            with engines._lock:
                engines.release()

        helpers.in_thread(collect)
        self.assertEqual(0, engines._leases)

    def test_session_in_a_block_counts_until_the_block_ends(self):
        self.deploy(1, options=self.SMALL)
        cctxt = self.targeted('cell1')
        engines = self.router._registry.engines(cctxt.db_connection)
        with self.database.get_session(cctxt):
            self.assertEqual(1, engines._leases)
        self.assertEqual(0, engines._leases)

    def test_global_configuration_has_no_effect_on_cells(self):
        self.deploy(1)
        conf = cfg.CONF
        conf.register_opts(oslo_db_options.database_opts, 'database')
        self.addCleanup(conf.clear_override, 'max_pool_size', 'database')
        conf.set_override('max_pool_size', 42, 'database')
        self.deployment.conf.set_override('max_pool_size', 43, 'database')
        other = cellplug.Database()
        with self.deployment.open_router(other) as router:
            with router.target_cell(self.context(), 'cell1') as cctxt:
                pool = other.get_engine(cctxt).pool
                self.assertEqual(5, pool.size())

    def test_idle_connections_close_after_idle_timeout(self):
        self.deploy(2, options={'cell_database.idle_timeout': 1})
        one, two = (c.database_connection for c in self.deployment.cells)
        for name in ('cell1', 'cell2'):
            self.words(self.targeted(name))
            self.words_alone(self.targeted(name))
        registry = self.router._registry
        registry.drop_idle()
        self.assertEqual(2, len(helpers.connections(one)))
        self._grow_old(self.deployment.cells[0].uuid)
        with self.database.reader.using(self.targeted('cell2')):
            self._grow_old(self.deployment.cells[1].uuid)
            registry.drop_idle()
            self.assertNoConnections(one)
            self.assertEqual(2, len(helpers.connections(two)))
            self.assertEqual(['cell1'], self.words(self.targeted('cell1')))

    def test_a_connection_that_is_just_coming_back_is_closed_as_well(self):
        self.deploy(1)
        (cell,) = self.deployment.cells
        engine = self.database.get_engine(self.targeted('cell1'))
        coming, closed = threading.Event(), threading.Event()

        def pause(*_):
            coming.set()
            closed.wait(databases.PATIENCE)

        sa.event.listen(engine.pool, 'checkin', pause, insert=True)

        def work():
            with engine.connect() as connection:
                connection.execute(sa.text('SELECT 1'))

        race = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(race.shutdown)
        worked = race.submit(work)
        self.assertTrue(coming.wait(databases.PATIENCE))
        self.router._registry.engines(cell.uuid).drop_idle()
        closed.set()
        worked.result(databases.PATIENCE)
        self.assertNoConnections(cell.database_connection)

    def test_one_taken_while_its_pool_was_replaced_is_closed_as_well(self):
        self.deploy(1)
        (cell,) = self.deployment.cells
        engine = self.database.get_engine(self.targeted('cell1'))
        engines = self.router._registry.engines(cell.uuid)
        pool = engine.pool

        @self._once(pool, 'checkout')
        def replace(*_):
            engines.drop_idle()

        with engine.connect() as connection:
            connection.execute(sa.text('SELECT 1'))
        self.assertIsNot(pool, engine.pool)
        self.assertNoConnections(cell.database_connection)

    def test_one_on_its_way_back_is_closed_when_the_last_user_leaves(self):
        self.deploy(1)
        (cell,) = self.deployment.cells
        cctxt = self.targeted('cell1')
        engines = self.router._registry.engines(cell.uuid)

        with self.database.writer.using(cctxt) as session:
            engine = session.get_bind()
            pool = engine.pool
            session.execute(sa.text('SELECT 1'))

            # After cellplug's own listener: the pool takes it back next.
            @self._once(pool, 'checkin', insert=False)
            def replace(*_):
                engines.retire()

        self.assertIsNot(pool, engine.pool)
        self.assertNoConnections(cell.database_connection)

    def _once(self, pool, event, *, insert=True):
        """Have a pool call a function at its next event, and no more."""

        def decorate(function):
            calls = [function]
            sa.event.listen(
                pool,
                event,
                lambda *args: calls.pop()(*args) if calls else None,
                insert=insert,
            )
            return function

        return decorate

    def _grow_old(self, uuid_):
        """As if the cell had not been used for longer than idle_timeout."""
        self.router._registry.engines(uuid_)._used_at -= 2


class ReplicaTests:
    """Each cell has its own replica; here, a database that differs."""

    def test_request_reads_what_it_wrote_outside_the_decorators(self):
        self._replicate()
        for open_ in (self.database.get_session, self.database.get_engine):
            cctxt = self.targeted('cell1')
            self.assertEqual(['replica of cell1'], self.words(cctxt))
            got = open_(cctxt)
            if isinstance(got, orm.Session):
                got.close()
            self.assertEqual(['cell1'], self.words(cctxt))
            self.assertEqual(['cell1'], self.words_alone(cctxt))

    def _replicated(self, cell, *, claimed_by=None, tables=True):
        """A replica with the word ``replica`` instead of the cell's name."""
        url = self.deployment.fresh_database()
        helpers.make_notes(url, f'replica of {cell.name}')
        if tables:
            engine = databases.make_engine(url)
            self.addCleanup(engine.dispose)
            schema.CELL.sync(engine)
            with engine.begin() as connection:
                identity.force_claim(connection, claimed_by or cell.uuid)
        return self.router.cells.update(cell, slave_connection=url)

    def _replicate(self):
        self.deploy(2)
        for cell in self.deployment.cells:
            self._replicated(cell)

    def test_readers_go_to_their_own_cells_replica(self):
        self._replicate()
        for name in ('cell1', 'cell2'):
            cctxt = self.targeted(name)
            self.assertEqual([f'replica of {name}'], self.words(cctxt))
            self.assertEqual([f'replica of {name}'], self.words_alone(cctxt))

    def test_writers_never_do(self):
        self._replicate()
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt):
            self.assertEqual(['cell1'], self.words(cctxt))
            self.assertEqual(['cell1'], self.words_alone(cctxt))
            self.add(cctxt, 'x')
        with self.database.get_session(self.targeted('cell1')) as session:
            self.assertEqual(
                ['cell1', 'x'],
                list(session.scalars(sa.select(helpers.NOTE.c.word))),
            )

    def test_primary_is_read_when_it_is_asked_for(self):
        self._replicate()
        cctxt = self.targeted('cell1')
        primary = self.database.reader.primary(helpers.words)
        self.assertEqual(['cell1'], primary(cctxt))
        single = self.database.reader.primary.single(helpers.words)
        self.assertEqual(['cell1'], single(cctxt))
        with self.database.reader.using(cctxt):
            self.assertEqual(['cell1'], primary(cctxt))
            self.assertEqual(['replica of cell1'], self.words(cctxt))

    def test_after_a_write_the_request_reads_that_cells_primary(self):
        self._replicate()
        context = self.context()
        first = self.targeted('cell1', context)
        self.add(first, 'x')
        self.assertEqual(['cell1', 'x'], self.words(first))
        again = self.targeted('cell1', context)
        self.assertEqual(['cell1', 'x'], self.words_alone(again))
        other = self.targeted('cell2', context)
        self.assertEqual(['replica of cell2'], self.words(other))
        self.assertEqual(
            ['replica of cell1'], self.words(self.targeted('cell1'))
        )

    def test_after_an_independent_write_no_replica_is_joined(self):
        self._replicate()
        cctxt = self.targeted('cell1')
        with self.database.reader.using(cctxt):
            self.assertEqual(['replica of cell1'], self.words(cctxt))
            self.database.writer.independent(helpers.add)(cctxt, 'x')
            self.assertEqual(['cell1', 'x'], self.words(cctxt))

    def test_replica_that_lags_behind_the_claim_is_passed_over(self):
        self.deploy(2)
        self._replicated(self.deployment.cells[0], tables=False)
        cctxt = self.targeted('cell1')
        self.assertEqual(['cell1'], self.words(cctxt))
        self.assertEqual(['cell1'], self.words_alone(cctxt))
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))

    def test_replica_of_another_cell_is_refused(self):
        self.deploy(2)
        one, two = self.deployment.cells
        self._replicated(one, claimed_by=two.uuid)
        error = self.assertRaises(
            exception.CellIdentityMismatch, self.words, self.targeted('cell1')
        )
        self.assertEqual(one.uuid, error.cell_uuid)
        self.assertEqual(two.uuid, error.found)
        self.assertIn(one.uuid, str(error))
        self.assertIn(two.uuid, str(error))
        primary = self.database.reader.primary(helpers.words)
        self.assertEqual(['cell1'], primary(self.targeted('cell1')))

    def test_removed_replica_is_read_no_more(self):
        self._replicate()
        cctxt = self.targeted('cell1')
        self.assertEqual(['replica of cell1'], self.words(cctxt))
        self.router.cells.update('cell1', slave_connection=None)
        self.assertEqual(['cell1'], self.words(cctxt))

    def test_mappings_are_read_from_the_api_primary(self):
        self.deploy(1)
        replica = self.deployment.fresh_database()
        helpers.make_notes(replica, 'replica of api')
        self.deployment.conf.set_override(
            'slave_connection', replica, 'api_database'
        )
        other = cellplug.Database()
        with self.deployment.open_router(other) as router:
            instance = str(uuid.uuid4())
            router.instances.map(self.context(), instance, 'cell1')
            with router.target_instance(self.context(), instance) as cctxt:
                self.assertEqual(['cell1'], other.reader(helpers.words)(cctxt))
            self.assertEqual(1, len(router.instances.list(self.context())))
            self.assertEqual(1, len(router.cells.list()))
            words = other.api.reader(helpers.words)
            self.assertEqual(['replica of api'], words(self.context()))


class IdentityTests:
    """A database says which cell it belongs to."""

    def _set_identity(self, cell, statement, **values):
        url = cell.database_connection
        with helpers.past_cellplug(url) as connection:
            connection.execute(sa.text(statement), values)

    def test_database_of_another_cell_is_refused(self):
        self.deploy(2)
        one, two = self.deployment.cells
        self._set_identity(
            one, 'UPDATE cell_identity SET cell_uuid = :u', u=two.uuid
        )
        for use in (self.words, self.words_alone, self.add_x):
            error = self.assertRaises(
                exception.CellIdentityMismatch, use, self.targeted('cell1')
            )
            self.assertIn(one.uuid, str(error))
            self.assertIn(two.uuid, str(error))
        session = self.database.get_session(self.targeted('cell1'))
        with session:
            self.assertRaises(
                exception.CellIdentityMismatch,
                session.scalar,
                sa.text('SELECT 1'),
            )

    def add_x(self, cctxt):
        self.add(cctxt, 'x')

    def test_database_that_nobody_claimed_is_refused(self):
        self.deploy(2)
        one, two = self.deployment.cells
        self._set_identity(one, 'DELETE FROM cell_identity')
        with helpers.past_cellplug(two.database_connection) as connection:
            for table in sa.inspect(connection).get_table_names():
                if table != helpers.NOTE.name:
                    connection.execute(sa.text(f'DROP TABLE {table}'))
        for name in ('cell1', 'cell2'):
            error = self.assertRaises(
                exception.CellIdentityMissing, self.words, self.targeted(name)
            )
            self.assertIn('--claim', str(error))
            self.router.cells.claim(name)
            self.assertEqual([name], self.words(self.targeted(name)))


class ForgottenSessionTests:
    """Sessions that nobody closes."""

    def test_lease_ends_with_the_last_reference(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        engines = self.router._registry.engines(self.deployment.cells[0].uuid)
        gc.disable()
        self.addCleanup(gc.enable)
        session = self.database.get_session(cctxt)
        with session.begin():
            session.scalar(sa.text('SELECT 1'))
        self.assertEqual(1, engines._leases)
        del session
        self.assertEqual(0, engines._leases)


class LifeTests:
    """Binding, closing, and what is not imported."""

    def test_two_routers_cannot_bind_one_database(self):
        self.deploy(1)
        error = self.assertRaises(
            exception.DatabaseAlreadyBound,
            self.deployment.open_router,
            self.database,
        )
        self.assertIn('close', str(error))
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))
        self.router.close()
        with self.deployment.open_router(self.database) as router:
            with router.target_cell(self.context(), 'cell1') as cctxt:
                self.assertEqual(['cell1'], self.words(cctxt))

    def test_database_without_a_router_is_not_bound(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        self.router.close()
        unbound = cellplug.Database()
        for use in (
            lambda: unbound.reader(helpers.words)(cctxt),
            lambda: unbound.get_engine(cctxt),
            lambda: unbound.get_session(cctxt),
            lambda: self.words(cctxt),
            lambda: self.database.reader.using(cctxt),
        ):
            error = self.assertRaises(exception.DatabaseNotBound, use)
            self.assertIn('CellRouter', str(error))

    def test_closed_router_does_nothing_any_more(self):
        self.deploy(1)
        cell, context = self.deployment.cells[0], self.context()
        self.router.close()
        self.router.close()
        for use in (
            lambda: self.router.target_cell(context, cell),
            lambda: self.router.target_cell(context, 'cell1'),
            self.router.cells.list,
            lambda: self.router.instances.list(context),
        ):
            self.assertRaises(
                (exception.RouterClosed, exception.DatabaseNotBound), use
            )

    def test_failed_router_leaves_its_database_free(self):
        self.deploy(1)
        self.router.close()
        self.deployment.conf.set_override(
            'connection', 'mysql://u:secret@h/x', 'database'
        )
        error = self.assertRaises(
            exception.InvalidURL, self.deployment.open_router, self.database
        )
        self.assertNotIn('secret', str(error))
        self.assertIn('[database] connection', str(error))
        self.deployment.conf.clear_override('connection', 'database')
        with self.deployment.open_router(self.database) as router:
            self.assertEqual(1, len(router.cells.list()))

    def test_missing_driver_is_one_clear_line(self):
        self.deploy(1)
        bad = self.deployment.cells[0].__class__(
            uuid=str(uuid.uuid4()),
            name='bad',
            database_connection='mysql+mysqldb://u:secret@127.0.0.1/x',
            transport_url='none:///',
            generation=1,
        )
        cctxt = self.targeted(bad)
        # Whether it is installed here or not: its import fails.
        with mock.patch.dict(sys.modules, {'MySQLdb': None}):
            error = self.assertRaises(exception.InvalidURL, self.words, cctxt)
        self.assertEqual(
            f"database_connection of cell 'bad' ({bad.uuid})", error.name
        )
        self.assertIn('MySQLdb', str(error))
        self.assertNotIn('secret', str(error))


_IMPORTS = """
import sys, os
from oslo_config import cfg
import cellplug
import sqlalchemy as sa
conf = cfg.ConfigOpts()
cellplug.register_opts(conf)
conf([], project='cellplug', default_config_files=[])
conf.set_override('connection', os.environ['API_URL'], 'api_database')
database = cellplug.Database()
with cellplug.CellRouter.from_conf(conf, database=database) as router:
    with router.target_cell(cellplug.RequestContext(), 'cell1') as cctxt:
        with database.reader.using(cctxt) as session:
            assert session.scalar(sa.text('SELECT word FROM note')) == 'cell1'
heavy = {'eventlet', 'oslo_messaging', 'kombu', 'amqp', 'alembic'}
print(sorted(heavy & set(sys.modules)))
"""


class ImportTests:
    def test_database_requests_import_no_messaging(self):
        self.deploy(1)
        done = subprocess.run(
            [sys.executable, '-c', _IMPORTS],
            env={**os.environ, 'API_URL': self.deployment.api_url},
            capture_output=True,
            text=True,
            timeout=helpers.PATIENCE,
        )
        self.assertEqual(('[]\n', ''), (done.stdout, done.stderr))


class SecretTests:
    def test_no_log_or_repr_holds_a_password(self):
        logs = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.deploy(1)
        context = self.context()
        cctxt = self.targeted('cell1', context)
        self.add(cctxt, 'x')
        self.router.instances.map(context, str(uuid.uuid4()), 'cell1')
        engines = self.router._registry.engines(cctxt.db_connection)
        shown = [
            repr(one)
            for one in (
                self.deployment.cells[0],
                cctxt,
                cctxt.mq_connection,
                cctxt.__dict__,
                self.database,
                self.database.get_engine(cctxt),
                self.router,
                engines.source,
                self.router._registry._state().cells,
            )
        ]
        url = sa.make_url(self.deployment.cells[0].database_connection)
        self.assertTrue(url.password)
        for text in (*shown, logs.output):
            self.assertNotIn(url.password, text)


class TestEngineOnMariaDB(
    ReplacementTests, BudgetTests, helpers.DeploymentTestCase
):
    backend = 'mariadb'


class TestEngineOnPostgreSQL(
    ReplacementTests, BudgetTests, helpers.DeploymentTestCase
):
    backend = 'postgresql'


class TestReplicaOnSqlite(
    ReplicaTests, IdentityTests, helpers.DeploymentTestCase
):
    pass


class TestReplicaOnMariaDB(
    ReplicaTests, IdentityTests, helpers.DeploymentTestCase
):
    backend = 'mariadb'


class TestReplicaOnPostgreSQL(
    ReplicaTests, IdentityTests, helpers.DeploymentTestCase
):
    backend = 'postgresql'


class TestLife(
    LifeTests, ForgottenSessionTests, ImportTests, helpers.DeploymentTestCase
):
    pass


class TestSecretOnMariaDB(SecretTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestSecretOnPostgreSQL(SecretTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
