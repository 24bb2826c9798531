"""``cellplug-manage driver list``: what is installed, in use, and loads."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import fixtures

from tests.unit import test_cmd_base
from tests.unit import test_loader

ENTRY_POINTS = """\
[cellplug.resolver]
absent = third_party_driver:Absent
broken = third_party_broken:Resolver
other = third_party_driver:NoResolver
"""


class DriverListTest(test_cmd_base.CommandTestCase):
    synced = False

    def drivers(self) -> dict[tuple[str, str], dict[str, object]]:
        rows = self.run_command.json('driver', 'list')
        return {(row['interface'], row['name']): row for row in rows}

    def third_party(self) -> str:
        """The folder of a distribution of which no driver loads."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        info = folder / 'third_party-2.5.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Name: third-party\nVersion: 2.5\n')
        (info / 'entry_points.txt').write_text(ENTRY_POINTS)
        (folder / 'third_party_driver.py').write_text('class NoResolver: 0')
        (folder / 'third_party_broken.py').write_text('raise OSError("ouch")')
        return str(folder)

    def test_a_shipped_driver_is_listed_with_its_origin(self) -> None:
        row = self.drivers()['resolver', 'database']
        self.assertEqual(
            ['interface', 'name', 'origin', 'in_use', 'loads', 'error',
             'namespace'],
            list(row),
        )  # fmt: skip
        self.assertEqual('cellplug.resolver', row['namespace'])
        self.assertRegex(str(row['origin']), r'\Acellplug \d+\.\d+')
        self.assertIs(True, row['in_use'])
        self.assertIs(True, row['loads'])
        self.assertIsNone(row['error'])

    def test_broken_drivers_leave_the_others_listed(self) -> None:
        # In a process of its own: stevedore remembers what it has found.
        done = subprocess.run(
            [sys.executable, '-m', 'cellplug.cmd.manage', '--config-file',
             self.run_command.config, 'driver', 'list', '-f', 'json'],
            env={**os.environ, 'PYTHONPATH': self.third_party()},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        found = {
            (row['interface'], row['name']): row
            for row in json.loads(done.stdout)
        }
        self.assertIs(True, found['resolver', 'database']['loads'])
        for name, reason in (
            ('absent', 'Absent'),
            ('broken', 'ouch'),
            ('other', 'no subclass of cellplug.interfaces.Resolver'),
        ):
            row = found['resolver', name]
            self.assertEqual('third-party 2.5', row['origin'])
            self.assertIs(False, row['loads'])
            self.assertIn(reason, str(row['error']))

    def test_a_driver_that_is_configured_but_absent_is_listed(self) -> None:
        self.run_command.write({'resolver': ['driver = oracle']})
        found = self.drivers()
        row = found['resolver', 'oracle']
        self.assertIs(True, row['in_use'])
        self.assertIn('is not installed', str(row['error']))
        self.assertIs(False, found['resolver', 'database']['in_use'])

    def test_no_database_is_asked(self) -> None:
        self.run_command.write(
            {'api_database': ['connection = sqlite:////nonexistent/api']}
        )
        self.drivers()

    def test_one_whose_options_are_none_does_not_load(self) -> None:
        source = test_loader.RESOLVER.format(name='Theirs', body='x = 1')
        source += "Theirs.options = classmethod(lambda cls: ['x'])\n"
        self.useFixture(
            test_loader.DistributionFixture(
                'odd', '[cellplug.resolver]\nodd = MODULE:Theirs\n', source
            )
        )
        row = self.drivers()['resolver', 'odd']
        self.assertIs(False, row['loads'])
        self.assertIn('options()', str(row['error']))

    def test_a_url_for_a_name_is_not_shown(self) -> None:
        for name in ('mysql://u:pa55word@h/x', 'u:pa55word@h'):
            self.run_command.write({'resolver': [f'driver = {name}']})
            result = self.run_command('driver', 'list', '-f', 'json')
            self.assertEqual(0, result.code)
            self.assertIn('is not installed', result.out)
            self.assertNotIn('pa55word', result.everything)
