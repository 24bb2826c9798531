"""The lab's check, on databases that were made by hand."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import time

import fixtures
import testtools

from cellplug.lab import check


class TestCheck(testtools.TestCase):
    """Two cells; what is in them is up to the test."""

    def setUp(self):
        super().setUp()
        self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.execute(
            'api',
            'CREATE TABLE cell_mapping (uuid, name, database_connection);'
            'CREATE TABLE instance_mapping (instance_uuid, cell_uuid);',
        )
        for name in ('cell1', 'cell2'):
            self.execute(
                'api',
                f"INSERT INTO cell_mapping VALUES ('u-{name}', '{name}',"
                f" '{self.url(name)}');",
            )
            self.execute(
                name,
                'CREATE TABLE lab_instances (uuid);'
                'CREATE TABLE cell_identity (cell_uuid);'
                f"INSERT INTO cell_identity VALUES ('u-{name}');",
            )

    def url(self, name):
        return f'sqlite:///{self.place}/{name}.sqlite'

    def execute(self, name, script):
        path = self.place / f'{name}.sqlite'
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)

    def map(self, instance, cell):
        self.execute(
            'api',
            f"INSERT INTO instance_mapping VALUES ('{instance}', 'u-{cell}');",
        )

    def put(self, instance, cell):
        self.execute(cell, f"INSERT INTO lab_instances VALUES ('{instance}');")

    def check(self, deleted=()):
        return check.check(self.url('api'), deleted)

    def test_what_lies_where_its_mapping_says_is_good(self):
        self.map('a', 'cell1')
        self.put('a', 'cell1')
        outcome = self.check(deleted=['b'])
        self.assertTrue(outcome.holds)
        self.assertEqual(
            (1, {'cell1': 1, 'cell2': 0}, 1),
            (outcome.mappings, outcome.rows, outcome.deleted),
        )

    def test_an_instance_in_two_cells_is_one_too_many(self):
        self.map('a', 'cell1')
        self.put('a', 'cell1')
        self.put('a', 'cell2')
        self.assertEqual(
            ['instance a is mapped to cell1 and lies in cell1 and cell2'],
            self.check().problems,
        )

    def test_a_deleted_instance_must_not_be_mapped_either(self):
        self.map('a', 'cell1')
        self.put('a', 'cell1')
        self.assertEqual(
            'instance a was deleted, and is still in cell1 and the '
            'instance mappings',
            self.check(deleted=['a']).problems[0],
        )

    def test_an_unclaimed_database_is_a_problem(self):
        self.execute('cell1', 'DELETE FROM cell_identity;')
        self.assertEqual(
            ["cell1's database says that it belongs to cell None"],
            self.check().problems,
        )

    def test_a_cell_that_cannot_be_read_is_named_once(self):
        for instance in 'abc':
            self.map(instance, 'cell1')
        self.execute('cell1', 'DROP TABLE lab_instances;')
        problems = self.check().problems
        self.assertEqual(1, len(problems), problems)
        self.assertIn('cell1 cannot be read', problems[0])

    def test_an_api_database_that_cannot_be_read_is_the_only_problem(self):
        (self.place / 'api.sqlite').unlink()
        problems = self.check().problems
        self.assertEqual(1, len(problems), problems)
        self.assertIn('the API database cannot be read', problems[0])

    def test_what_it_says_of_a_server_that_is_down_holds_no_secret(self):
        self.execute(
            'api',
            'UPDATE cell_mapping SET database_connection ='
            " 'mysql+pymysql://me:hidden@127.0.0.1:1/x' WHERE name = 'cell2';",
        )
        problems = self.check().problems
        self.assertEqual(1, len(problems), problems)
        self.assertIn('cell2 cannot be read', problems[0])
        self.assertNotIn('hidden', problems[0])

    def test_many_instances_take_no_longer_than_they_must(self):
        rows = ','.join(f"('{n}')" for n in range(50000))
        pairs = ','.join(f"('{n}', 'u-cell1')" for n in range(50000))
        self.execute('cell1', f'INSERT INTO lab_instances VALUES {rows};')
        self.execute('api', f'INSERT INTO instance_mapping VALUES {pairs};')
        began = time.monotonic()
        self.assertTrue(self.check().holds)
        self.assertLess(time.monotonic() - began, 60)
