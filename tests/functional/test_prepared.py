"""Statements that go past SQLAlchemy's results, on the three databases."""

import contextlib
import signal
import uuid

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

from cellplug import exception
from cellplug.db import prepared
from tests.functional import helpers_deployment as helpers

NOTE = sa.table('note', sa.column('id'), sa.column('word'))
BY_WORD = (
    sa.select(NOTE.c.id, NOTE.c.word)
    .where(NOTE.c.word == sa.bindparam('word'))
    .order_by(NOTE.c.id)
)
ERRORS = (oslo_exception.DBError, sa.exc.DBAPIError)
STRANGE = ("it's", 'per%cent %s %(word)s', 'back\\slash', '"', 'snow ☃')


class PreparedTests:
    def setUp(self):
        super().setUp()
        self.deploy(1, options={'cell_database.ping_after': 3600})
        self.statement = prepared.Prepared(BY_WORD)
        self.url = self.deployment.cells[0].database_connection
        self.cctxt = self.targeted('cell1')
        for word in STRANGE:
            self.add(self.cctxt, word)

    def add(self, cctxt, word):
        with self.database.writer.using(cctxt):
            helpers.add(cctxt, word)

    def first(self, word):
        @self.database.reader.single.connection
        def find(context):
            return self.statement.first(context.session, word=word)

        return find(self.cctxt)

    def test_finds_what_sqlalchemy_finds(self):
        for word in STRANGE:
            with self.database.reader.using(self.cctxt) as session:
                (found,) = session.execute(BY_WORD, {'word': word}).all()
            self.assertEqual(tuple(found), tuple(self.first(word)))

    def test_finds_nothing_where_there_is_nothing(self):
        self.assertIsNone(self.first('none'))

    def test_joins_a_transaction(self):
        with self.database.writer.using(self.cctxt) as session:
            helpers.add(self.cctxt, 'fresh')
            self.assertEqual(
                'fresh', self.statement.first(session, word='fresh')[1]
            )
            self.assertEqual('fresh', self.first('fresh')[1])

    @contextlib.contextmanager
    def change_and_look(self):
        """In a transaction that has begun, without a session."""
        with self.database.writer.connection.using(self.cctxt) as connection:
            connection.execute(sa.insert(NOTE), {'word': 'fresh'})
            found = self.statement.first(connection, word='fresh')
            self.assertEqual('fresh', found[1])
            yield

    def test_joins_a_transaction_that_has_no_session(self):
        with self.change_and_look():
            pass
        self.assertEqual('fresh', self.first('fresh')[1])

    def test_keeps_nothing_of_one_that_is_rolled_back(self):
        with contextlib.suppress(ValueError):
            with self.change_and_look():
                raise ValueError
        self.assertIsNone(self.first('fresh'))

    def test_begins_a_transaction_where_it_comes_first(self):
        with self.database.writer.connection.using(self.cctxt) as connection:
            self.assertEqual(
                '"', self.statement.first(connection, word='"')[1]
            )
            connection.execute(sa.delete(NOTE).where(NOTE.c.word == '"'))
        self.assertIsNone(self.first('"'))
        with self.database.reader.connection.using(self.cctxt) as connection:
            self.assertIsNone(self.statement.first(connection, word='"'))

    def test_outlives_the_death_of_its_connection(self):
        self.first('"')
        helpers.kill_connections(self.url)
        self.assertEqual('"', self.first('"')[1])

    def test_an_answer_counts_as_one(self):
        @self.database.reader.single.connection
        def fail(context):
            self.statement.first(context.session, word='"')
            calls.append('called')
            helpers.kill_connections(self.url)
            return self.statement.first(context.session, word='"')

        calls = []
        error = self.assertRaises(exception.CellUnavailable, fail, self.cctxt)
        self.assertFalse(error.before_first_statement)
        self.assertEqual(['called'], calls)

    def test_an_error_is_the_one_that_sqlalchemy_raises(self):
        missing = sa.select(sa.column('x')).select_from(sa.table('missing'))

        @self.database.reader.single.connection
        def ask(context):
            return prepared.Prepared(missing).first(context.session)

        @self.database.reader.single.connection
        def ask_by_sqlalchemy(context):
            return context.session.execute(missing).first()

        wanted = self.assertRaises(ERRORS, ask_by_sqlalchemy, self.cctxt)
        found = self.assertRaises(ERRORS, ask, self.cctxt)
        self.assertEqual(repr(wanted), repr(found))


class LockedTests:
    """Look-ups while somebody holds the table."""

    def setUp(self):
        super().setUp()
        self.deploy(1, options={'api_database.read_timeout': 2})
        self.instance = str(uuid.uuid4())
        self.router.instances.map(self.context(), self.instance, 'cell1')
        self._look_up()

    def _look_up(self):
        return self.router.instances.get(self.context(), self.instance)

    @contextlib.contextmanager
    def _locked(self):
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            for statement in self.lock:
                connection.execute(sa.text(statement))
            try:
                yield
            finally:
                connection.execute(sa.text(self.unlock))

    def test_a_look_up_that_takes_too_long_is_not_repeated(self):
        with self._locked():
            error = self.assertRaises(
                exception.DatabaseUnavailable, self._look_up
            )
        self.assertIn(self.says, error.reason)
        self.assertFalse(error.before_first_statement)
        self.assertEqual('cell1', self._look_up().cell.name)

    def test_one_that_is_interrupted_leaves_no_answer_behind(self):
        class StoppedError(BaseException):
            """As threads of other sorts raise it."""

        def interrupt(*_):
            raise StoppedError

        former = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, former)
        with self._locked():
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            self.assertRaises(StoppedError, self._look_up)
        for _ in range(3):
            self.assertEqual('cell1', self._look_up().cell.name)


class TestLockedOnMariaDB(LockedTests, helpers.DeploymentTestCase):
    backend = 'mariadb'
    lock = ('LOCK TABLES instance_mapping WRITE',)
    unlock = 'UNLOCK TABLES'
    says = 'max_statement_time'


class TestLockedOnPostgreSQL(LockedTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
    lock = ('BEGIN', 'LOCK TABLE instance_mapping IN ACCESS EXCLUSIVE MODE')
    unlock = 'ROLLBACK'
    says = 'statement timeout'


class TestPreparedOnSQLite(PreparedTests, helpers.DeploymentTestCase):
    backend = 'sqlite'

    # A file has no connections that somebody else could end.
    test_outlives_the_death_of_its_connection = None
    test_an_answer_counts_as_one = None


class TestPreparedOnMariaDB(PreparedTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestPreparedOnPostgreSQL(PreparedTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
