"""Statements that go past SQLAlchemy's results, on the three databases."""

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

        wanted = self.assertRaises(
            oslo_exception.DBError, ask_by_sqlalchemy, self.cctxt
        )
        found = self.assertRaises(oslo_exception.DBError, ask, self.cctxt)
        self.assertEqual(repr(wanted), repr(found))


class TestPreparedOnSQLite(PreparedTests, helpers.DeploymentTestCase):
    backend = 'sqlite'

    # A file has no connections that somebody else could end.
    test_outlives_the_death_of_its_connection = None
    test_an_answer_counts_as_one = None


class TestPreparedOnMariaDB(PreparedTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestPreparedOnPostgreSQL(PreparedTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
