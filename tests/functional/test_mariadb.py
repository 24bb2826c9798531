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
