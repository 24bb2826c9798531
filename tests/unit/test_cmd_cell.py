"""``cellplug-manage cell``: create, ensure, list, show, update, delete."""

from __future__ import annotations

import pathlib
import sqlite3

from cellplug import objects
from tests.unit import test_cmd_base

UUID = '0c91ac2e-2a3b-4d5c-8e1f-5b6a7c8d9e0f'
KEYS = [
    'uuid', 'name', 'state', 'database_connection', 'slave_connection',
    'transport_url', 'generation', 'created_at', 'updated_at',
]  # fmt: skip


class CellTestCase(test_cmd_base.CommandTestCase):
    def names(self) -> list[str]:
        return [one['name'] for one in self.run_command.json('cell', 'list')]

    def raw(self, cell: str) -> dict[str, str]:
        """The cell with its URLs in clear text."""
        found: dict[str, str]
        found = self.run_command.json('cell', 'show', cell, '--show-secrets')
        return found

    def arguments(self, **values: str) -> list[str]:
        """Those of a new cell, with some of its own."""
        values = {
            'name': 'new',
            'database_connection': self.run_command.fresh_database(),
            'transport_url': 'fake://new/',
            **values,
        }
        argv = []
        for name, value in values.items():
            argv += ['--' + name.replace('_', '-'), value]
        return argv


class CreateTest(CellTestCase):
    def test_a_new_cell_is_shown_with_stable_keys(self) -> None:
        argv = self.arguments(name='cell1', uuid=UUID, state='no_new')
        made = self.run_command.json('cell', 'create', *argv)
        self.assertEqual(KEYS, list(made))
        self.assertEqual('cell1', made['name'])
        self.assertEqual(UUID, made['uuid'])
        self.assertEqual('no_new', made['state'])
        self.assertIsNone(made['slave_connection'])
        self.assertRegex(made['created_at'], r'\A\d{4}-.*:\d\dZ\Z')

    def test_its_database_is_claimed_and_has_its_tables(self) -> None:
        self.run_command.add_cell('cell1', uuid=UUID)
        (row,) = self.run_command.json('db', 'version', '--cell', 'cell1')
        self.assertTrue(row['current'])
        self.assertEqual(UUID, row['claimed_by'])

    def test_cell0_needs_a_database_alone(self) -> None:
        url = self.run_command.fresh_database()
        made = self.run_command.json(
            'cell', 'create', '--cell0', '--database-connection', url
        )
        self.assertEqual(objects.CELL0_UUID, made['uuid'])
        self.assertEqual('cell0', made['name'])
        self.assertEqual('none:///', made['transport_url'])

    def test_cell0_cannot_be_contradicted(self) -> None:
        result = self.run_command('cell', 'create', *self.arguments(),
                                  '--cell0')  # fmt: skip
        self.assertEqual(2, result.code)
        self.assertIn('--cell0 fixes', result.err)
        self.assertEqual([], self.names())

    def test_what_is_missing_is_named(self) -> None:
        result = self.run_command('cell', 'create', '--name', 'cell1')
        self.assertEqual(2, result.code)
        self.assertIn('--database-connection, --transport-url', result.err)

    def test_urls_are_read_from_standard_input_in_order(self) -> None:
        url = self.run_command.fresh_database()
        replica = self.run_command.fresh_database()
        argv = self.arguments(
            slave_connection='-', transport_url='-', database_connection='-'
        )
        self.run_command.json(
            'cell', 'create', *argv, stdin=f'{url}\nfake://in/\n{replica}\n'
        )
        raw = self.raw('new')
        self.assertEqual(url, raw['database_connection'])
        self.assertEqual('fake://in/', raw['transport_url'])
        self.assertEqual(replica, raw['slave_connection'])

    def test_a_line_that_is_missing_is_named(self) -> None:
        argv = self.arguments(transport_url='-')
        result = self.run_command('cell', 'create', *argv)
        self.assertRefused(result, 'transport_url', 'standard input')


class RefusalTest(CellTestCase):
    """What cannot be: one line, exit code 1, nothing written."""

    def setUp(self) -> None:
        super().setUp()
        self.first = self.run_command.add_cell('cell1', uuid=UUID)
        self.before = self.run_command.json('cell', 'list')

    def assertCreateRefused(self, *words: str, **values: str) -> None:
        argv = self.arguments(**values)
        result = self.run_command('cell', 'create', *argv)
        self.assertRefused(result, *words)
        self.assertEqual(self.before, self.run_command.json('cell', 'list'))

    def assertUpdateRefused(self, *words: str, **values: str) -> None:
        self.run_command.add_cell('cell2')
        before = self.raw('cell2')
        argv = []
        for name, value in values.items():
            argv += ['--' + name.replace('_', '-'), value]
        result = self.run_command('cell', 'update', 'cell2', *argv)
        self.assertRefused(result, *words)
        self.assertEqual(before, self.raw('cell2'))

    def test_a_url_that_is_none(self) -> None:
        self.assertCreateRefused(
            'database_connection', 'is no URL', database_connection='here'
        )
        self.assertCreateRefused(
            'transport_url', 'is no URL', transport_url='there'
        )

    def test_an_unknown_scheme(self) -> None:
        self.assertCreateRefused(
            "'oracle'", 'mysql+pymysql', database_connection='oracle://h/d'
        )
        self.assertCreateRefused(
            "'zeromq'", 'rabbit', transport_url='zeromq://h/'
        )

    def test_a_scheme_that_must_name_its_driver(self) -> None:
        self.assertCreateRefused(
            "'mysql'", 'mysql+pymysql://', database_connection='mysql://h/d'
        )
        self.assertCreateRefused(
            "'postgresql'",
            'postgresql+psycopg://',
            database_connection='postgresql://h/d',
        )

    def test_a_driver_that_is_not_installed(self) -> None:
        self.assertCreateRefused(
            'driver', database_connection='mysql+absent://h/d'
        )

    def test_an_option_in_the_query_that_oslo_messaging_does_not_know(
        self,
    ) -> None:
        self.assertCreateRefused(
            'transport_url',
            'query',
            transport_url='rabbit://u:p@127.0.0.1:1/?colour=red',
        )

    def test_a_name_that_looks_like_a_uuid(self) -> None:
        self.assertCreateRefused('name', 'looks like a uuid', name=UUID)

    def test_a_uuid_that_is_none(self) -> None:
        self.assertCreateRefused('uuid', "'abc'", uuid='abc')

    def test_a_name_uuid_database_or_queue_of_another_cell(self) -> None:
        raw = self.raw('cell1')
        for name in ('name', 'uuid', 'database_connection', 'transport_url'):
            self.assertCreateRefused("'cell1'", name, **{name: raw[name]})

    def test_no_verify_does_not_help_against_duplicates(self) -> None:
        argv = self.arguments(name='cell1')
        result = self.run_command('cell', 'create', '--no-verify', *argv)
        self.assertRefused(result, "'cell1'", 'name')

    def test_an_update_to_what_another_cell_has(self) -> None:
        raw = self.raw('cell1')
        self.assertUpdateRefused(
            "'cell1'", 'transport_url', transport_url=raw['transport_url']
        )

    def test_an_update_to_another_name(self) -> None:
        self.assertUpdateRefused("'cell1'", name='cell1')

    def test_a_database_with_the_identity_of_another_cell(self) -> None:
        url = self.raw('cell1')['database_connection']
        self.run_command('cell', 'delete', 'cell1')
        self.before = []
        self.assertCreateRefused(
            UUID, 'nothing was written', database_connection=url
        )

    def test_a_database_that_cannot_be_reached(self) -> None:
        self.assertCreateRefused(
            'the database of cell',
            'unavailable',
            'nothing was written',
            database_connection='sqlite:////nonexistent/cell.sqlite',
        )

    def test_a_replica_that_cannot_be_reached(self) -> None:
        self.assertCreateRefused(
            'unavailable',
            '--no-verify',
            slave_connection='sqlite:////nonexistent/cell.sqlite',
        )

    def test_an_unknown_cell(self) -> None:
        for argv in (
            ['show', 'cell10'],
            ['update', 'cell10', '--name', 'x'],
            ['delete', 'cell10'],
            ['verify', 'cell10'],
            ['show', objects.CELL0_UUID],
        ):
            result = self.run_command('cell', *argv)
            self.assertRefused(result, argv[1], 'does not exist')

    def test_an_empty_name_of_a_cell(self) -> None:
        self.assertRefused(self.run_command('cell', 'show', ''), 'cell')

    def test_a_cell_in_use_is_not_deleted(self) -> None:
        self.run_command.json('instance', 'map', UUID, 'cell1',
                              '--project', 'p')  # fmt: skip
        result = self.run_command('cell', 'delete', 'cell1')
        self.assertRefused(result, "'cell1'", '1 instance mapping')
        self.assertEqual(['cell1'], self.names())

    def test_columns_that_do_not_exist(self) -> None:
        result = self.run_command('cell', 'list', '-c', 'colour')
        self.assertEqual(2, result.code)
        self.assertIn('columns are name, uuid, state', result.err)


class ListTest(CellTestCase):
    def test_without_cells_there_is_an_empty_list(self) -> None:
        self.assertEqual([], self.run_command.json('cell', 'list'))

    def test_the_keys_are_stable(self) -> None:
        self.run_command.add_cell('cell1', uuid=UUID)
        (one,) = self.run_command.json('cell', 'list')
        self.assertEqual(
            ['name', 'uuid', 'state', 'database_connection', 'transport_url'],
            list(one),
        )

    def test_it_works_while_cells_are_down(self) -> None:
        made = self.run_command.add_cell('cell1')
        pathlib.Path(made['database_connection'][len('sqlite:///') :]).unlink()
        self.assertEqual(['cell1'], self.names())
        self.run_command.json('cell', 'show', 'cell1')

    def test_every_format_prints_the_cells(self) -> None:
        self.run_command.add_cell('cell1', uuid=UUID)
        for form in ('json', 'yaml', 'csv', 'value', 'table'):
            result = self.run_command('cell', 'list', '-f', form)
            self.assertEqual(0, result.code)
            self.assertIn(UUID, result.out)

    def test_one_value_can_be_picked(self) -> None:
        self.run_command.add_cell('cell1', uuid=UUID)
        result = self.run_command(
            'cell', 'show', 'cell1', '-f', 'value', '-c', 'uuid'
        )
        self.assertEqual(f'{UUID}\n', result.out)

    def test_names_match_exactly(self) -> None:
        for number, name in enumerate(('cell10', 'cell1', 'CELL1')):
            url = f'fake://queue{number}/'
            self.run_command.add_cell(name, transport_url=url)
        for name in ('cell10', 'cell1', 'CELL1'):
            found = self.run_command.json('cell', 'show', name)
            self.assertEqual(name, found['name'])
            by_uuid = self.run_command.json('cell', 'show', found['uuid'])
            self.assertEqual(found, by_uuid)
        result = self.run_command('cell', 'show', 'cell')
        self.assertRefused(result, "'cell'")


class UpdateTest(CellTestCase):
    def test_only_what_is_passed_changes(self) -> None:
        self.run_command.add_cell('cell1')
        before = self.raw('cell1')
        self.run_command.json('cell', 'update', 'cell1', '--name', 'east')
        after = self.raw('east')
        for key in KEYS:
            same = key not in ('name', 'generation', 'updated_at')
            self.assertEqual(same, before[key] == after[key], key)

    def test_a_cell_that_is_down_can_be_renamed(self) -> None:
        made = self.run_command.add_cell('cell1')
        file = made['database_connection'][len('sqlite:///') :]
        pathlib.Path(file).unlink()
        pathlib.Path(file).mkdir()
        self.run_command.json(
            'cell', 'update', 'cell1', '--name', 'east', '--state', 'disabled'
        )
        self.assertEqual('disabled', self.raw('east')['state'])

    def test_a_new_database_is_claimed(self) -> None:
        made = self.run_command.add_cell('cell1')
        url = self.run_command.fresh_database()
        self.run_command.json(
            'cell', 'update', 'cell1', '--database-connection', '-',
            stdin=f'{url}\n',
        )  # fmt: skip
        (row,) = self.run_command.json('db', 'version', '--cell', 'cell1')
        self.assertEqual(made['uuid'], row['claimed_by'])
        self.assertEqual(url, self.raw('cell1')['database_connection'])

    def test_an_empty_replica_removes_it(self) -> None:
        replica = self.run_command.fresh_database()
        self.run_command.add_cell('cell1', slave_connection=replica)
        self.assertEqual(replica, self.raw('cell1')['slave_connection'])
        self.run_command.json(
            'cell', 'update', 'cell1', '--slave-connection', ''
        )
        self.assertIsNone(self.raw('cell1')['slave_connection'])

    def test_nothing_passed_is_wrong_usage(self) -> None:
        self.run_command.add_cell('cell1')
        self.assertEqual(2, self.run_command('cell', 'update', 'cell1').code)

    def test_the_uuid_cannot_be_changed(self) -> None:
        self.run_command.add_cell('cell1')
        result = self.run_command('cell', 'update', 'cell1', '--uuid', UUID)
        self.assertEqual(2, result.code)


class EnsureTest(CellTestCase):
    def ensure(self, *argv: str) -> str:
        result: str = self.run_command.json('cell', 'ensure', *argv)['result']
        return result

    def test_it_creates_then_does_nothing_then_updates(self) -> None:
        argv = self.arguments(name='cell1')
        self.assertEqual('created', self.ensure(*argv))
        before = self.raw('cell1')
        self.assertEqual('unchanged', self.ensure(*argv))
        self.assertEqual(before, self.raw('cell1'))
        argv = [*argv[:-1], 'fake://elsewhere/']
        self.assertEqual('updated', self.ensure(*argv))
        self.assertEqual('fake://elsewhere/', self.raw('cell1')[
            'transport_url'
        ])  # fmt: skip
        self.assertEqual('unchanged', self.ensure(*argv))

    def test_what_is_not_passed_stays(self) -> None:
        argv = self.arguments(name='cell1')
        self.assertEqual('created', self.ensure(*argv, '--state', 'no_new'))
        self.assertEqual('unchanged', self.ensure(*argv))
        self.assertEqual('no_new', self.raw('cell1')['state'])

    def test_another_cell_is_not_taken_for_it(self) -> None:
        self.run_command.add_cell('cell10')
        self.assertEqual('created', self.ensure(*self.arguments(name='cell1')))
        self.assertEqual(['cell10', 'cell1'], self.names())

    def test_by_its_uuid_a_cell_is_renamed(self) -> None:
        argv = self.arguments(name='cell1', uuid=UUID)
        self.ensure(*argv)
        self.assertEqual('updated', self.ensure(*argv, '--name', 'east'))
        self.assertEqual(['east'], self.names())

    def test_a_name_with_another_uuid_is_refused(self) -> None:
        self.run_command.add_cell('cell1')
        argv = self.arguments(name='cell1', uuid=UUID)
        result = self.run_command('cell', 'ensure', *argv)
        self.assertRefused(result, "'cell1'", 'name')

    def test_cell0_is_ensured_as_well(self) -> None:
        argv = ['--cell0', '--database-connection',
                self.run_command.fresh_database()]  # fmt: skip
        self.assertEqual('created', self.ensure(*argv))
        self.assertEqual('unchanged', self.ensure(*argv))

    def test_an_unchanged_cell_is_not_connected_to(self) -> None:
        argv = self.arguments(name='cell1')
        self.ensure(*argv)
        pathlib.Path(argv[3][len('sqlite:///') :]).unlink()
        self.assertEqual('unchanged', self.ensure(*argv))


class DeleteTest(CellTestCase):
    def test_a_cell_is_deleted_by_its_exact_name(self) -> None:
        self.run_command.add_cell('cell1')
        self.run_command.add_cell('cell10')
        result = self.run_command('cell', 'delete', 'cell1')
        self.assertEqual(0, result.code)
        self.assertIn("deleted cell 'cell1'", result.out)
        self.assertEqual(['cell10'], self.names())

    def test_with_its_uuid_it_can_be_made_again(self) -> None:
        argv = self.arguments(name='cell1', uuid=UUID)
        self.run_command.json('cell', 'create', *argv)
        self.run_command('cell', 'delete', UUID)
        self.run_command.json('cell', 'create', *argv)
        self.assertEqual(['cell1'], self.names())


class VerifyTest(CellTestCase):
    def verify(self, code: int) -> dict[tuple[str, str], dict[str, object]]:
        result = self.run_command('cell', 'verify', 'cell1', '-f', 'json')
        self.assertEqual(code, result.code, result)
        for row in result.json:
            self.assertEqual(
                ['part', 'check', 'ok', 'latency_ms', 'detail'], list(row)
            )
        return {(row['part'], row['check']): row for row in result.json}

    def file(self) -> str:
        return self.raw('cell1')['database_connection'][len('sqlite:///') :]

    def test_a_good_cell(self) -> None:
        self.run_command.add_cell('cell1')
        found = self.verify(0)
        self.assertEqual(
            [
                ('database', 'connection'), ('database', 'schema'),
                ('database', 'identity'), ('queue', 'connection'),
            ],
            list(found),
        )  # fmt: skip
        for row in found.values():
            self.assertIs(True, row['ok'])
            self.assertIsInstance(row['latency_ms'], float)

    def test_cell0_has_no_queue_to_be_asked(self) -> None:
        self.run_command.json(
            'cell', 'create', '--cell0', '--name', 'cell1',
            '--database-connection', self.run_command.fresh_database(),
        )  # fmt: skip
        row = self.verify(0)['queue', 'connection']
        self.assertIsNone(row['latency_ms'])

    def test_a_database_that_lost_its_tables(self) -> None:
        self.run_command.add_cell('cell1')
        pathlib.Path(self.file()).write_bytes(b'')
        found = self.verify(1)
        self.assertTrue(found['database', 'connection']['ok'])
        self.assertIn(
            'cellplug-manage db sync --cell cell1',
            str(found['database', 'schema']['detail']),
        )
        self.assertFalse(found['database', 'identity']['ok'])
        self.assertTrue(found['queue', 'connection']['ok'])

    def test_a_database_of_another_cell(self) -> None:
        self.run_command.add_cell('cell1')
        with sqlite3.connect(self.file()) as connection:
            connection.execute('UPDATE cell_identity SET cell_uuid = ?',
                               [UUID])  # fmt: skip
        row = self.verify(1)['database', 'identity']
        self.assertFalse(row['ok'])
        self.assertIn(UUID, str(row['detail']))

    def test_a_replica_that_is_down(self) -> None:
        self.run_command.add_cell(
            'cell1', slave_connection=self.run_command.fresh_database()
        )
        self.run_command.json(
            'cell', 'update', 'cell1', '--no-verify',
            '--slave-connection', 'sqlite:////nonexistent/r.sqlite',
        )  # fmt: skip
        found = self.verify(1)
        self.assertFalse(found['replica', 'connection']['ok'])
        self.assertTrue(found['database', 'identity']['ok'])
