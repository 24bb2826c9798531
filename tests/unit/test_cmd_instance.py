"""``cellplug-manage instance``: mappings."""

from __future__ import annotations

import pathlib
import sqlite3
import uuid

from tests.unit import test_cmd_base

INSTANCES = [str(uuid.UUID(int=number)) for number in range(1, 6)]
KEYS = ['instance_uuid', 'cell_uuid', 'cell_name', 'project_id', 'user_id']


class InstanceTest(test_cmd_base.CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cell1 = self.run_command.add_cell('cell1')
        self.cell10 = self.run_command.add_cell('cell10')

    def map(self, instance: str, cell: str, project: str = 'p') -> None:
        self.run_command.json(
            'instance', 'map', instance, cell, '--project', project
        )

    def listed(self, *argv: str) -> list[str]:
        rows = self.run_command.json('instance', 'list', *argv)
        return [row['instance_uuid'] for row in rows]

    def test_a_mapping_is_shown_with_the_name_of_its_cell(self) -> None:
        mapped = self.run_command.json(
            'instance', 'map', INSTANCES[0].upper(), 'cell1',
            '--project', 'p', '--user', 'u',
        )  # fmt: skip
        self.assertEqual(
            {
                'instance_uuid': INSTANCES[0],
                'cell_uuid': self.cell1['uuid'],
                'cell_name': 'cell1',
                'project_id': 'p',
                'user_id': 'u',
            },
            {key: mapped[key] for key in KEYS},
        )
        shown = self.run_command.json('instance', 'show', INSTANCES[0])
        self.assertEqual(mapped, shown)
        self.assertEqual([*KEYS, 'generation'], list(shown))

    def test_the_same_cell_again_changes_nothing(self) -> None:
        self.map(INSTANCES[0], 'cell1')
        before = self.run_command.json('instance', 'show', INSTANCES[0])
        self.map(INSTANCES[0], self.cell1['uuid'])
        after = self.run_command.json('instance', 'show', INSTANCES[0])
        self.assertEqual(before, after)

    def test_another_cell_is_refused(self) -> None:
        self.map(INSTANCES[0], 'cell1')
        result = self.run_command('instance', 'map', INSTANCES[0], 'cell10',
                                  '--project', 'p')  # fmt: skip
        self.assertRefused(
            result, INSTANCES[0], self.cell1['uuid'], self.cell10['uuid']
        )
        shown = self.run_command.json('instance', 'show', INSTANCES[0])
        self.assertEqual('cell1', shown['cell_name'])

    def test_an_unknown_cell_is_refused(self) -> None:
        for cell in ('cell', 'cell100', str(uuid.UUID(int=77))):
            result = self.run_command('instance', 'map', INSTANCES[0], cell,
                                      '--project', 'p')  # fmt: skip
            self.assertRefused(result, cell)
        self.assertEqual([], self.listed())

    def test_a_project_is_needed(self) -> None:
        result = self.run_command('instance', 'map', INSTANCES[0], 'cell1')
        self.assertEqual(2, result.code)
        self.assertIn('--project', result.err)

    def test_an_instance_that_is_no_uuid_is_refused(self) -> None:
        for argv in (
            ['show', 'vm'],
            ['verify', 'vm'],
            ['map', 'vm', 'cell1', '--project', 'p'],
            ['list', '--marker', 'vm'],
        ):
            result = self.run_command('instance', *argv)
            self.assertRefused(result, "'vm' is no uuid")

    def test_the_list_is_narrowed(self) -> None:
        self.map(INSTANCES[0], 'cell1', 'p')
        self.map(INSTANCES[1], 'cell10', 'p')
        self.map(INSTANCES[2], 'cell10', 'q')
        (first, *_) = self.run_command.json('instance', 'list')
        self.assertEqual(KEYS, list(first))
        self.assertEqual(INSTANCES[:3], self.listed())
        self.assertEqual(INSTANCES[:1], self.listed('--cell', 'cell1'))
        self.assertEqual(INSTANCES[:2], self.listed('--project', 'p'))
        self.assertEqual(
            INSTANCES[1:2], self.listed('--project', 'p', '--cell', 'cell10')
        )

    def test_a_limited_list_names_the_marker_to_go_on_with(self) -> None:
        for instance in INSTANCES:
            self.map(instance, 'cell1')
        seen: list[str] = []
        argv: list[str] = []
        while True:
            result = self.run_command('instance', 'list', '--limit', '2',
                                      '-f', 'value', '-c', 'instance_uuid',
                                      *argv)  # fmt: skip
            seen += result.out.split()
            if not result.err:
                break
            self.assertIn('more follow: --marker ', result.err)
            argv = ['--marker', result.err.split()[-1]]
        self.assertEqual(INSTANCES, seen)
        self.assertEqual(INSTANCES, self.listed('--limit', '-1'))
        self.assertEqual(INSTANCES, self.listed('--limit', '5'))

    def test_a_bad_limit_is_refused(self) -> None:
        result = self.run_command('instance', 'list', '--limit', '-2')
        self.assertRefused(result, 'limit', '-2')
        result = self.run_command('instance', 'list', '--limit', 'many')
        self.assertEqual(2, result.code)

    def test_an_unknown_cell_is_no_empty_list(self) -> None:
        result = self.run_command('instance', 'list', '--cell', 'cell')
        self.assertRefused(result, "'cell'")

    def test_verify_tells_mapped_from_not_mapped(self) -> None:
        self.map(INSTANCES[0], 'cell1')
        result = self.run_command('instance', 'verify', INSTANCES[0])
        self.assertEqual(0, result.code)
        self.assertIn("mapped to cell 'cell1'", result.out)
        result = self.run_command('instance', 'verify', INSTANCES[1])
        self.assertRefused(result, INSTANCES[1], 'not mapped')

    def test_verify_finds_a_cell_that_is_gone(self) -> None:
        self.map(INSTANCES[0], 'cell1')
        api = self.run_command.api_url.removeprefix('sqlite:///')
        with sqlite3.connect(api) as connection:
            connection.execute("DELETE FROM cell_mapping WHERE name = 'cell1'")
        result = self.run_command('instance', 'verify', INSTANCES[0])
        self.assertRefused(result, self.cell1['uuid'], code=3)

    def test_mappings_are_shown_while_cells_are_down(self) -> None:
        self.map(INSTANCES[0], 'cell1')
        pathlib.Path(
            self.cell1['database_connection'].removeprefix('sqlite:///')
        ).unlink()
        self.run_command.json('instance', 'show', INSTANCES[0])
        self.assertEqual(INSTANCES[:1], self.listed('--cell', 'cell1'))
