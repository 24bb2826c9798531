"""The lab's check, on databases that were made by hand."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import time

import fixtures
import testtools

from cellplug.lab import check

OF = 'quota of project p:'
OF_V = 'quota of user v of project p:'


class TestCheck(testtools.TestCase):
    """Two cells; what is in them is up to the test."""

    def setUp(self):
        super().setUp()
        self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.execute(
            'api',
            'CREATE TABLE cell_mapping (uuid, name, database_connection);'
            'CREATE TABLE instance_mapping (instance_uuid, cell_uuid);'
            'CREATE TABLE quota_usages'
            ' (project_id, user_id, resource, in_use, reserved);'
            'CREATE TABLE reservations (uuid);',
        )
        for name in ('cell1', 'cell2'):
            self.execute(
                'api',
                f"INSERT INTO cell_mapping VALUES ('u-{name}', '{name}',"
                f" '{self.url(name)}');",
            )
            self.execute(
                name,
                'CREATE TABLE lab_instances (uuid, project_id,'
                ' user_id, cores, memory_mb, state);'
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

    def put(self, instance, cell, user='u', cores=1, state='active'):
        self.execute(
            cell,
            'INSERT INTO lab_instances VALUES'
            f" ('{instance}', 'p', '{user}', {cores}, 512, '{state}');",
        )

    def keep(self, user, resource, in_use, reserved=0):
        self.execute(
            'api',
            'INSERT INTO quota_usages VALUES'
            f" ('p', '{user}', '{resource}', {in_use}, {reserved});",
        )

    def check(self, deleted=(), **options):
        return check.check(self.url('api'), deleted, **options)

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

    def place_one(self, instance, cell, **values):
        self.map(instance, cell)
        self.put(instance, cell, **values)

    def test_usages_are_the_sum_of_all_cells(self):
        self.place_all()
        for user, instances, cores in (('', 3, 7), ('u', 2, 3), ('v', 1, 4)):
            self.keep(user, 'instances', instances)
            self.keep(user, 'cores', cores)
            self.keep(user, 'memory_mb', instances * 512)
        outcome = self.check()
        self.assertEqual([], outcome.problems)
        self.assertEqual(
            [
                ('', 'instances', 3),
                ('', 'cores', 7),
                ('', 'memory_mb', 1536),
                ('u', 'instances', 2),
                ('u', 'cores', 3),
                ('u', 'memory_mb', 1024),
                ('v', 'instances', 1),
                ('v', 'cores', 4),
                ('v', 'memory_mb', 512),
            ],
            [(b.user, b.resource, b.counted) for b in outcome.books],
        )

    def place_all(self):
        """Three that use something, in two cells, and one that does not."""
        self.place_one('a', 'cell1', cores=1)
        self.place_one('b', 'cell2', cores=2)
        self.place_one('c', 'cell2', user='v', cores=4)
        self.place_one('d', 'cell1', cores=64, state='error')

    def test_a_usage_that_is_off_by_one_is_named_with_both_numbers(self):
        self.place_all()
        self.keep('', 'instances', 4)
        self.keep('v', 'cores', 3)
        self.assertEqual(
            [
                f'{OF} instances in use are 4, and the cells hold 3',
                f'{OF_V} cores in use are 3, and the cells hold 4',
            ],
            self.check().problems,
        )

    def test_whatever_is_reserved_is_left_behind(self):
        self.place_all()
        self.keep('', 'instances', 3, reserved=2)
        self.execute('api', "INSERT INTO reservations VALUES ('r'), ('r');")
        outcome = self.check()
        self.assertEqual(
            [
                '1 reservation has not ended, and nothing is under way',
                f'{OF} instances reserved are 2, and nothing is under way',
            ],
            outcome.problems,
        )
        self.assertEqual(1, outcome.reservations)

    def test_a_usage_of_what_is_gone_is_off_too(self):
        self.keep('w', 'cores', 1)
        self.assertIn('the cells hold 0', self.check().problems[0])

    def test_what_no_usage_counts_yet_is_no_problem(self):
        self.place_all()
        outcome = self.check()
        self.assertTrue(outcome.holds)
        self.assertEqual([], outcome.books)

    def test_resources_of_others_are_not_looked_at(self):
        self.keep('', 'volumes', 9)
        self.assertTrue(self.check().holds)

    def test_a_negative_delta_left_open_is_said_by_the_reservations(self):
        self.execute('api', "INSERT INTO reservations VALUES ('r');")
        problems = self.check().problems
        self.assertEqual(
            ['1 reservation has not ended, and nothing is under way'],
            problems,
        )

    def test_quotas_that_are_kept_elsewhere_are_left_out(self):
        self.execute('api', 'DROP TABLE quota_usages;')
        outcome = self.check(quotas=False)
        self.assertTrue(outcome.holds)
        self.assertIsNone(outcome.books)

    def test_a_sum_without_one_cell_is_no_sum(self):
        self.place_all()
        self.keep('', 'instances', 3)
        self.execute('cell2', 'DROP TABLE cell_identity;')
        outcome = self.check()
        self.assertEqual(1, len(outcome.problems), outcome.problems)
        self.assertIsNone(outcome.books)

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
        rest = "'p', 'u', 1, 1, 'active'"
        rows = ','.join(f"('{n}', {rest})" for n in range(50000))
        pairs = ','.join(f"('{n}', 'u-cell1')" for n in range(50000))
        self.execute('cell1', f'INSERT INTO lab_instances VALUES {rows};')
        self.execute('api', f'INSERT INTO instance_mapping VALUES {pairs};')
        began = time.monotonic()
        self.assertTrue(self.check().holds)
        self.assertLess(time.monotonic() - began, 60)
