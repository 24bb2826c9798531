"""The migrations' scripts, without a server."""

from __future__ import annotations

import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import sqlalchemy as sa

from cellplug.db import migrating
from cellplug.db import schema


def branch(one):
    return migrating.Branch(
        f'{one.package}.alembic', one.version_table, one.metadata()
    )


class TestScripts(unittest.TestCase):
    def test_the_newest_is_the_one_this_release_works_with(self):
        for one in schema.SCHEMAS:
            self.assertEqual(one.head(), branch(one).revisions()[0])

    def test_revisions_of_two_schemas_cannot_be_mixed_up(self):
        api, cell = (set(branch(one).revisions()) for one in schema.SCHEMAS)

        self.assertFalse(api & cell)
        self.assertNotEqual(
            schema.API.version_table, schema.CELL.version_table
        )

    def test_what_makes_a_new_one_is_there(self):
        for one in schema.SCHEMAS:
            config = branch(one).config()
            folder = pathlib.Path(config.get_main_option('script_location'))

            self.assertTrue((folder / 'script.py.mako').is_file())

    def test_a_table_belongs_to_one_schema(self):
        api, cell = (set(one.metadata().tables) for one in schema.SCHEMAS)

        self.assertFalse(api & cell)


class TestStartUp(unittest.TestCase):
    def test_alembic_is_imported_when_needed(self):
        code = (
            'import sys, cellplug.db.schema as s; s.API.head(); '
            'sys.exit("alembic" in sys.modules)'
        )

        done = subprocess.run([sys.executable, '-c', code])

        self.assertEqual(0, done.returncode)


class TestManners(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.engine = sa.create_engine(f'sqlite:///{folder.name}/db')
        self.addCleanup(self.engine.dispose)

    def test_logging_stays_as_it_is(self):
        def state():
            names = ('', 'alembic', 'sqlalchemy', 'cellplug')
            loggers = [logging.getLogger(name) for name in names]
            return [
                (one.level, one.disabled, list(one.handlers))
                for one in loggers
            ]

        before = state()

        schema.API.sync(self.engine)

        self.assertEqual(before, state())

    def test_no_file_is_written_beside_the_database(self):
        before = sorted(os.listdir())

        schema.API.sync(self.engine)

        self.assertEqual(before, sorted(os.listdir()))

    def test_a_table_in_the_way_leaves_nothing_behind(self):
        with self.engine.begin() as connection:
            connection.exec_driver_sql('CREATE TABLE quotas (id INTEGER)')

        with self.assertRaisesRegex(Exception, 'quotas'):
            schema.API.sync(self.engine)

        self.assertEqual(['quotas'], sa.inspect(self.engine).get_table_names())
