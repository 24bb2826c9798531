"""The commands where the cells stand in the configuration file."""

from __future__ import annotations

import uuid

from tests.unit import helpers_static
from tests.unit import test_cmd_base


class StaticCellsTest(test_cmd_base.CommandTestCase):
    synced = False
    options: dict[str, dict[str, str]] = {}  # noqa: RUF012 (read only)

    def setUp(self) -> None:
        super().setUp()
        self.files = self.useFixture(
            helpers_static.StaticFixture('cell0', 'east', options=self.options)
        )
        self.run_command.config = str(self.files.path)


class TestWithoutAnAPIDatabase(StaticCellsTest):
    def test_cells_are_claimed_listed_and_verified(self) -> None:
        synced = self.run_command.json('db', 'sync', '--all-cells', '--claim')
        cells = self.run_command.json('cell', 'list')
        self.assertEqual(
            [(cell['name'], cell['uuid']) for cell in cells],
            [(row['name'], row['claimed_by']) for row in synced],
        )
        self.assertEqual(['cell0', 'east'], [one['name'] for one in cells])
        verified = self.run_command.json('cell', 'verify', 'east')
        self.assertEqual([True], list({row['ok'] for row in verified}))
        shown = self.run_command.json('cell', 'show', 'east')
        self.assertEqual(helpers_static.UUIDS['east'], shown['uuid'])

    def test_commands_that_change_cells_say_where_to(self) -> None:
        for argv in (
            (
                *('create', '--name', 'west', '--transport-url', 'fake://w/'),
                *('--database-connection', self.files.fresh_database()),
            ),
            ('update', 'east', '--name', 'other'),
            ('delete', 'east'),
        ):
            self.assertRefused(
                self.run_command('cell', *argv), 'StaticResolver', 'there'
            )

    def test_an_api_database_is_asked_for_where_one_is_needed(self) -> None:
        self.assertRefused(
            self.run_command('instance', 'show', str(uuid.uuid4())),
            '[api_database] connection is not set',
        )

    def test_a_bad_file_is_named_in_one_line(self) -> None:
        self.files.sections['cell_east']['uuid'] = 'pa55word'
        self.files.write()
        result = self.run_command('cell', 'list')
        self.assertRefused(result, str(self.files.path), '[cell_east] uuid')
        self.assertNotIn('pa55word', result.everything)


class TestRules(StaticCellsTest):
    options = {  # noqa: RUF012 (read only)
        'resolver_static': {'instances': 'rules', 'default_cell': 'east'}
    }

    def test_nothing_is_mapped(self) -> None:
        self.assertRefused(
            self.run_command(
                'instance', 'map', str(uuid.uuid4()), 'east', '--project', 'p'
            ),
            'StaticResolver',
        )

    def test_an_instance_is_shown_by_its_project(self) -> None:
        instance = str(uuid.uuid4())
        shown = self.run_command.json(
            'instance', 'show', instance, '--project', 'p'
        )
        self.assertEqual(
            ('east', 'p'), (shown['cell_name'], shown['project_id'])
        )
        verified = self.run_command(
            'instance', 'verify', instance, '--project', 'p'
        )
        self.assertEqual(0, verified.code, verified)
        for command in ('show', 'verify'):
            self.assertRefused(
                self.run_command('instance', command, instance), 'project_id'
            )
