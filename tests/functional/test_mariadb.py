"""What holds on MariaDB alone."""

import logging

import fixtures
import sqlalchemy as sa
from oslo_db import exception as oslo_exception

from cellplug import exception
from tests.functional import helpers_deployment as helpers


class TestMariaDB(helpers.DeploymentTestCase):
    backend = 'mariadb'

    def test_its_own_scheme_is_understood_as_mysql_s_is(self):
        self.deploy(0)
        url = self.deployment.fresh_database()
        cell = self.deployment.add_cell(
            'cell1',
            database_connection=url.replace('mysql+', 'mariadb+'),
        )
        cctxt = self.targeted(cell)
        with self.database.writer.using(cctxt) as session:
            session.execute(sa.text('CREATE TABLE t (k INT PRIMARY KEY)'))
            session.execute(sa.text('INSERT INTO t VALUES (1)'))
        with self.database.writer.using(cctxt) as session:
            self.assertRaises(
                oslo_exception.DBDuplicateEntry,
                session.execute,
                sa.text('INSERT INTO t VALUES (1)'),
            )

    def test_a_connection_that_was_lost_is_let_go_without_a_word(self):
        self.deploy(1, options={'cell_database.ping_after': 3600})
        log = self.useFixture(fixtures.FakeLogger(level=logging.ERROR))
        url = self.deployment.cells[0].database_connection
        cctxt = self.targeted('cell1')
        self.add(cctxt, 'x')
        helpers.kill_connections(url)
        self.assertRaises(exception.CellUnavailable, self.add, cctxt, 'x')
        self.assertEqual('', log.output)

    def test_a_lost_savepoint_says_why_it_was_rolled_back(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        cause = ValueError('why')

        def lose(session):
            with session.begin_nested():
                session.execute(sa.text('ROLLBACK'))
                raise cause

        with self.database.writer.using(cctxt) as session:
            error = self.assertRaises(oslo_exception.DBError, lose, session)
            self.assertIs(cause, error.cause)
            session.rollback()

    def test_columns_are_those_of_the_statement_in_every_cell(self):
        self.deploy(2)
        found = []
        for cell, kind in (('cell1', 'INT'), ('cell2', 'VARCHAR(9)')) * 2:
            with self.database.writer.using(self.targeted(cell)) as session:
                session.execute(
                    sa.text(f'CREATE TABLE IF NOT EXISTS t (k {kind})')
                )
                session.execute(sa.text("INSERT INTO t VALUES ('7')"))
            with self.database.reader.using(self.targeted(cell)) as session:
                rows = session.execute(sa.text('SELECT k FROM t LIMIT 1'))
                other = session.execute(sa.text('SELECT k AS l FROM t'))
                found.append((*rows.keys(), *other.keys(), rows.scalar()))
        self.assertEqual([('k', 'l', 7), ('k', 'l', '7')] * 2, found)
