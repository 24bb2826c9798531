"""``instance map-all``, ``unmap`` and ``move``; ``verify`` with a source."""

from __future__ import annotations

import io
import pathlib
import sqlite3
import textwrap
import uuid
from typing import Any

from cellplug.cmd import app
from tests.unit import test_cmd_base
from tests.unit import test_loader

_TABLE = 'CREATE TABLE vms (uuid TEXT, project_id TEXT)'
_OPTIONS = ['table = vms']


def uuids(count: int, first: int = 1) -> list[str]:
    return [str(uuid.UUID(int=n)) for n in range(first, first + count)]


class BulkCommandTestCase(test_cmd_base.CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.configure(_OPTIONS)
        self.cell1 = self.run_command.add_cell('cell1')
        self.cell2 = self.run_command.add_cell('cell2')
        for cell in (self.cell1, self.cell2):
            self.on(cell, _TABLE)

    def configure(self, options: list[str]) -> None:
        api = [f'connection = {self.run_command.api_url}']
        self.run_command.write({'api_database': api, 'instances': options})

    def on(self, cell: Any, statement: str, *rows: Any) -> None:
        """Run a statement on a cell's database, once for each row."""
        path = cell['database_connection'].removeprefix('sqlite:///')
        with sqlite3.connect(path) as connection:
            if rows:
                connection.executemany(statement, rows)
            else:
                connection.execute(statement)
        connection.close()

    def have(self, cell: Any, given: list[str], project: Any = 'p') -> None:
        rows = [(one, project) for one in given]
        self.on(cell, 'INSERT INTO vms VALUES (?, ?)', *rows)

    def map(self, instance: str, cell: str) -> Any:
        return self.run_command.json(
            'instance', 'map', instance, cell, '--project', 'p'
        )

    def mapped(self) -> dict[str, str]:
        rows = self.run_command.json('instance', 'list', '--limit', '-1')
        return {row['instance_uuid']: row['cell_name'] for row in rows}


class MapAllTest(BulkCommandTestCase):
    def map_all(self, *argv: str, cell: str = 'cell1') -> Any:
        return self.run_command(
            'instance', 'map-all', '--cell', cell, '-f', 'json', *argv
        )

    def test_all_is_0(self) -> None:
        self.have(self.cell1, uuids(25))
        result = self.map_all('--batch', '10')
        self.assertEqual((0, ''), (result.code, result.err))
        found = result.json
        self.assertEqual(
            {
                'cell_uuid': self.cell1['uuid'],
                'cell_name': 'cell1',
                'looked_at': 25,
                'mapped': 25,
                'already_mapped': 0,
                'not_mapped': 0,
                'more': False,
            },
            {key: found[key] for key in found if key != 'per_second'},
        )
        self.assertEqual(dict.fromkeys(uuids(25), 'cell1'), self.mapped())

    def test_nothing_there_is_0(self) -> None:
        self.assertEqual(0, self.map_all().code)

    def test_more_is_1_until_all_is_0(self) -> None:
        """What a script does: run it while it exits with 1."""
        self.have(self.cell1, uuids(25))
        codes = [self.map_all('--max-count', '10').code for _ in range(3)]
        self.assertEqual([1, 1, 0], codes)
        self.assertEqual(25, len(self.mapped()))

    def test_what_cannot_be_mapped_is_2_and_told(self) -> None:
        """Lesson B 21: it said "done", and exited with 0."""
        given = uuids(25)
        self.have(self.cell1, given)
        self.have(self.cell1, ['zz-no-uuid'])
        self.map(given[4], 'cell2')
        result = self.map_all()
        self.assertEqual(2, result.code)
        first, second = result.err.splitlines()
        self.assertIn('not mapped: instance zz-no-uuid: ', first)
        self.assertIn(f'not mapped: instance {given[4]}: ', second)
        self.assertIn("cell 'cell2'", second)
        self.assertEqual(2, result.json['not_mapped'])
        self.assertEqual(25, len(self.mapped()))

    def test_the_last_portion_is_2_if_the_first_left_something(self) -> None:
        """Lesson B 21, over portions."""
        given = uuids(25)
        self.have(self.cell1, given)
        self.map(given[4], 'cell2')
        results = [self.map_all('--max-count', '10') for _ in range(3)]
        self.assertEqual([1, 1, 2], [one.code for one in results])
        self.assertIn('1 more could not be mapped', results[2].err)
        self.assertIn('goes on where', results[1].err)

    def test_two_cells_in_turns(self) -> None:
        """Lesson B 20: one marker for all cells lost the first's place."""
        self.have(self.cell1, uuids(15))
        self.have(self.cell2, uuids(15, first=100))
        codes = [
            self.map_all('--max-count', '10', cell=cell).code
            for cell in ('cell1', 'cell2', 'cell1', 'cell2')
        ]
        self.assertEqual([1, 1, 0, 0], codes)
        self.assertEqual(
            {
                **dict.fromkeys(uuids(15), 'cell1'),
                **dict.fromkeys(uuids(15, first=100), 'cell2'),
            },
            self.mapped(),
        )

    def test_reset_begins_anew(self) -> None:
        self.have(self.cell1, uuids(15))
        self.map_all('--max-count', '10')
        result = self.map_all('--reset')
        self.assertEqual(15, result.json['looked_at'])

    def test_a_dry_run_says_it(self) -> None:
        self.have(self.cell1, uuids(15))
        result = self.map_all('--dry-run', '--max-count', '10')
        self.assertEqual(1, result.code)
        self.assertIn('nothing was written', result.err)
        self.assertEqual(10, result.json['mapped'])
        self.assertEqual({}, self.mapped())

    def test_a_cell_that_takes_nothing_new_is_mapped(self) -> None:
        self.have(self.cell1, uuids(3))
        self.run_command.json('cell', 'update', 'cell1', '--state', 'no_new')
        self.assertEqual(0, self.map_all().code)

    def test_what_fails_is_2_and_not_1(self) -> None:
        """A script would run it again for ever."""
        for argv, word in (
            (['--cell', 'cell9'], "'cell9'"),
            (['--cell', 'cell1'], '[instances]'),
        ):
            self.configure(['table = nothing'])
            result = self.run_command('instance', 'map-all', *argv)
            self.assertRefused(result, word, code=2)

    def test_without_a_source_it_says_what_to_set(self) -> None:
        self.configure([])
        self.assertRefused(self.map_all(), '[instances] table', code=2)

    def test_a_table_and_a_source_are_one_too_many(self) -> None:
        self.configure([*_OPTIONS, 'source = mine'])
        self.assertRefused(self.map_all(), 'set one of them', code=2)

    def test_a_bad_count_is_wrong_usage(self) -> None:
        for option in ('--max-count', '--batch'):
            for count in ('0', '-1', 'many'):
                result = self.map_all(f'{option}={count}')
                self.assertEqual(2, result.code)
                self.assertIn(option, result.err)

    def test_ctrl_c_says_where_it_goes_on(self) -> None:
        self.have(self.cell1, uuids(25))
        self.install(
            """
            import sqlite3

            class Source:
                def __init__(self, router):
                    self.asked = 0
                def count_after(self, context, marker):
                    return None
                def has(self, context, instance_uuid):
                    return True
                def list_after(self, context, marker, limit):
                    from cellplug.interfaces import SourceInstance
                    from uuid import UUID
                    self.asked += 1
                    if self.asked > 2:
                        raise KeyboardInterrupt
                    first = int(marker or '0') + 1
                    return [SourceInstance(str(n), str(UUID(int=n)), 'p')
                            for n in range(first, first + limit)]
            """
        )
        self.configure(['source = mine'])
        result = self.map_all('--batch', '7')
        self.assertEqual(130, result.code)
        self.assertIn('interrupted behind 14 rows', result.err)
        self.assertEqual(uuids(14), list(self.mapped()))
        result = self.map_all('--batch', '3', '--max-count', '3')
        self.assertIn('goes on where', result.err)
        self.assertEqual(uuids(17), list(self.mapped()))

    def test_people_see_how_far_it_has_come(self) -> None:
        self.have(self.cell1, uuids(25))
        out, err = io.StringIO(), Terminal()
        program = app.App(io.StringIO(), out, err)
        code = program.run(
            ['--config-file', self.run_command.config, 'instance', 'map-all',
             '--cell', 'cell1']
        )  # fmt: skip
        self.assertEqual(0, code)
        self.assertIn('25 of 25', err.getvalue())
        self.assertTrue(err.getvalue().endswith('\r\x1b[K'))

    def install(self, source: str, *names: str) -> None:
        """A stranger's package with instance sources."""
        points = [f'{name} = MODULE:Source' for name in names or ('mine',)]
        self.useFixture(
            test_loader.DistributionFixture(
                'stranger',
                '\n'.join(['[cellplug.instance_source]', *points]),
                textwrap.dedent(source),
            )
        )

    def test_an_entry_point_is_found_by_itself(self) -> None:
        self.install(_SOURCE)
        self.configure([])
        self.assertEqual(0, self.map_all().code)
        self.assertEqual({uuids(1, 7)[0]: 'cell1'}, self.mapped())

    def test_of_several_one_has_to_be_named(self) -> None:
        self.install(_SOURCE, 'mine', 'yours')
        self.configure([])
        self.assertRefused(self.map_all(), "'mine'", "'yours'", code=2)
        self.configure(['source = yours'])
        self.assertEqual(0, self.map_all().code)
        self.configure(['source = nobodys'])
        self.assertRefused(self.map_all(), "'nobodys'", code=2)

    def test_what_is_no_source_is_refused(self) -> None:
        for source in (
            'Source = 5',
            'def Source(router): return 5',
            'def Source(router): raise RuntimeError("broken")',
            'class Source:\n    def __init__(self, router): pass',
        ):
            with test_loader.DistributionFixture(
                'stranger',
                '[cellplug.instance_source]\nmine = MODULE:Source',
                source,
            ):
                self.configure([])
                result = self.map_all()
                self.assertRefused(result, 'mine', 'stranger', code=2)


_SOURCE = """
import uuid
from cellplug.interfaces import SourceInstance

class Source:
    def __init__(self, router):
        self.router = router
    def count_after(self, context, marker):
        return 1
    def has(self, context, instance_uuid):
        return instance_uuid == str(uuid.UUID(int=7))
    def list_after(self, context, marker, limit):
        assert context.cell_uuid and context.is_admin
        if marker == 'seven':
            return []
        return [SourceInstance('seven', str(uuid.UUID(int=7)), 'p')]
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class UnmapTest(BulkCommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        for one in uuids(5):
            self.map(one, 'cell1')

    def unmap(self, *argv: str, stdin: str = '') -> Any:
        return self.run_command(
            'instance', 'unmap', '-f', 'json', *argv, stdin=stdin
        )

    def test_named_instances(self) -> None:
        result = self.unmap(uuids(2)[0].upper(), *uuids(2), uuids(1, 99)[0])
        self.assertEqual((0, ''), (result.code, result.err))
        self.assertEqual(
            {'instances': 3, 'unmapped': 2, 'not_mapped': 1}, result.json
        )
        self.assertEqual(uuids(3, 3), list(self.mapped()))

    def test_instances_from_a_file_and_from_standard_input(self) -> None:
        path = pathlib.Path(self.run_command.folder) / 'gone.txt'
        path.write_text('\n'.join([uuids(1)[0], '', f'  {uuids(1, 2)[0]} ']))
        result = self.unmap('--from-file', str(path))
        self.assertEqual(2, result.json['unmapped'])
        result = self.unmap('--from-file', '-', stdin=uuids(1, 3)[0] + '\n')
        self.assertEqual(1, result.json['unmapped'])
        self.assertEqual(uuids(2, 4), list(self.mapped()))

    def test_one_that_is_none_unmaps_nothing(self) -> None:
        lines = '\n'.join([*uuids(3), 'vm'])
        self.assertRefused(
            self.unmap('--from-file', '-', stdin=lines),
            'standard input, line 4',
            "'vm' is no uuid",
        )
        self.assertRefused(self.unmap(*uuids(3), 'vm'), "'vm' is no uuid")
        self.assertEqual(5, len(self.mapped()))

    def test_a_file_that_cannot_be_read(self) -> None:
        missing = str(self.run_command.folder / 'missing')
        self.assertRefused(self.unmap('--from-file', missing), missing)
        bytes_ = self.run_command.folder / 'bytes'
        bytes_.write_bytes(b'\xff\xfe')
        self.assertRefused(self.unmap('--from-file', str(bytes_)), 'UTF-8')

    def test_they_are_named_in_one_way(self) -> None:
        for argv in ([], [uuids(1)[0], '--from-file', '-']):
            result = self.unmap(*argv)
            self.assertEqual(2, result.code)
        self.assertEqual(5, len(self.mapped()))

    def test_a_dry_run_unmaps_nothing(self) -> None:
        result = self.unmap('--dry-run', *uuids(7))
        self.assertEqual((5, 2), (
            result.json['unmapped'], result.json['not_mapped']
        ))  # fmt: skip
        self.assertIn('dry run', result.err)
        self.assertEqual(5, len(self.mapped()))


class MoveTest(BulkCommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        (self.instance,) = uuids(1)
        self.generation = self.map(self.instance, 'cell1')['generation']

    def move(self, *argv: str, generation: int | None = None) -> Any:
        expected = generation or self.generation
        return self.run_command(
            'instance', 'move', self.instance, 'cell2', '-f', 'json',
            '--expected-generation', str(expected), *argv,
        )  # fmt: skip

    def test_it_is_moved(self) -> None:
        moved = self.move().json
        self.assertEqual('cell2', moved['cell_name'])
        self.assertGreater(moved['generation'], self.generation)

    def test_another_generation_is_refused(self) -> None:
        self.assertRefused(self.move(generation=5), str(self.generation), '5')
        result = self.run_command('instance', 'move', self.instance, 'cell2')
        self.assertEqual(2, result.code)
        self.assertEqual({self.instance: 'cell1'}, self.mapped())

    def test_a_cell_that_takes_nothing_new_takes_what_is_there(self) -> None:
        self.run_command.json('cell', 'update', 'cell2', '--state', 'no_new')
        self.assertRefused(self.move(), "'cell2'", 'no_new')
        refused = self.run_command(
            'instance', 'map', *uuids(1, 2), 'cell2', '--project', 'p'
        )
        self.assertRefused(refused, "'cell2'", 'no_new')
        self.assertEqual(0, self.move('--existing').code)
        self.run_command.json(
            'instance', 'map', *uuids(1, 2), 'cell2', '--project', 'p',
            '--existing',
        )  # fmt: skip


class VerifyTest(BulkCommandTestCase):
    def test_gone_in_the_cell_is_4(self) -> None:
        here, gone = uuids(2)
        self.have(self.cell1, [here])
        self.have(self.cell2, [gone])
        for one in (here, gone):
            self.map(one, 'cell1')
        self.assertEqual(0, self.run_command('instance', 'verify', here).code)
        result = self.run_command('instance', 'verify', gone)
        self.assertRefused(result, gone, "'cell1'", 'not there', code=4)

    def test_without_a_source_the_cell_is_not_asked(self) -> None:
        self.configure([])
        (gone,) = uuids(1)
        self.map(gone, 'cell1')
        self.assertEqual(0, self.run_command('instance', 'verify', gone).code)
