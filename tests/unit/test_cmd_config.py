"""Configurations that cannot be used: one line that says what and where."""

from __future__ import annotations

import os
import pathlib
from unittest import mock

import fixtures

from tests.unit import test_cmd_base


class ConfigurationTest(test_cmd_base.CommandTestCase):
    def test_no_api_database(self) -> None:
        self.run_command.write({'DEFAULT': []})
        for argv in (
            ['cell', 'list'],
            ['instance', 'list'],
            ['api-db', 'sync'],
            ['api-db', 'version'],
        ):
            result = self.run_command(*argv)
            self.assertRefused(
                result,
                '[api_database] connection is not set',
                self.run_command.config,
                'OS_API_DATABASE__CONNECTION',
            )

    def test_no_configuration_file_at_all(self) -> None:
        home = self.useFixture(fixtures.TempDir()).path
        with mock.patch.dict(os.environ, {'HOME': home}):
            result = self.run_command('cell', 'list', config=False)
        self.assertRefused(
            result, '[api_database] connection is not set', '--config-file'
        )

    def test_the_environment_names_the_api_database(self) -> None:
        variable = {'OS_API_DATABASE__CONNECTION': self.run_command.api_url}
        self.run_command.write({'DEFAULT': []})
        with mock.patch.dict(os.environ, variable):
            self.assertEqual([], self.run_command.json('cell', 'list'))

    def test_a_configuration_directory(self) -> None:
        api = f'[api_database]\nconnection = {self.run_command.api_url}\n'
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (folder / '10-api.conf').write_text(api)
        result = self.run_command(
            '--config-dir', str(folder), 'cell', 'list', config=False
        )
        self.assertEqual(0, result.code)

    def test_of_several_files_the_last_wins(self) -> None:
        other = self.run_command.folder / 'other.conf'
        other.write_text('[api_database]\nconnection = sqlite:////no/where\n')
        result = self.run_command('--config-file', str(other), 'cell', 'list')
        self.assertRefused(result, 'API database is unavailable')
        result = self.run_command(
            '--config-file', str(other), 'cell', 'list',
            '--config-file', self.run_command.config,
        )  # fmt: skip
        self.assertEqual(0, result.code)

    def test_a_file_or_directory_that_is_missing(self) -> None:
        for kind in ('file', 'dir'):
            result = self.run_command(
                f'--config-{kind}', '/nonexistent/here', 'cell', 'list'
            )
            self.assertRefused(result, '/nonexistent/here')

    def test_a_file_that_cannot_be_parsed(self) -> None:
        self.run_command.write({'api_database': ['connection']})
        result = self.run_command('cell', 'list')
        self.assertRefused(result, f'{self.run_command.config}:2')

    def test_a_bad_value_is_named_with_its_group_and_place(self) -> None:
        for group, option, value in (
            ('cell_database', 'max_pool_size', 'many'),
            ('api_database', 'connect_timeout', '0'),
            ('rpc', 'call_timeout', 'soon'),
            ('cell_database', 'isolation_level', 'CHAOS'),
        ):
            self.run_command.write({group: [f'{option} = {value}']})
            for command in (['cell', 'list'], ['driver', 'list']):
                result = self.run_command(*command)
                self.assertRefused(
                    result, f'[{group}] {option}', self.run_command.config
                )

    def test_a_wrong_url_of_the_api_database(self) -> None:
        for url, word in (
            ('mysql://u:canary@h/d', 'mysql+pymysql'),
            ('oracle://u:canary@h/d', "'oracle'"),
            ('canary', 'is no URL'),
            ('mysql+pymysql://u:canary', 'port'),
        ):
            self.run_command.write({'api_database': [f'connection = {url}']})
            for command in (['cell', 'list'], ['api-db', 'version']):
                result = self.run_command(*command)
                self.assertRefused(result, '[api_database] connection', word)
                debug = self.run_command('--debug', *command)
                self.assertNotIn('canary', result.err + debug.everything)

    def test_an_api_database_that_is_down(self) -> None:
        self.run_command.write(
            {'api_database': ['connection = sqlite:////nonexistent/api']}
        )
        for argv in (['cell', 'list'], ['api-db', 'sync']):
            result = self.run_command(*argv)
            self.assertRefused(result, 'the API database is unavailable')

    def test_a_driver_that_is_not_installed(self) -> None:
        self.run_command.write({'resolver': ['driver = oracle']})
        result = self.run_command('cell', 'list')
        self.assertRefused(result, "'oracle'", 'installed are: ', 'database')
