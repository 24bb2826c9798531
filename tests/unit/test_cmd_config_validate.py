"""``config validate``: what it finds, and what it never shows."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence
from typing import Any
from unittest import mock

from oslo_config import cfg
from oslo_config import generator

from cellplug import interfaces
from cellplug import loader
from tests.unit import helpers_static
from tests.unit import test_cmd_base

SECRET = 'pa55word'


class ValidateTestCase(test_cmd_base.CommandTestCase):
    synced = False

    def validate(self, *argv: str) -> test_cmd_base.Result:
        result = self.run_command('config', 'validate', '-f', 'json', *argv)
        self.assertNotIn(SECRET, result.everything)
        self.assertNotIn('Traceback', result.everything)
        return result

    def assert_fine(self, *argv: str) -> None:
        result = self.validate(*argv)
        self.assertEqual((0, '[]\n', ''), (result.code, *result[1:]))

    def assert_found(self, *expected: tuple[str, str]) -> None:
        """These findings and no others, as kinds and patterns."""
        result = self.validate()
        self.assertEqual((1, ''), (result.code, result.err), result)
        rows = [(row['check'], row['finding']) for row in result.json]
        self.assertEqual(len(expected), len(rows), rows)
        for (kind, pattern), (check, finding) in zip(
            expected, rows, strict=True
        ):
            self.assertEqual(kind, check)
            self.assertRegex(finding, pattern)
            self.assertNotIn('\n', finding)

    @property
    def file(self) -> str:
        return re.escape(self.run_command.config)


class TestFiles(ValidateTestCase):
    def test_a_good_file(self) -> None:
        self.assert_fine()

    def test_people_are_told_so(self) -> None:
        result = self.run_command('config', 'validate')
        self.assertEqual(0, result.code)
        self.assertIn('nothing is wrong', result.err)
        self.assertIn(self.run_command.config, result.err)

    def test_syntax_errors_of_all_files_are_named_and_not_quoted(self) -> None:
        other = self.run_command.folder / 'other.conf'
        other.write_text(f'[x]\n\n{SECRET}\n')
        pathlib.Path(self.run_command.config).write_text(
            f'connection = mysql+pymysql://u:{SECRET}@h/d\n'
        )
        result = self.validate('--config-file', str(other))
        self.assertEqual(1, result.code)
        first, second = (row['finding'] for row in result.json)
        self.assertIn(f'{self.run_command.config}:1: ', first)
        self.assertIn(f'{other}:3: ', second)

    def test_bytes_that_are_no_text(self) -> None:
        pathlib.Path(self.run_command.config).write_bytes(b'[x]\ny = \xff\n')
        self.assert_found(('syntax', f'{self.file}: .*UTF-8'))

    def test_a_missing_file_is_no_finding(self) -> None:
        result = self.validate('--config-file', '/nonexistent/here')
        self.assertRefused(result, '/nonexistent/here')

    def test_no_file_at_all_is_wrong_usage(self) -> None:
        with mock.patch.dict('os.environ', {'HOME': '/nonexistent'}):
            result = self.run_command('config', 'validate', config=False)
        self.assertEqual((2, ''), (result.code, result.out))
        self.assertIn('--config-file', result.err)

    def test_every_file_of_a_directory(self) -> None:
        folder = self.run_command.folder / 'conf.d'
        folder.mkdir()
        (folder / 'a.conf').write_text('[rpc]\ncall_timeot = 3\n')
        result = self.validate('--config-dir', str(folder))
        self.assertEqual(1, result.code)
        self.assertIn(f'{folder}/a.conf: [rpc]', result.json[0]['finding'])

    def test_the_help_names_its_exit_codes(self) -> None:
        result = self.run_command('config', 'validate', '--help')
        for words in ('0    nothing is wrong', '1    there are', '2    wrong'):
            self.assertIn(words, result.out)


class TestOptions(ValidateTestCase):
    def test_options_and_groups_that_nobody_knows(self) -> None:
        self.run_command.write(
            {
                'api_database': [f'conection = mysql://u:{SECRET}@h/d'],
                'my_service': ['workers = 3'],
            }
        )
        self.assert_found(
            ('name', rf'{self.file}: \[api_database\] conection: is no opt'),
            ('name', rf'{self.file}: \[my_service\] workers: is no option'),
        )

    def test_other_namespaces_may_be_named(self) -> None:
        self.run_command.write({'oslo_policy': ['enforce_scope = true']})
        self.assertEqual(1, self.validate().code)
        result = self.validate('--namespace', 'no.such.thing')
        self.assertEqual((2, ''), (result.code, result.out))
        self.assertIn('no.such.thing', result.err)

    def test_oslos_own_options_are_known(self) -> None:
        self.run_command.write(
            {
                'DEFAULT': ['transport_url = fake:///', 'debug = true'],
                'database': ['max_pool_size = 3'],
                'oslo_messaging_rabbit': ['heartbeat_rate = 3'],
            }
        )
        self.assert_fine()

    def test_drivers_that_do_not_fit_together_are_found(self) -> None:
        self.run_command.write(
            {
                'resolver': ['driver = local'],
                'resolver_local': ['backend = static'],
                'resolver_static': [
                    'cells = east',
                    'instances = rules',
                    'default_cell = east',
                ],
                'cell_east': [
                    'uuid = 4f1d3c52-91ab-4c0e-8f0a-2b7c1d9e2f11',
                    'database_connection = sqlite:////nowhere/east.db',
                    'transport_url = none:///',
                ],
            }
        )
        self.assert_found(('router', r'\[resolver_local\] backend: static'))

    def test_values_that_cannot_be_are_all_found(self) -> None:
        self.run_command.write(
            {
                'cell_database': ['max_pool_size = many'],
                'rpc': ['call_timeout = 0'],
            }
        )
        self.assert_found(
            ('value', r'\[cell_database\] max_pool_size in .*many'),
            ('value', r'\[rpc\] call_timeout in .*0'),
        )

    def test_values_of_drivers_that_are_not_in_use(self) -> None:
        self.run_command.write({'resolver_static': ['instances = guess']})
        self.assert_found(('value', r'\[resolver_static\] instances in '))

    def test_urls_that_cannot_be(self) -> None:
        self.run_command.write(
            {
                'api_database': [f'connection = mysql://u:{SECRET}@h/d'],
                'database': [f'connection = sqlite://u:{SECRET}@h/x'],
            }
        )
        self.assert_found(
            ('value', r'\[api_database\] connection: .*mysql\+pymysql'),
            ('value', r'\[database\] connection: .*sqlite'),
        )

    def test_a_secret_that_refers_to_nothing(self) -> None:
        url = f'connection = mysql+pymysql://u:{SECRET}$x@h/d'
        self.run_command.write({'api_database': [url]})
        self.assert_found(('value', r'\[api_database\] connection.* \$\$'))


class TestDrivers(ValidateTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.files = self.useFixture(
            helpers_static.StaticFixture('cell0', 'east')
        )
        self.run_command.config = str(self.files.path)

    def set(self, group: str, **values: str) -> None:
        self.files.sections.setdefault(group, {}).update(values)
        self.files.write()

    def test_good_cells(self) -> None:
        self.assert_fine()

    def test_the_static_resolvers_cells_are_checked(self) -> None:
        self.set('resolver_static', cells='cell0, east, west')
        self.set('cell_east', uuid=SECRET, transport_ur='x')
        self.set('cell_north', database_connection=SECRET)
        self.assert_found(
            ('resolver static', r'\[cell_east\] transport_ur: no cell has'),
            ('resolver static', r'\[cell_east\] uuid: is no uuid'),
            ('resolver static', r'\[cell_west\]: the group is missing'),
            ('resolver static', r'\[cell_north\]: .*does not name'),
        )

    def test_no_secret_of_a_bad_url_is_shown(self) -> None:
        self.set(
            'cell_east',
            database_connection=f'mysql+pymysql://u:{SECRET}@h:{SECRET}/d',
            transport_url=f'rabbit://u:{SECRET}@/v@',
        )
        result = self.validate()
        self.assertEqual(1, result.code)
        debug = self.run_command('--debug', 'config', 'validate')
        self.assertNotIn(SECRET, debug.everything)

    def test_no_secret_of_a_name_is_shown(self) -> None:
        for group in (f'cell_rabbit://u:{SECRET}@h/', f'x://u:{SECRET}@h/a/b'):
            self.set(group, uuid='3')
            result = self.validate()
            self.assertEqual(1, result.code)
            for piece in (SECRET, 'u:pa55'):
                self.assertNotIn(piece, result.everything)
            del self.files.sections[group]
        self.set('resolver', driver='database')
        self.set(f'cell_rabbit://u:{SECRET}@h/', uuid='3')
        result = self.validate()
        self.assertEqual(1, result.code)

    def test_one_line_for_one_mistake(self) -> None:
        self.set('resolver_static', instances='guess')
        self.assert_found(('resolver static', 'instances: .*guess'))

    def test_a_driver_is_not_asked_about_options_that_cannot_be(self) -> None:
        self.set('resolver', driver='memcached')
        self.set('resolver_memcached', encryption_keys=f'{SECRET}$foo')
        self.set('resolver_memcached', backend='static')
        self.assert_found(
            ('value', r'\[resolver_memcached\] encryption_keys.* \$\$')
        )

    def test_without_the_static_resolver_nobody_knows_the_groups(self) -> None:
        self.set('resolver', driver='database')
        result = self.validate()
        self.assertEqual(
            {'name'}, {finding['check'] for finding in result.json}
        )

    def test_who_stands_behind_is_asked_too(self) -> None:
        self.set('resolver', driver='local')
        self.set('resolver_local', backend='static')
        self.set('cell_east', uuid=SECRET)
        self.assert_found(('resolver static', r'\[cell_east\] uuid'))

    def test_a_driver_in_front_of_itself(self) -> None:
        self.set('resolver', driver='local')
        self.set('resolver_local', backend='local')
        found = self.validate().json
        self.assertIn('local -> local', str(found))

    def test_a_driver_that_is_not_installed(self) -> None:
        self.set('transport_cache', driver='oracle')
        self.assert_found(('driver', "transport_cache driver 'oracle': is no"))

    def test_a_strangers_driver_that_fails(self) -> None:
        class Failing(interfaces.Resolver):
            @classmethod
            def dynamic_groups(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
                raise RuntimeError(SECRET)

            @classmethod
            def check_config(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
                raise KeyError(f'mysql://u:{SECRET}@h\nbroken')

        real = loader.load_class

        def load(interface: str, name: str) -> Any:
            return Failing if name == 'static' else real(interface, name)

        with mock.patch.object(loader, 'load_class', load):
            found = self.validate().json
        lines = [row['finding'] for row in found if row['check'] != 'name']
        self.assertEqual(1, len(lines), found)
        self.assertIn("resolver driver 'static': it cannot say", lines[0])


class TestSample(ValidateTestCase):
    def test_the_generated_sample_is_fine_as_it_is_and_in_full(self) -> None:
        sample = self.run_command.folder / 'sample.conf'
        conf = cfg.ConfigOpts()
        generator.register_cli_opts(conf)
        conf(
            ['--namespace', 'cellplug', '--output-file', str(sample)],
            default_config_files=[],
        )
        generator.generate(conf)
        self.run_command.config = str(sample)
        self.assert_fine()
        text = sample.read_text()
        self.assertIn('[resolver_static]', text)
        self.assertIn('[cell_east]', text)
        # Every option that has a default, set to it.
        full = re.sub(
            r'^#(\w+ = (?!<None>).+)$', r'\1', text, flags=re.MULTILINE
        )
        self.assertIn('\ninstances = database', full)
        sample.write_text(full)
        self.assert_fine()
