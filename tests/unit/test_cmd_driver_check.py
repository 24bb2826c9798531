"""``cellplug-manage driver check``: the report, its grade and its secrets."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import textwrap
import tomllib

import fixtures

from cellplug import loader
from cellplug.cmd import app
from cellplug.cmd import grading
from cellplug.cmd import scaffold
from tests.unit import test_cmd_base
from tests.unit import test_loader

LOUD = """
from oslo_config import cfg
from cellplug import interfaces


class Loud(interfaces.Resolver):
    '''Fails at everything, and talks about it.'''

    api_version = 1

    @classmethod
    def options(cls):
        return [
            cfg.StrOpt('word', secret=True, default='none', help='Which.'),
            cfg.IntOpt('size', default=1, help='How many.'),
        ]

    def __init__(self, options, host):
        self.word = options.word

    def shout(self, *args, **kwargs):
        raise RuntimeError(f'{self.word} at rabbit://u:canary@host/v')

    get_cell = list_cells = get_instance = get_instances = shout
    forget_cell = forget_instance = shout

    def close(self): ...
"""

UNBUILT = LOUD.replace(
    'self.word = options.word',
    "raise ValueError(f'{options.word} at rabbit://u:canary@host/v')",
)

SLOW = f"""
import threading

patient = threading.Event()
{LOUD}""".replace(
    'self.word = options.word',
    "self.word = options.word; assert patient.wait(30), 'nobody noticed'",
)

POINTS = """
[cellplug.resolver]
loud = MODULE:Loud

[cellplug.conformance]
resolver_loud = cellplug.testing.conformance:Harness
"""


WITHOUT_EXTRA = """
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == 'cellplug.testing.conformance':
            raise ModuleNotFoundError(name, name='fixtures')


sys.meta_path.insert(0, Blocked())
from cellplug.cmd import manage

sys.exit(manage.main(['driver', 'check', 'resolver', 'database']))
"""


class NewDriverFixture(fixtures.Fixture):
    """What ``driver new`` writes, installed for this test alone."""

    def __init__(self, interface: str, name: str) -> None:
        super().__init__()
        self.interface, self.name = interface, name

    def _setUp(self) -> None:
        place = self.useFixture(fixtures.TempDir()).path
        folder = scaffold.write(self.interface, self.name, place)
        project = tomllib.loads((folder / 'pyproject.toml').read_text())
        lines: list[str] = []
        for group, points in project['project']['entry-points'].items():
            lines += [f'[{group}]', *(f'{k} = {v}' for k, v in points.items())]
        self.useFixture(
            test_loader.DistributionFixture('new', '\n'.join(lines))
        )
        self.useFixture(
            fixtures.MonkeyPatch('sys.path', [*sys.path, str(folder / 'src')])
        )
        importlib.invalidate_caches()


class Told(io.StringIO):
    """Standard error; what runs goes on when it was told of."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        if 'may hang' in text:
            module = loader.load_class('resolver', 'loud').__module__
            sys.modules[module].patient.set()
        return super().write(text)


class DriverCheckTest(test_cmd_base.CommandTestCase):
    synced = False

    def install_loud(self, source: str = LOUD) -> None:
        self.useFixture(
            test_loader.DistributionFixture('megaphone', POINTS, source)
        )

    def check_told(self, *, terminal: bool) -> str:
        """What standard error has when the driver has been checked."""
        error = Told(terminal=terminal)
        program = app.App(io.StringIO(), io.StringIO(), error)
        config = ['--config-file', self.run_command.config]
        code = program.run([*config, 'driver', 'check', 'resolver', 'loud'])
        self.assertEqual(1, code)
        return error.getvalue()

    def check(self, *argv: str) -> test_cmd_base.Result:
        return self.run_command('driver', 'check', *argv)

    def check_new(self, interface: str) -> None:
        """A driver as ``driver new`` writes it passes everything."""
        self.useFixture(NewDriverFixture(interface, 'brand_new'))
        result = self.check(interface, 'brand_new', '-f', 'json')
        self.assertEqual((0, ''), (result.code, result.err), result.out)
        report = result.json
        self.assertEqual('new 1.5', report['origin'])
        self.assertEqual('complete', report['grade'])
        outcomes = [one['outcome'] for one in report['checks']]
        for outcome in ('passed', 'failed', 'not_run'):
            self.assertEqual(outcomes.count(outcome), report[outcome])
        self.assertGreater(report['passed'], 10)
        # What was not run says why.
        for one in report['checks']:
            self.assertEqual(one['outcome'] == 'passed', not one['detail'])

    def test_a_new_resolver_passes(self) -> None:
        self.check_new('resolver')

    def test_a_new_transport_cache_passes(self) -> None:
        self.check_new('transport_cache')

    def test_a_new_quota_driver_passes(self) -> None:
        self.check_new('quota')

    def test_a_new_placement_driver_passes(self) -> None:
        self.check_new('placement')

    def test_a_bad_driver_fails_and_shows_no_secret(self) -> None:
        self.install_loud()
        self.run_command.write({'resolver_loud': ['word = hush-hush']})
        for form in ('table', 'json'):
            result = self.check('resolver', 'loud', '-f', form)
            self.assertEqual((1, ''), (result.code, result.err))
            self.assertNotIn('canary', result.everything)
            self.assertNotIn('hush-hush', result.everything)
            self.assertIn('*** at rabbit://***:***@host/v', result.out)
        self.assertEqual('failed', result.json['grade'])
        self.assertEqual('megaphone 1.5', result.json['origin'])

    def test_one_that_cannot_be_built_is_one_line_without_a_secret(
        self,
    ) -> None:
        self.install_loud(UNBUILT)
        self.run_command.write({'resolver_loud': ['word = hush-hush']})
        result = self.check('resolver', 'loud')
        self.assertRefused(
            result,
            "resolver driver 'loud': it cannot be built: ValueError: ",
            '*** at rabbit://***:***@host/v',
        )
        found = self.check('resolver', 'loud', '-f', 'json')
        self.assertEqual((1, result.err), (found.code, found.err))
        self.assertEqual('failed', found.json['grade'])
        (check,) = found.json['checks']
        self.assertIn('*** at rabbit://***:***@host/v', check['detail'])
        for one in (result, found):
            self.assertNotIn('canary', one.everything)
            self.assertNotIn('hush-hush', one.everything)

    def test_a_check_that_takes_long_is_named(self) -> None:
        self.install_loud(SLOW)
        # No test waits for a minute; the driver waits until it is told of.
        self.useFixture(
            fixtures.MonkeyPatch(
                'cellplug.cmd.driver_check.Check.patience', 0.2
            )
        )
        self.assertIn(
            "driver check: the check 'the driver can be built' has been "
            'running for 0.2 s; it may hang',
            self.check_told(terminal=False),
        )

    def test_a_terminal_shows_the_check_that_runs(self) -> None:
        self.install_loud()
        told = self.check_told(terminal=True)
        shown = told.split('\r\x1b[K')
        self.assertEqual(['', '1: the driver can be built'], shown[:2])
        self.assertIn(': a cell is found by uuid and by name', told)
        self.assertEqual('', shown[-1])
        self.assertNotIn('\n', told)

    def test_people_read_it_by_area(self) -> None:
        self.install_loud()
        out = self.check('resolver', 'loud').out
        self.assertIn('resolver driver loud of megaphone 1.5\n', out)
        self.assertRegex(out, r'(?m)^behaviour +\d+ of \d+$')
        self.assertIn('  FAILED\n', out)
        self.assertRegex(
            out, r'\n\d+ passed, \d+ failed, \d+ not run\ngrade: failed \('
        )

    def test_a_bad_value_is_one_line_without_a_secret(self) -> None:
        self.install_loud()
        self.run_command.write({'resolver_loud': ['size = many']})
        self.assertRefused(
            self.check('resolver', 'loud'),
            '[resolver_loud] size',
        )

    def test_a_driver_that_is_not_installed_is_one_line(self) -> None:
        self.assertRefused(
            self.check('resolver', 'databse'), 'is not installed'
        )

    def test_a_harness_that_does_not_load_is_one_line(self) -> None:
        self.useFixture(
            test_loader.DistributionFixture(
                'harnessed',
                POINTS.replace('cellplug.testing', 'no_such_module'),
                LOUD,
            )
        )
        self.assertRefused(self.check('resolver', 'loud'), 'no_such_module')

    def test_without_the_extra_it_says_what_to_install(self) -> None:
        # In a process of its own, in which one module cannot be imported.
        code = WITHOUT_EXTRA
        done = subprocess.run(
            [sys.executable, '-c', code],
            env={**os.environ, 'HOME': '/nonexistent'},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        self.assertEqual((1, ''), (done.returncode, done.stdout), done.stderr)
        self.assertEqual(1, done.stderr.count('\n'), done.stderr)
        self.assertIn("pip install 'cellplug[testing]'", done.stderr)


class GradingTest(test_cmd_base.CommandTestCase):
    synced = False

    def test_a_reason_stands_below_its_check(self) -> None:
        text = grading.text(
            {
                'interface': 'resolver',
                'driver': 'mine',
                'origin': 'mine 1',
                'grade': 'partial',
                'passed': 1,
                'failed': 0,
                'not_run': 1,
                'checks': [
                    {
                        'name': 'it_works',
                        'area': 'behaviour',
                        'outcome': 'passed',
                        'detail': '',
                    },
                    {
                        'name': 'it_waits',
                        'area': 'fork',
                        'outcome': 'not_run',
                        'detail': 'the harness cannot hold the source',
                    },
                ],
            }
        )
        self.assertEqual(
            textwrap.dedent("""\
                resolver driver mine of mine 1

                behaviour    1 of 1
                -------------------
                  it works  passed

                fork       none run
                -------------------
                  it waits  not run
                      the harness cannot hold the source

                1 passed, 0 failed, 1 not run
                grade: partial (nothing failed, but not all that applies could be run)
                """),  # noqa: E501
            text,
        )
