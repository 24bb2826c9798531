"""What holds on SQLite alone: a file is made on purpose, or not at all."""

import contextlib
import os
import sqlite3
import uuid

import sqlalchemy as sa

import cellplug
from cellplug import exception
from cellplug.cells import verify
from cellplug.testing import deployment
from tests.functional import helpers_deployment as helpers


class TestMissingFiles(helpers.DeploymentTestCase):
    def setUp(self):
        super().setUp()
        self.deploy(1)
        self.url = self.deployment.cells[0].database_connection
        self.path = self.url.removeprefix('sqlite:///')

    def test_a_cell_whose_file_is_gone_is_unavailable(self):
        os.remove(self.path)
        for access in (self.words, self.words_alone):
            error = self.assertRaises(
                exception.CellUnavailable, access, self.targeted('cell1')
            )
            self.assertIn('there is no file', str(error))
            self.assertIn(self.deployment.cells[0].uuid, str(error))
        self.assertFalse(os.path.exists(self.path))

    def test_looking_at_such_a_cell_makes_no_file(self):
        os.remove(self.path)
        found = verify.examine(self.deployment.conf, self.deployment.cells[0])
        self.assertIsInstance(found[0].error, exception.CellUnavailable)
        self.assertFalse(os.path.exists(self.path))

    def test_looking_at_a_cell_to_be_makes_no_file(self):
        path = f'{self.path}.new'
        cell = cellplug.CellMapping(
            uuid=str(uuid.uuid4()),
            name='new',
            database_connection=f'sqlite:///{path}',
            transport_url='none:///',
        )
        found = verify.examine(self.deployment.conf, cell, fresh=True)
        self.assertEqual([None, None], [one.error for one in found])
        self.assertFalse(os.path.exists(path))
        cell = self.router.cells.create(
            name='new',
            database_connection=f'sqlite:///{path}',
            transport_url='none:///',
        )
        self.assertTrue(os.path.exists(path))

    def test_the_own_database_may_be_made_by_the_service(self):
        path = f'{self.path}.own'
        conf = self.useFixture(
            deployment.ConfFixture(
                {'database.connection': f'sqlite:///{path}'}
            )
        ).conf
        database = cellplug.Database()
        with cellplug.CellRouter.from_conf(conf, database=database):
            with database.writer.using(self.context()) as session:
                session.execute(sa.text('CREATE TABLE t (k INT)'))
        self.assertTrue(os.path.exists(path))


class TestWriters(helpers.DeploymentTestCase):
    def test_a_writer_begins_with_its_lock(self):
        """Else it could not wait when it comes to write."""
        self.deploy(1)
        cctxt = self.targeted('cell1')
        path = self.deployment.cells[0].database_connection
        path = path.removeprefix('sqlite:///')
        for access in (self.database.writer, self.database.writer.connection):
            with (
                access.using(cctxt),
                contextlib.closing(sqlite3.connect(path, timeout=0)) as other,
            ):
                self.assertRaises(
                    sqlite3.OperationalError, other.execute, 'BEGIN IMMEDIATE'
                )
