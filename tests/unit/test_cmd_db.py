"""``cellplug-manage api-db`` and ``db``: schemas and claims."""

from __future__ import annotations

import pathlib
import sqlite3

from cellplug.db import schema
from tests.unit import test_cmd_base

UUID = '0c91ac2e-2a3b-4d5c-8e1f-5b6a7c8d9e0f'


def path_of(url: str) -> str:
    return url.removeprefix('sqlite:///')


class EmptyAPIDatabaseTest(test_cmd_base.CommandTestCase):
    """What every new deployment meets first."""

    synced = False

    def test_every_command_that_reads_says_what_to_do(self) -> None:
        url = self.run_command.fresh_database()
        cell = ['--name', 'x', '--database-connection', url,
                '--transport-url', 'fake://x/']  # fmt: skip
        for argv in (
            ['cell', 'list'],
            ['cell', 'show', 'cell1'],
            ['cell', 'update', 'cell1', '--name', 'x'],
            ['cell', 'delete', 'cell1'],
            ['cell', 'verify', 'cell1'],
            ['cell', 'create', *cell],
            ['cell', 'create', '--no-verify', *cell],
            ['cell', 'ensure', *cell],
            ['db', 'version', '--cell', 'cell1'],
            ['db', 'version', '--all-cells'],
            ['db', 'sync', '--all-cells'],
            ['instance', 'list'],
            ['instance', 'list', '--cell', 'cell1'],
            ['instance', 'show', UUID],
            ['instance', 'map', UUID, 'cell1', '--project', 'p'],
            ['instance', 'map', UUID, UUID, '--project', 'p'],
            ['instance', 'verify', UUID],
        ):
            result = self.run_command(*argv)
            self.assertRefused(
                result, 'API database', 'run: cellplug-manage api-db sync'
            )
        self.assertFalse(pathlib.Path(path_of(url)).exists())

    def test_the_version_is_told_to_be_none(self) -> None:
        result = self.run_command('api-db', 'version', '-f', 'json')
        self.assertEqual(0, result.code)
        self.assertEqual(
            {
                'revision': None,
                'latest': schema.API.head(),
                'current': False,
            },
            result.json,
        )
        self.assertIn('run: cellplug-manage api-db sync', result.err)

    def test_sync_makes_the_tables_and_may_be_repeated(self) -> None:
        head = schema.API.head()
        for _ in range(2):
            self.assertEqual(
                {'revision': head, 'latest': head, 'current': True},
                self.run_command.json('api-db', 'sync'),
            )
        self.assertTrue(self.run_command.json('api-db', 'version')['current'])
        self.assertEqual([], self.run_command.json('cell', 'list'))

    def test_sync_goes_to_the_revision_that_is_passed(self) -> None:
        shown = self.run_command.json('api-db', 'sync', 'api_0001')
        self.assertEqual('api_0001', shown['revision'])

    def test_an_unknown_revision_is_refused_with_those_known(self) -> None:
        result = self.run_command('api-db', 'sync', 'api_9999')
        self.assertRefused(result, "'api_9999'", 'api_0001')
        self.assertIsNone(
            self.run_command.json('api-db', 'version')['revision']
        )


class CellDatabaseTest(test_cmd_base.CommandTestCase):
    def lose_tables(self, name: str) -> None:
        raw = self.run_command.json('cell', 'show', name, '--show-secrets')
        pathlib.Path(path_of(raw['database_connection'])).unlink()

    def test_versions_of_all_cells_have_stable_keys(self) -> None:
        made = [self.run_command.add_cell(name) for name in ('a', 'b')]
        rows = self.run_command.json('db', 'version', '--all-cells')
        head = schema.CELL.head()
        self.assertEqual(
            [
                {
                    'name': cell['name'],
                    'uuid': cell['uuid'],
                    'revision': head,
                    'latest': head,
                    'current': True,
                    'claimed_by': cell['uuid'],
                    'error': None,
                }
                for cell in made
            ],
            rows,
        )

    def test_one_cell_is_named_exactly(self) -> None:
        self.run_command.add_cell('cell10')
        result = self.run_command('db', 'version', '--cell', 'cell1')
        self.assertRefused(result, "'cell1'")

    def test_a_cell_that_fails_leaves_the_others_done(self) -> None:
        self.run_command.add_cell('a')
        self.run_command.add_cell('b')
        self.lose_tables('b')
        raw = self.run_command.json('cell', 'show', 'a', '--show-secrets')
        file = pathlib.Path(path_of(raw['database_connection']))
        file.unlink()
        file.mkdir()
        result = self.run_command('db', 'sync', '--all-cells', '-f', 'json')
        self.assertEqual(1, result.code)
        broken, synced = result.json
        self.assertIn('unavailable', broken['error'])
        self.assertIsNone(broken['revision'])
        self.assertTrue(synced['current'])

    def test_sync_alone_claims_nothing(self) -> None:
        self.run_command.add_cell('a')
        self.lose_tables('a')
        (row,) = self.run_command.json('db', 'sync', '--cell', 'a')
        self.assertTrue(row['current'])
        self.assertIsNone(row['claimed_by'])

    def test_a_database_that_nobody_claimed_is_claimed(self) -> None:
        made = self.run_command.add_cell('a')
        self.lose_tables('a')
        for _ in range(2):
            (row,) = self.run_command.json(
                'db', 'sync', '--cell', 'a', '--claim'
            )
            self.assertEqual(made['uuid'], row['claimed_by'])
        self.assertEqual(0, self.run_command('cell', 'verify', 'a').code)

    def test_a_database_of_another_cell_is_left_alone(self) -> None:
        self.run_command.add_cell('a')
        raw = self.run_command.json('cell', 'show', 'a', '--show-secrets')
        file = path_of(raw['database_connection'])
        with sqlite3.connect(file) as connection:
            connection.execute('UPDATE cell_identity SET cell_uuid = ?',
                               [UUID])  # fmt: skip
        for more in ([], ['--claim']):
            result = self.run_command('db', 'sync', '--cell', 'a', *more)
            self.assertRefused(result, UUID)

    def test_one_cell_or_all_of_them(self) -> None:
        result = self.run_command('db', 'sync', '--cell', 'a', '--all-cells')
        self.assertEqual(2, result.code)


class OwnDatabaseTest(test_cmd_base.CommandTestCase):
    """A worker's database, which no cell mapping leads to."""

    def test_it_is_synced_without_an_api_database(self) -> None:
        url = self.run_command.fresh_database()
        self.run_command.write({'database': [f'connection = {url}']})
        (row,) = self.run_command.json('db', 'version')
        self.assertIsNone(row['revision'])
        (row,) = self.run_command.json('db', 'sync')
        self.assertTrue(row['current'])
        self.assertEqual('[database]', row['name'])

    def test_where_there_is_none_both_ways_out_are_named(self) -> None:
        result = self.run_command('db', 'version')
        self.assertRefused(result, '[database] connection', '--all-cells')

    def test_it_cannot_be_claimed_for_nobody(self) -> None:
        url = self.run_command.fresh_database()
        self.run_command.write({'database': [f'connection = {url}']})
        result = self.run_command('db', 'sync', '--claim')
        self.assertEqual(2, result.code)
        self.assertIn('--claim needs', result.err)
