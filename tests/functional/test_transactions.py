"""Transactions: which calls join, what is kept, what is refused."""

from __future__ import annotations

import contextlib
import gc
import threading
import uuid
import weakref

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from sqlalchemy import orm

from cellplug import exception
from cellplug.db import opening
from tests.functional import helpers_deployment as helpers


class JoinTests:
    """Nested calls join the request's transaction on the same database."""

    def test_nested_calls_see_what_the_outer_wrote(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt) as session:
            self.add(cctxt, 'x')
            self.assertEqual(['cell1', 'x'], self.words(cctxt))
            self.assertEqual(['cell1', 'x'], self.words_alone(cctxt))
            self.assertIs(session, cctxt.session)

    def test_api_to_cell_to_api_joins_the_first(self):
        self.deploy(1)
        context = self.context()
        with self.database.api.writer.using(context) as outer:
            self.add_to_api(context, 'x')
            with self.router.target_cell(context, 'cell1') as cctxt:
                with self.database.writer.using(cctxt) as inner:
                    self.assertIs(inner, context.session)
                    self.assertEqual(['cell1'], self.words(cctxt))
                    self.assertEqual(['api', 'x'], self.words_of_api(cctxt))
                    self.add_to_api(cctxt, 'y')
                    with self.database.api.writer.using(cctxt) as again:
                        self.assertIs(outer, again)
                        self.assertIs(outer, cctxt.session)
                    self.assertIs(inner, cctxt.session)
                self.assertIs(outer, cctxt.session)
            self.assertEqual(['api', 'x', 'y'], self.words_of_api(context))
        self.assertEqual(
            ['api', 'x', 'y'], helpers.stored(self.deployment.api_url)
        )

    def test_targeting_inside_an_api_transaction_sees_its_mappings(self):
        self.deploy(
            options={
                'api_database.max_pool_size': 1,
                'api_database.max_overflow': 0,
                'api_database.pool_timeout': 1,
            }
        )
        context, instance = self.context(), str(uuid.uuid4())
        with self.database.api.writer.using(context):
            self.router.instances.map(context, instance, 'cell2')
            with self.router.target_instance(context, instance) as cctxt:
                self.assertEqual(['cell2'], self.words(cctxt))
            with self.router.target_cell(context, 'cell1') as cctxt:
                self.assertEqual(['cell1'], self.words(cctxt))
            self.assertEqual(
                'cell2',
                self.router.instances.get(context, instance).cell.name,
            )

    def test_cell_a_to_b_to_a_joins_the_first(self):
        self.deploy()
        context = self.context()
        a = self.targeted('cell1', context)
        with self.database.writer.using(a) as outer:
            self.add(a, 'x')
            with (
                self.router.target_cell(a, 'cell2') as b,
                self.database.writer.using(b) as inner,
            ):
                self.add(b, 'y')
                self.assertEqual(['cell2', 'y'], self.words(b))
                with self.router.target_cell(b, 'cell1') as again:
                    self.assertIs(inner, again.session)
                    self.assertEqual(['cell1', 'x'], self.words(again))
                    self.add(again, 'z')
                    with self.database.writer.using(again) as joined:
                        self.assertIs(outer, joined)
            self.assertEqual(['cell1', 'x', 'z'], self.words(a))
        one, two = (c.database_connection for c in self.deployment.cells)
        self.assertEqual(['cell1', 'x', 'z'], helpers.stored(one))
        self.assertEqual(['cell2', 'y'], helpers.stored(two))

    def test_inner_commit_survives_the_outer_rollback(self):
        self.deploy()
        a, b = self.targeted('cell1'), self.targeted('cell2')
        with (
            contextlib.suppress(ZeroDivisionError),
            self.database.writer.using(a),
        ):
            self.add(a, 'x')
            self.add(b, 'y')
            raise ZeroDivisionError
        one, two = (c.database_connection for c in self.deployment.cells)
        self.assertEqual(['cell1'], helpers.stored(one))
        self.assertEqual(['cell2', 'y'], helpers.stored(two))

    def test_another_request_does_not_join(self):
        self.deploy(1)
        mine, others = self.targeted('cell1'), self.targeted('cell1')
        with (
            self.database.reader.using(mine) as session,
            self.database.reader.using(others) as other,
        ):
            self.assertIsNot(session, other)
            self.assertIs(session, mine.session)
            self.assertIs(other, others.session)

    def test_another_thread_does_not_join(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        with self.database.reader.using(cctxt) as session:

            def elsewhere():
                with self.database.reader.using(cctxt) as other:
                    return other is session or cctxt.session is session

            self.assertFalse(helpers.in_thread(elsewhere))
            self.assertIs(session, cctxt.session)

    def test_no_session_is_left_behind(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        self.add(cctxt, 'x')
        self.assertRaises(
            oslo_exception.NoEngineContextEstablished, lambda: cctxt.session
        )


class OutcomeTests:
    """What is kept, and what is undone."""

    def setUp(self):
        super().setUp()
        self.deploy(1)
        self.url = self.deployment.cells[0].database_connection
        self.cctxt = self.targeted('cell1')

    def _add_and_fail(self, context, word):
        helpers.add(context, word)
        raise ZeroDivisionError(word)

    def test_success_commits_and_exception_rolls_back(self):
        failing = self.database.writer(self._add_and_fail)
        self.add(self.cctxt, 'kept')
        self.assertRaises(ZeroDivisionError, failing, self.cctxt, 'lost')
        self.assertEqual(['cell1', 'kept'], helpers.stored(self.url))

    def test_nothing_is_kept_before_the_outermost_ends(self):
        with self.database.writer.using(self.cctxt):
            self.add(self.cctxt, 'x')
            other = self.targeted('cell1')
            self.assertEqual(['cell1'], self.words(other))
        self.assertEqual(['cell1', 'x'], helpers.stored(self.url))

    def test_reader_keeps_nothing(self):
        self.database.reader(helpers.add)(self.cctxt, 'x')
        self.assertEqual(['cell1'], helpers.stored(self.url))

    def test_savepoint_is_undone_alone(self):
        failing = self.database.writer.savepoint(self._add_and_fail)
        adding = self.database.writer.savepoint(helpers.add)
        with self.database.writer.using(self.cctxt):
            self.add(self.cctxt, 'a')
            self.assertRaises(ZeroDivisionError, failing, self.cctxt, 'b')
            self.assertEqual(['cell1', 'a'], self.words(self.cctxt))
            adding(self.cctxt, 'c')
        self.assertEqual(['cell1', 'a', 'c'], helpers.stored(self.url))

    def test_outermost_savepoint_is_a_transaction(self):
        self.database.writer.savepoint(helpers.add)(self.cctxt, 'x')
        failing = self.database.writer.savepoint(self._add_and_fail)
        self.assertRaises(ZeroDivisionError, failing, self.cctxt, 'y')
        self.assertEqual(['cell1', 'x'], helpers.stored(self.url))

    def test_writer_inside_a_reader_is_refused_and_harmless(self):
        with self.database.reader.using(self.cctxt) as session:
            error = self.assertRaises(
                exception.ReadOnlyTransaction, self.add, self.cctxt, 'x'
            )
            self.assertIn('independent', str(error))
            self.assertIs(session, self.cctxt.session)
            self.assertEqual(['cell1'], self.words(self.cctxt))
        self.add(self.cctxt, 'y')
        self.assertEqual(['cell1', 'y'], helpers.stored(self.url))

    def test_block_may_be_entered_again(self):
        block = self.database.writer.using(self.cctxt)
        with block:
            self.add(self.cctxt, 'x')
        with self.database.writer.using(self.cctxt):
            with block:
                self.add(self.cctxt, 'y')
            self.add(self.cctxt, 'z')
        self.assertEqual(['cell1', 'x', 'y', 'z'], helpers.stored(self.url))

    def test_four_byte_characters_come_back(self):
        self.add(self.cctxt, '\N{PILE OF POO}\N{GREEK SMALL LETTER ALPHA}')
        self.assertEqual(
            '\N{PILE OF POO}\N{GREEK SMALL LETTER ALPHA}',
            self.words(self.cctxt)[-1],
        )


class TestSwallowedErrorOnPostgreSQL(helpers.DeploymentTestCase):
    """PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK."""

    backend = 'postgresql'

    def _fail(self, context):
        context.session.execute(
            sa.insert(helpers.NOTE), {'id': 1, 'word': 'x' * 65}
        )

    def test_lost_writer_is_told(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')

        def lose():
            with self.database.writer.using(cctxt):
                self.add(cctxt, 'x')
                with contextlib.suppress(oslo_exception.DBError):
                    self._fail(cctxt)

        error = self.assertRaises(exception.TransactionAborted, lose)
        self.assertIn('writer.savepoint', str(error))
        self.add(cctxt, 'y')
        self.assertEqual(['cell1', 'y'], self.words(cctxt))

    def test_session_on_its_own_is_told_as_well(self):
        self.deploy(1)
        with self.database.get_session(self.targeted('cell1')) as session:
            with contextlib.suppress(oslo_exception.DBError):
                session.execute(sa.text('SELECT nonsense'))
            self.assertRaises(exception.TransactionAborted, session.commit)

    def test_error_in_a_savepoint_may_be_swallowed(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt):
            self.add(cctxt, 'x')
            with contextlib.suppress(oslo_exception.DBError):
                self.database.writer.savepoint(self._fail.__func__)(
                    self, cctxt
                )
        self.assertEqual(['cell1', 'x'], self.words(cctxt))


class BlockTests:
    """Blocks by ``using``, and who joins them."""

    def test_block_is_refused_while_it_is_open(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        for access in (self.database.reader, self.database.writer):
            block = access.using(cctxt)
            with block:
                self.assertRaises(
                    exception.TransactionInProgress, block.__enter__
                )
                self.assertEqual(['cell1'], self.words(cctxt))
            with block:
                self.assertEqual(['cell1'], self.words(cctxt))
        engines = self.router._registry.engines(self.deployment.cells[0].uuid)
        self.assertEqual(0, engines._leases)

    def test_session_joins_a_connection(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        one = sa.select(helpers.NOTE.c.word)
        with self.database.reader.connection.using(cctxt) as connection:
            self.assertEqual('cell1', connection.scalar(one))
            with self.database.reader.using(cctxt) as session:
                self.assertIsInstance(session, orm.Session)
                self.assertIs(session, cctxt.session)
                self.assertIs(connection, session.connection())
                with self.database.reader.connection.using(cctxt) as again:
                    self.assertIs(connection, again)
            self.assertEqual(['cell1'], self.words(cctxt))
        self.assertTrue(connection.closed)

    def test_a_writers_connection_commits_what_it_and_a_session_wrote(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        insert = sa.insert(helpers.NOTE)
        with self.database.writer.connection.using(cctxt) as connection:
            self.assertIsInstance(connection, sa.Connection)
            connection.execute(insert, {'word': 'x'})
            with self.database.writer.using(cctxt) as session:
                self.assertIsInstance(session, orm.Session)
                self.add(cctxt, 'y')
            with (
                contextlib.suppress(ZeroDivisionError),
                self.database.writer.savepoint.using(cctxt),
            ):
                self.add(cctxt, 'undone')
                raise ZeroDivisionError
            connection.execute(insert, {'word': 'z'})
        self.assertEqual(['cell1', 'x', 'y', 'z'], self.words(cctxt))
        self.assertTrue(connection.closed)

    def test_a_writers_connection_undoes_what_it_wrote(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        for joined in (False, True):
            with (
                contextlib.suppress(ZeroDivisionError),
                self.database.writer.connection.using(cctxt) as connection,
            ):
                connection.execute(sa.insert(helpers.NOTE), {'word': 'x'})
                if joined:
                    self.add(cctxt, 'y')
                raise ZeroDivisionError
            self.assertEqual(['cell1'], self.words(cctxt))

    def test_idle_connection_keeps_no_session(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt) as session:
            self.add(cctxt, 'x')
        kept = weakref.ref(session)
        del session
        gc.collect()
        self.assertIsNone(kept())


class IndependentTests:
    """A transaction of its own (not on sqlite, which has one writer)."""

    def test_independent_is_kept_whatever_becomes_of_the_outer(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        independently = self.database.writer.independent(helpers.add)
        with (
            contextlib.suppress(ZeroDivisionError),
            self.database.writer.using(cctxt) as outer,
        ):
            self.add(cctxt, 'lost')
            independently(cctxt, 'kept')
            with self.database.writer.independent.using(cctxt) as own:
                self.assertIsNot(outer, own)
                self.assertEqual(['cell1', 'kept'], self.words(cctxt))
                self.assertIs(own, cctxt.session)
            self.assertIs(outer, cctxt.session)
            raise ZeroDivisionError
        url = self.deployment.cells[0].database_connection
        self.assertEqual(['cell1', 'kept'], helpers.stored(url))

    def test_independent_may_write_inside_a_reader(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        with self.database.reader.using(cctxt):
            self.database.writer.independent(helpers.add)(cctxt, 'x')
            self.assertEqual(['cell1', 'x'], self.words(cctxt))


class FunctionTests:
    """Where a decorated function's context is found."""

    def setUp(self):
        super().setUp()
        self.deploy(1)
        self.cctxt = self.targeted('cell1')

    def test_context_is_found_by_name_position_and_keyword(self):
        reader = self.database.reader

        @reader
        def first(ctx, other=None):
            return helpers.words(ctx)

        @reader
        def named(other, context):
            return helpers.words(context)

        @reader
        def keyword_only(other=None, *, context):
            return helpers.words(context)

        @reader
        def any_arguments(*args, **kwargs):
            return helpers.words(args[0])

        for call in (
            lambda: first(self.cctxt),
            lambda: first(ctx=self.cctxt),
            lambda: named(1, self.cctxt),
            lambda: named(other=1, context=self.cctxt),
            lambda: keyword_only(context=self.cctxt),
            lambda: any_arguments(self.cctxt),
        ):
            self.assertEqual(['cell1'], call())

    def test_context_is_found_in_methods(self):
        reader = self.database.reader

        class Service:
            @reader
            def words(self, ctx):
                return helpers.words(ctx)

            @classmethod
            @reader
            def words_of_class(cls, ctx):
                return helpers.words(ctx)

            @staticmethod
            @reader
            def words_of_none(ctx):
                return helpers.words(ctx)

        service = Service()
        self.assertEqual(['cell1'], service.words(self.cctxt))
        self.assertEqual(['cell1'], service.words_of_class(self.cctxt))
        self.assertEqual(['cell1'], service.words_of_none(self.cctxt))

    def test_call_without_a_context_says_so(self):
        error = self.assertRaises(TypeError, self.words)
        self.assertIn("'context'", str(error))

    def test_what_would_run_after_its_transaction_is_refused(self):
        def generator(context):
            yield 1

        async def coroutine(context):
            return 1

        async def asynchronous_generator(context):
            yield 1

        def nothing():
            return 1

        for wrong in (generator, coroutine, asynchronous_generator, nothing):
            self.assertRaises(TypeError, self.database.reader, wrong)
            self.assertRaises(TypeError, self.database.writer, wrong)
            self.assertRaises(TypeError, self.database.retrying, wrong)

    def test_function_keeps_its_name_and_docstring(self):
        wrapped = self.database.writer(helpers.add)
        self.assertEqual('add', wrapped.__name__)
        self.assertEqual(helpers.add.__doc__, wrapped.__doc__)

    def test_using_api_makes_the_api_database_the_database(self):
        with self.database.using_api(self.cctxt) as actxt:
            self.add(actxt, 'x')
            self.assertEqual(['api', 'x'], self.words(actxt))
            with self.database.api.writer.using(actxt) as session:
                self.add(actxt, 'y')
                self.assertIs(session, actxt.session)
            self.assertIsNone(actxt.cell_uuid)
        self.assertEqual(['cell1'], self.words(self.cctxt))

    def test_engine_and_session_are_those_of_the_target(self):
        with self.database.get_engine(self.cctxt).connect() as connection:
            query = sa.select(helpers.NOTE.c.word)
            self.assertEqual(['cell1'], list(connection.scalars(query)))
        with self.database.get_session(self.cctxt) as session:
            self.assertEqual(['cell1'], list(session.scalars(query)))
            session.execute(sa.insert(helpers.NOTE), {'word': 'x'})
            session.commit()
        self.assertEqual(['cell1', 'x'], self.words(self.cctxt))


class Recorder:
    """A hook that notes what it is asked, and may refuse."""

    def __init__(self, name, log, *, refuse=False):
        self.name, self.log, self.refuse = name, log, refuse

    def before(self, frame):
        self.log.append(f'{self.name} before')
        if self.refuse:
            raise ZeroDivisionError(self.name)

    def after(self, frame, error):
        self.log.append(f'{self.name} after {type(error).__name__}')


class HookTests:
    """Every outermost transaction passes the same hooks."""

    def _bind(self, *hooks):
        self.deploy(1)
        binding = self.database.binding
        self.database.unbind(binding)
        self.registry = binding.registry
        self.database.bind(
            opening.Binding(binding.registry, (opening.LEASE, *hooks))
        )
        self.addCleanup(self.database.unbind, self.database.binding)

    def _leases(self, cctxt):
        return self.registry.engines(cctxt.db_connection)._leases

    def test_hooks_run_in_order_and_end_in_reverse(self):
        log = []
        self._bind(Recorder('a', log), Recorder('b', log))
        cctxt = self.targeted(self.deployment.cells[0])
        del log[:]
        with self.database.writer.using(cctxt):
            self.add(cctxt, 'joins')
            self.assertEqual(['a before', 'b before'], log)
        self.assertEqual(['b after NoneType', 'a after NoneType'], log[2:])
        del log[:]
        failing = self.database.writer(lambda context: 1 / 0)
        self.assertRaises(ZeroDivisionError, failing, cctxt)
        self.assertEqual(
            ['b after ZeroDivisionError', 'a after ZeroDivisionError'],
            log[2:],
        )

    def test_hook_that_refuses_ends_those_before_it_alone(self):
        log = []
        self._bind(
            Recorder('a', log),
            Recorder('b', log, refuse=True),
            Recorder('c', log),
        )
        cctxt = self.targeted(self.deployment.cells[0])
        error = self.assertRaises(ZeroDivisionError, self.words, cctxt)
        self.assertEqual(
            ['a before', 'b before', 'a after ZeroDivisionError'], log
        )
        self.assertEqual(0, self._leases(cctxt))
        self.assertIsNot(error, error.__cause__)
        self.assertRaises(
            oslo_exception.NoEngineContextEstablished, lambda: cctxt.session
        )

    def test_single_reads_sessions_and_connections_pass_them_too(self):
        log = []
        self._bind(Recorder('a', log))
        cctxt = self.targeted(self.deployment.cells[0])
        self.words_alone(cctxt)
        self.database.get_session(cctxt).close()
        with self.database.reader.connection.using(cctxt):
            pass
        self.assertEqual(['a before', 'a after NoneType'] * 3, log)
        self.assertEqual(0, self._leases(cctxt))

    def test_failed_connect_ends_the_hooks_with_what_it_met(self):
        log = []
        self._bind(Recorder('a', log))
        cell = self.deployment.cells[0]
        cctxt = self.targeted(cell)
        with helpers.past_cellplug(cell.database_connection) as connection:
            connection.execute(
                sa.text('UPDATE cell_identity SET cell_uuid = :other'),
                {'other': str(uuid.uuid4())},
            )
        self.assertRaises(exception.CellIdentityMismatch, self.words, cctxt)
        self.assertEqual(['a before', 'a after CellIdentityMismatch'], log)
        self.assertEqual(0, self._leases(cctxt))


class IsolationTests:
    """Settings that make every server behave alike."""

    query = ''
    expected = 'READ COMMITTED'

    def _ask(self, access, query):
        ask = access(lambda context: context.session.scalar(sa.text(query)))
        return ask(self.targeted('cell1'))

    def test_transactions_run_read_committed(self):
        self.deploy(1)
        for access in (self.database.writer, self.database.reader):
            self.assertEqual(
                self.expected, self._ask(access, self.query).upper()
            )
        in_api = self.database.api.writer(
            lambda context: context.session.scalar(sa.text(self.query))
        )
        self.assertEqual(self.expected, in_api(self.context()).upper())

    def test_cells_may_ask_for_another_isolation(self):
        self.deploy(
            1, options={'cell_database.isolation_level': 'SERIALIZABLE'}
        )
        self.assertEqual(
            'SERIALIZABLE',
            self._ask(self.database.writer, self.query).upper(),
        )

    def test_reader_sees_what_was_committed_meanwhile(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        with self.database.reader.using(cctxt):
            self.assertEqual(['cell1'], self.words(cctxt))
            self.add(self.targeted('cell1'), 'x')
            self.assertEqual(['cell1', 'x'], self.words(cctxt))


class TestIsolationOnMariaDB(IsolationTests, helpers.DeploymentTestCase):
    backend = 'mariadb'
    query = "SELECT REPLACE(@@tx_isolation, '-', ' ')"

    def test_data_that_does_not_fit_is_refused(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        self.assertRaises(oslo_exception.DBError, self.add, cctxt, 'x' * 65)
        self.assertIn(
            'STRICT_ALL_TABLES',
            self._ask(self.database.writer, 'SELECT @@sql_mode'),
        )


class TestIsolationOnPostgreSQL(IsolationTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
    query = 'SHOW transaction_isolation'


class TestWritersOnSqlite(helpers.DeploymentTestCase):
    """sqlite has one writer at a time; it must be waited for, not fail."""

    def test_writers_that_read_first_all_succeed(self):
        self.deploy(1)
        with helpers.past_cellplug(
            self.deployment.cells[0].database_connection
        ) as connection:
            connection.execute(sa.text('CREATE TABLE counter (n INTEGER)'))
            connection.execute(sa.text('INSERT INTO counter VALUES (0)'))

        @self.database.writer
        def count(context):
            now = context.session.scalar(sa.text('SELECT n FROM counter'))
            context.session.execute(
                sa.text('UPDATE counter SET n = :n'), {'n': now + 1}
            )

        def work():
            for _ in range(20):
                count(self.targeted('cell1'))

        with contextlib.ExitStack() as threads:
            for _ in range(8):
                threads.enter_context(helpers.Background(work))
        with helpers.past_cellplug(
            self.deployment.cells[0].database_connection
        ) as connection:
            self.assertEqual(
                160, connection.scalar(sa.text('SELECT n FROM counter'))
            )

    def test_writer_holds_its_lock_from_the_start(self):
        self.deploy(1, options={'cell_database.read_timeout': 1})
        with self.database.writer.using(self.targeted('cell1')):
            error = self.assertRaises(
                sa.exc.OperationalError,
                lambda: self.add(self.targeted('cell1'), 'x'),
            )
            self.assertIn('database is locked', str(error))

    def test_wait_for_the_lock_is_repeated(self):
        self.deploy(1, options={'cell_database.read_timeout': 1})
        failed = threading.Event()

        def attempt(context):
            try:
                self.add(context, 'x')
            except sa.exc.OperationalError:
                failed.set()
                raise

        block = self.database.writer.using(self.targeted('cell1'))
        with contextlib.ExitStack() as waited:
            with block:
                waited.enter_context(
                    helpers.Background(
                        self.database.retrying(attempt),
                        self.targeted('cell1'),
                    )
                )
                self.assertTrue(failed.wait(helpers.PATIENCE))
        url = self.deployment.cells[0].database_connection
        self.assertEqual(['cell1', 'x'], helpers.stored(url))


class TestStatementsOfSingleReads(helpers.DeploymentTestCase):
    """What the server is sent, from MariaDB's general log."""

    backend = 'mariadb'

    def _log_of(self, url, call):
        """What the server was asked on the connections to a database."""
        numbers = ', '.join(str(n) for n in helpers.connections(url))
        with helpers.past_cellplug(url) as connection:
            connection.execute(sa.text('SET GLOBAL log_output = "TABLE"'))
            connection.execute(sa.text('TRUNCATE mysql.general_log'))
            connection.execute(sa.text('SET GLOBAL general_log = 1'))
            try:
                call()
            finally:
                connection.execute(sa.text('SET GLOBAL general_log = 0'))
            rows = connection.execute(
                sa.text(
                    'SELECT argument FROM mysql.general_log WHERE '
                    f'thread_id IN ({numbers}) ORDER BY event_time'
                )
            )
            return [str(row[0]) for row in rows]

    def test_single_read_is_one_statement_and_nothing_else(self):
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        cctxt = self.targeted(self.deployment.cells[0])
        self.words_alone(cctxt)
        log = self._log_of(url, lambda: self.words_alone(cctxt))
        self.assertEqual(1, len(log), log)
        self.assertIn('SELECT note.word', log[0])

    def test_transaction_of_a_reader_is_ended(self):
        self.deploy(1)
        url = self.deployment.cells[0].database_connection
        cctxt = self.targeted(self.deployment.cells[0])
        self.words(cctxt)
        log = self._log_of(url, lambda: self.words(cctxt))
        self.assertIn('SELECT note.word', log[0])
        self.assertEqual(['ROLLBACK'], log[1:])

    def test_what_a_cursor_did_is_rolled_back_at_check_in(self):
        self.deploy(1)
        cctxt = self.targeted(self.deployment.cells[0])
        url = self.deployment.cells[0].database_connection
        engine = self.database.get_engine(cctxt)

        def fail():
            raw = engine.raw_connection()
            with contextlib.closing(raw), raw.cursor() as cursor:
                raw.rollback()
                self.assertRaises(
                    engine.dialect.loaded_dbapi.Error, cursor.execute, 'x y z'
                )

        fail()
        log = self._log_of(url, fail)
        self.assertEqual('ROLLBACK', log[-1])
        self.assertIn('x y z', log)


class RetryTests:
    """``retrying`` repeats a lost conflict; nothing else does."""

    def setUp(self):
        super().setUp()
        self.deploy(1)
        self.url = self.deployment.cells[0].database_connection
        with helpers.past_cellplug(self.url) as connection:
            for word in ('first', 'second'):
                connection.execute(sa.insert(helpers.NOTE), {'word': word})
        self.calls = []

    def _update(self, context, old, new):
        note = helpers.NOTE
        context.session.execute(
            sa.update(note)
            .where(note.c.word.startswith(old))
            .values(word=note.c.word + new)
        )

    def _crossing(self, decorate, inner=contextlib.nullcontext):
        """Two transactions that lock two rows crosswise, started together."""
        barrier = threading.Barrier(2, timeout=helpers.PATIENCE)
        both = threading.local()

        def change(context, rows, mark):
            self.calls.append(mark)
            self._update(context, rows[0], mark)
            if not getattr(both, 'met', False):
                # A repetition has nobody to meet.
                both.met = True
                barrier.wait()
            with inner(context):
                self._update(context, rows[1], mark)

        return decorate(self.database.writer(change))

    def _race(self, change):
        outcomes = []

        def run(rows, mark):
            try:
                change(self.targeted('cell1'), rows, mark)
                outcomes.append(None)
            except Exception as exc:
                outcomes.append(exc)

        with (
            helpers.Background(run, ('first', 'second'), 'x'),
            helpers.Background(run, ('second', 'first'), 'y'),
        ):
            pass
        return [one for one in outcomes if one is not None]

    def test_deadlock_is_repeated_and_commits_exactly_once(self):
        errors = self._race(self._crossing(self.database.retrying))
        self.assertEqual([], errors)
        self.assertEqual(3, len(self.calls), self.calls)
        marks = [word[-2:] for word in helpers.stored(self.url)[1:]]
        self.assertIn(marks, (['xy', 'xy'], ['yx', 'yx']))

    def test_deadlock_inside_a_savepoint_is_repeated_as_a_whole(self):
        # MariaDB rolls everything back, and the savepoint is gone.
        savepoint = self.database.writer.savepoint.using
        errors = self._race(self._crossing(self.database.retrying, savepoint))
        self.assertEqual([], errors)
        marks = [word[-2:] for word in helpers.stored(self.url)[1:]]
        self.assertIn(marks, (['xy', 'xy'], ['yx', 'yx']))

    def test_writer_alone_does_not_repeat_a_deadlock(self):
        errors = self._race(self._crossing(lambda function: function))
        self.assertEqual(1, len(errors))
        self.assertIsInstance(errors[0], oslo_exception.DBDeadlock)
        self.assertEqual(2, len(self.calls))
        survivor = helpers.stored(self.url)[1][-1]
        self.assertEqual(
            ['cell1', f'first{survivor}', f'second{survivor}'],
            helpers.stored(self.url),
        )

    def test_retrying_inside_a_transaction_is_refused(self):
        retried = self.database.retrying(self.database.writer(helpers.add))
        cctxt = self.targeted('cell1')
        for outer in (
            self.database.writer.using(cctxt),
            self.database.reader.using(cctxt),
            self.database.api.writer.using(cctxt),
        ):
            with outer:
                self.assertRaises(
                    exception.TransactionInProgress, retried, cctxt, 'x'
                )
        retried(cctxt, 'x')
        self.assertEqual('x', helpers.stored(self.url)[-1])

    def test_conflict_at_commit_is_repeated(self):
        engine = self.database.get_engine(self.targeted('cell1'))
        refusals = iter(self._conflicts())

        def refuse(connection):
            for orig in refusals:
                raise self._filtered(engine, orig)

        sa.event.listen(engine, 'commit', refuse)
        self.addCleanup(sa.event.remove, engine, 'commit', refuse)

        @self.database.retrying
        @self.database.writer
        def change(context):
            self.calls.append('called')
            helpers.add(context, 'x')

        change(self.targeted('cell1'))
        self.assertEqual(['called'] * 3, self.calls)
        self.assertEqual(['x'], helpers.stored(self.url)[3:])

    def _filtered(self, engine, orig):
        """The exception that oslo.db makes of a driver's error."""
        with engine.connect() as connection:
            try:
                connection._handle_dbapi_exception(
                    orig, 'COMMIT', None, None, None
                )
            except Exception as exc:
                return exc
        raise AssertionError('nothing was raised')

    def test_other_errors_are_not_repeated(self):
        @self.database.retrying
        @self.database.writer
        def change(context):
            self.calls.append('called')
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, change, self.targeted('cell1'))
        self.assertEqual(1, len(self.calls))

    def test_lock_wait_is_repeated(self):
        holder = self.targeted('cell1')
        block = self.database.writer.using(holder)
        block.__enter__()
        self._update(holder, 'first', '-held')

        @self.database.retrying
        @self.database.writer
        def change(context):
            self.calls.append('called')
            context.session.execute(sa.text(self.short_wait))
            if len(self.calls) == 2:
                block.__exit__(None, None, None)
            self._update(context, 'first', '-x')

        change(self.targeted('cell1'))
        self.assertEqual(2, len(self.calls))
        self.assertIn('first-held-x', helpers.stored(self.url))


class TestRetryOnMariaDB(RetryTests, helpers.DeploymentTestCase):
    backend = 'mariadb'
    short_wait = 'SET innodb_lock_wait_timeout = 1'

    def _swallowing(self, decorate):
        """Crossing transactions that swallow a deadlock, and go on."""
        cross = self._crossing(
            lambda f: f, self.database.writer.savepoint.using
        )
        swallowed = []

        def change(context, rows, mark):
            with self.database.writer.using(context):
                try:
                    cross(context, rows, mark)
                except oslo_exception.DBDeadlock as exc:
                    swallowed.append(exc)
                self.add(context, f'after {mark}')

        return decorate(change), swallowed

    def test_swallowed_deadlock_commits_no_half_transaction(self):
        change, swallowed = self._swallowing(lambda f: f)
        (error,) = self._race(change)
        self.assertEqual([error], swallowed)
        found = helpers.stored(self.url)
        self.assertEqual(
            1, len([word for word in found if word.startswith('after')])
        )

    def test_swallowed_deadlock_is_repeated(self):
        change, swallowed = self._swallowing(self.database.retrying)
        self.assertEqual([], self._race(change))
        self.assertEqual(1, len(swallowed))
        found = helpers.stored(self.url)
        self.assertEqual(['after x', 'after y'], sorted(found[-2:]))
        self.assertEqual({'x', 'y'}, set(found[1]) & set('xy'))

    def test_deadlock_swallowed_at_the_end_is_raised_by_the_commit(self):
        cross = self._crossing(lambda f: f)

        def change(context, rows, mark):
            with (
                self.database.writer.using(context),
                contextlib.suppress(oslo_exception.DBDeadlock),
            ):
                cross(context, rows, mark)

        (error,) = self._race(change)
        self.assertIsInstance(error, oslo_exception.DBDeadlock)

    def test_caller_that_rolled_back_begins_anew(self):
        cross = self._crossing(lambda f: f)

        def change(context, rows, mark):
            with self.database.writer.using(context) as session:
                try:
                    cross(context, rows, mark)
                except oslo_exception.DBDeadlock:
                    session.rollback()
                    self.add(context, 'anew')

        self.assertEqual([], self._race(change))
        self.assertIn('anew', helpers.stored(self.url))

    def _conflicts(self):
        import pymysql

        message = 'Deadlock found when trying to get lock'
        return [pymysql.err.OperationalError(1213, message)] * 2


class TestRetryOnPostgreSQL(RetryTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
    short_wait = "SET LOCAL lock_timeout = '500ms'"

    def _conflicts(self):
        import psycopg

        return [
            psycopg.errors.SerializationFailure('could not serialize access'),
            psycopg.errors.DeadlockDetected('deadlock detected'),
        ]


class DeadConnectionTests:
    """Pooled connections that the server has ended meanwhile."""

    def setUp(self):
        super().setUp()
        # Else a ping would find them dead before anything else does.
        self.deploy(options={'cell_database.ping_after': 3600})
        self.cctxt = self.targeted('cell1')
        self.url = self.deployment.cells[0].database_connection

    def _kill(self):
        """Warm the pools of both lanes up, and have the server end them."""
        self.words(self.cctxt)
        self.words_alone(self.cctxt)
        self.assertEqual(2, helpers.kill_connections(self.url))

    def test_outermost_reader_is_repeated_once(self):
        self._kill()
        self.assertEqual(['cell1'], self.words(self.cctxt))
        self.assertEqual(['cell1'], self.words_alone(self.cctxt))

    def test_repeated_reader_runs_twice_and_no_more(self):
        self._kill()
        calls = []

        @self.database.reader
        def read(context):
            calls.append(1)
            helpers.kill_connections(self.url)
            return helpers.words(context)

        error = self.assertRaises(exception.CellUnavailable, read, self.cctxt)
        self.assertEqual(2, len(calls))
        self.assertTrue(error.before_first_statement)

    def test_writer_is_not_repeated(self):
        self._kill()
        error = self.assertRaises(
            exception.CellUnavailable, self.add, self.cctxt, 'x'
        )
        self.assertTrue(error.before_first_statement)
        self.assertEqual(self.deployment.cells[0].uuid, error.cell_uuid)
        self.assertEqual('cell1', error.cell_name)
        self.add(self.cctxt, 'y')
        self.assertEqual(['cell1', 'y'], helpers.stored(self.url))

    def test_block_is_not_repeated(self):
        self._kill()

        def read():
            with self.database.reader.using(self.cctxt):
                return helpers.words(self.cctxt)

        self.assertRaises(exception.CellUnavailable, read)
        self.assertEqual(['cell1'], read())

    def test_nested_reader_is_not_repeated(self):
        calls = []

        @self.database.reader
        def read(context):
            calls.append(1)
            return helpers.words(context)

        def outer():
            with self.database.writer.using(self.cctxt):
                helpers.kill_connections(self.url)
                return read(self.cctxt)

        error = self.assertRaises(exception.CellUnavailable, outer)
        self.assertEqual(1, len(calls))
        self.assertTrue(error.before_first_statement)

    def test_reader_that_had_an_answer_is_not_repeated(self):
        calls = []

        @self.database.reader
        def read(context):
            calls.append(1)
            helpers.words(context)
            helpers.kill_connections(self.url)
            return helpers.words(context)

        error = self.assertRaises(exception.CellUnavailable, read, self.cctxt)
        self.assertEqual(1, len(calls))
        self.assertFalse(error.before_first_statement)

    def test_reader_is_not_repeated_for_another_database(self):
        calls = []
        other = self.targeted('cell2', self.cctxt)
        there = self.deployment.cells[1].database_connection
        self.words(other)
        helpers.kill_connections(there)

        @self.database.reader
        def read(context):
            calls.append(1)
            self.add(other, 'x')

        self.assertRaises(exception.CellUnavailable, read, self.cctxt)
        self.assertEqual(1, len(calls))

    def test_reader_that_wrote_elsewhere_first_is_not_repeated(self):
        other = self.targeted('cell2', self.cctxt)
        self._kill()

        @self.database.reader
        def read(context):
            self.add(other, 'x')
            return helpers.words(context)

        self.assertRaises(exception.CellUnavailable, read, self.cctxt)
        self.assertEqual(
            ['cell2', 'x'],
            helpers.stored(self.deployment.cells[1].database_connection),
        )

    def test_ping_finds_what_died_while_it_was_idle(self):
        self.deploy(1, options={'cell_database.ping_after': 0})
        cctxt = self.targeted('cell1')
        url = self.deployment.cells[0].database_connection
        self.add(cctxt, 'x')
        helpers.kill_connections(url)
        self.add(cctxt, 'y')
        self.assertEqual(['cell1', 'x', 'y'], helpers.stored(url))


def _for_each_backend(tests, *backends):
    """A test class for each database."""
    titles = {
        'sqlite': 'Sqlite',
        'mariadb': 'MariaDB',
        'postgresql': 'PostgreSQL',
    }
    topic = tests.__name__.removesuffix('Tests')
    for backend in backends:
        name = f'Test{topic}On{titles[backend]}'
        globals()[name] = type(
            name,
            (tests, helpers.DeploymentTestCase),
            {'backend': backend, '__module__': __name__},
        )


_for_each_backend(JoinTests, 'sqlite', 'mariadb', 'postgresql')
_for_each_backend(OutcomeTests, 'sqlite', 'mariadb', 'postgresql')
_for_each_backend(BlockTests, 'sqlite', 'mariadb', 'postgresql')
_for_each_backend(HookTests, 'sqlite', 'mariadb', 'postgresql')
_for_each_backend(FunctionTests, 'sqlite')
_for_each_backend(IndependentTests, 'mariadb', 'postgresql')
_for_each_backend(DeadConnectionTests, 'mariadb', 'postgresql')
