"""Drivers from packages of their own, in a clean environment."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from typing import Any

import fixtures
import testtools

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / 'doc' / 'source' / 'writing-a-driver.rst'
DEADLINE = 300

# What only prepares, or cannot be done without a network.
ELSEWHERE = ('python3 -m venv', '. env/', "pip install 'cellplug[")

PROGRAMS = {
    'pip': 'exec python -m pip "$@"',
    'cellplug-manage': 'exec python -m cellplug.cmd.manage "$@"',
}


class CleanEnvironment(fixtures.Fixture):
    """A virtual environment of its own that sees what is installed in ours.

    As if ``cellplug[testing]`` had been installed into it: nothing is
    downloaded, and nothing is written into our environment.
    """

    def _setUp(self) -> None:
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.home = top / 'home'
        self.home.mkdir()
        self.programs = top / 'env' / 'bin'
        subprocess.run(
            [sys.executable, '-m', 'venv', '--without-pip', str(top / 'env')],
            check=True,
            timeout=DEADLINE,
        )
        # addsitedir reads the .pth files there as well: cellplug may be
        # installed in place.
        seen = [p for p in sys.path if p.endswith('-packages')]
        lines = ['import sys', 'import site']
        lines += [f'site.addsitedir({place!r})' for place in seen]
        self.packages = self._ask('purelib')
        (self.packages / 'ours.pth').write_text('; '.join(lines) + '\n')
        for name, command in PROGRAMS.items():
            program = self.programs / name
            program.write_text(f'#!/bin/sh\n{command}\n')
            program.chmod(0o755)
        unwanted = ('PYTHON', 'VIRTUAL_ENV', 'PIP_', 'OS_')
        self.variables = {
            k: v for k, v in os.environ.items() if not k.startswith(unwanted)
        } | {
            'HOME': str(self.home),
            'PATH': f'{self.programs}:{os.environ["PATH"]}',
            'PIP_CONFIG_FILE': os.devnull,
            'PIP_DISABLE_PIP_VERSION_CHECK': '1',
            'PIP_NO_INDEX': '1',
        }

    def _ask(self, path: str) -> pathlib.Path:
        """One of the environment's own folders."""
        code = f'import sysconfig; print(sysconfig.get_path({path!r}))'
        done = subprocess.run(
            [self.programs / 'python', '-c', code],
            capture_output=True,
            check=True,
            text=True,
        )
        return pathlib.Path(done.stdout.strip())

    def run(
        self, command: str, code: int = 0, cwd: pathlib.Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell's command; its exit code has to be this one."""
        done = subprocess.run(
            ['sh', '-c', command],
            cwd=cwd or self.home,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        if done.returncode != code:
            raise AssertionError(
                f'{command}: {done.returncode}\n{done.stdout}{done.stderr}'
            )
        return done

    def json(self, command: str) -> Any:
        """What a command of cellplug-manage prints with -f json."""
        return json.loads(
            self.run(f'cellplug-manage {command} -f json').stdout
        )

    def drivers(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The rows of ``driver list``, by interface and name."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in self.json('driver list'):
            key = (row['interface'], row['name'])
            found.setdefault(key, []).append(row)
        return found


class OutOfTreeTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if importlib.util.find_spec('pip') is None:
            self.skipTest('pip is not installed here')
        self.clean = self.useFixture(CleanEnvironment())


class PageTest(OutOfTreeTestCase):
    """The page for authors, done as it says."""

    def setUp(self) -> None:
        super().setUp()
        self.text = PAGE.read_text()
        self.cwd = self.clean.home

    def block(self, language: str) -> str:
        """The one example in a language."""
        [found] = blocks(self.text, language)
        return found

    def follow(self, command: str) -> str:
        """Do what the page says; what was printed."""
        if command.startswith('cd '):
            self.cwd = self.cwd / command.removeprefix('cd ')
            (self.cwd / 'cells.json').write_text(self.block('json'))
            (self.cwd / 'try.conf').write_text(self.block('ini'))
            return ''
        broken = self.broken and 'driver check' in command
        return self.clean.run(command, int(broken), self.cwd).stdout

    def test_each_command_does_what_the_page_says(self) -> None:
        printed: dict[str, str] = {}
        self.broken = False
        for block in blocks(self.text, 'console'):
            for line in block.splitlines():
                command = line.removeprefix('$ ')
                self.assertNotEqual(line, command)
                if command.startswith(ELSEWHERE):
                    continue
                out = self.follow(command)
                if command.startswith('sed'):
                    self.broken = not self.broken
                    continue
                printed[f'broken: {command}' if self.broken else command] = out
        self.check(printed)

    def check(self, printed: dict[str, str]) -> None:
        def told(words: str) -> str:
            [found] = [out for line, out in printed.items() if words in line]
            return found

        for path in re.findall(r'(?m)^    (\S+\.\S+)  ', self.text):
            self.assertTrue((self.cwd / path).exists(), path)
        self.assertIn('cellplug-resolver-my-etcd 0.1.0', told('driver list'))
        self.assertIn('records (string', told('driver show resolver'))
        check = 'cellplug-manage driver check resolver my_etcd'
        self.assertIn('grade: complete', printed[check])
        broken = printed[f'broken: {check}']
        self.assertIn('grade: failed', broken)
        [shown] = blocks(self.text, 'text')
        for line in shown.splitlines():
            if not line.endswith('...'):
                words = ' '.join(line.split())
                self.assertIn(words, ' '.join(broken.split()))
        self.assertIn('cell1', told('cell list'))
        self.assertIn('6c9a1f7e-50b1', told('instance show'))
        for name in ('driver.py', 'py.typed', 'harness.py', 'LICENSE'):
            self.assertIn(name, told('zipfile'))


class UseTest(OutOfTreeTestCase):
    def install(self, interface: str, name: str) -> None:
        """Build a wheel of a new package, and install it."""
        self.clean.run(f'cellplug-manage driver new {interface} {name}')
        folder = f'cellplug-{interface}-{name}'.replace('_', '-')
        self.clean.run(
            f'pip install --no-build-isolation --no-deps --no-index ./{folder}'
        )

    def test_the_lab_runs_with_a_transport_cache_by_config_alone(self) -> None:
        self.install('transport_cache', 'my_pool')
        config = self.clean.home / 'lab.conf'
        config.write_text('[transport_cache]\ndriver = my_pool\n')
        with_it = f'--config-file {config}'

        report = self.clean.json(
            f'{with_it} lab run --instances 6 --directory kept'
        )
        self.assertEqual(['my_pool'], report['drivers']['transport_cache'])
        row = {
            (one['interface'], one['name']): one
            for one in self.clean.json(f'{with_it} driver list')
        }['transport_cache', 'my_pool']
        self.assertEqual(
            'cellplug-transport-cache-my-pool 0.1.0', row['origin']
        )
        self.assertEqual((True, True), (row['in_use'], row['loads']))

    def test_a_new_quota_driver_installs_and_loads(self) -> None:
        self.install('quota', 'sheet')
        [row] = self.clean.drivers()['quota', 'sheet']
        self.assertEqual('cellplug-quota-sheet 0.1.0', row['origin'])
        self.assertIs(True, row['loads'])
        self.clean.run(
            'python -m unittest', cwd=self.clean.home / 'cellplug-quota-sheet'
        )
        report = self.clean.json('driver check quota sheet')
        self.assertEqual('complete', report['grade'])

    def test_instances_are_placed_by_a_new_driver_by_config_alone(
        self,
    ) -> None:
        self.install('placement', 'my_policy')
        [row] = self.clean.drivers()['placement', 'my_policy']
        self.assertEqual('cellplug-placement-my-policy 0.1.0', row['origin'])
        self.assertIs(True, row['loads'])
        self.clean.run(
            'python -m unittest',
            cwd=self.clean.home / 'cellplug-placement-my-policy',
        )
        report = self.clean.json('driver check placement my_policy')
        self.assertEqual('complete', report['grade'])
        config = self.clean.home / 'place.conf'
        config.write_text(
            '[api_database]\n'
            f'connection = sqlite:///{self.clean.home}/api.db\n'
            '[placement]\ndriver = my_policy\n'
            '[placement_my_policy]\nfull_at = 2\n'
        )
        (self.clean.home / 'place.py').write_text(PLACE)
        done = self.clean.run(f'python place.py {config}')
        self.assertEqual(
            'cell1 cell1 cell2 cell2 3 3', done.stdout.strip(), done.stderr
        )


# Fills cell1, then cell2; of two full ones, each gets one more.
PLACE = """
import sys
import uuid

import cellplug
from oslo_config import cfg

conf = cfg.ConfigOpts()
cellplug.register_opts(conf)
conf(['--config-file', sys.argv[1]], project='cellplug')
cellplug.sync_api_database(conf)
context = cellplug.RequestContext(user_id='u', project_id='p')
with cellplug.CellRouter.from_conf(conf) as router:
    cells = [
        router.cells.create(
            name=name,
            database_connection=f'sqlite:///{name}.db',
            transport_url=f'fake://{name}/',
        )
        for name in ('cell1', 'cell2')
    ]

    def place(*cells):
        made = router.place(context, str(uuid.uuid4()), cells=cells or None)
        return made.cell.name

    places = [place('cell1'), place(), place(), place()]
    for _ in range(2):
        place()
    counts = [
        len(router.instances.list(context, cell=cell)) for cell in cells
    ]
    print(*places, *counts)
"""

PYPROJECT = """
[build-system]
requires = ['setuptools>=77']
build-backend = 'setuptools.build_meta'

[project]
name = 'trouble'
version = '3.1'

[tool.setuptools]
py-modules = ['trouble', 'trouble_import']

[project.entry-points.'cellplug.resolver']
absent = 'trouble_absent:Resolver'
importing = 'trouble_import:Resolver'
wrong_type = 'trouble:NoResolver'
partial = 'trouble:Partial'
old = 'trouble:Old'
new = 'trouble:New'
database = 'trouble:Good'
good = 'trouble:Good'
"""

MODULE = """
from cellplug import interfaces

class NoResolver: pass
class Partial(interfaces.Resolver): pass

class Good(interfaces.Resolver):
    api_version = 1
    def __init__(self, options, host): pass
    def get_cell(self, cell): ...
    def list_cells(self): return []
    def get_instance(self, instance_uuid): ...
    def get_instances(self, instance_uuids): return {}
    def forget_cell(self, cell_uuid): ...
    def forget_instance(self, instance_uuid, below_generation=None): ...
    def close(self): ...

class Old(Good): api_version = 0
class New(Good): api_version = 99
"""

REASONS = {
    'absent': "No module named 'trouble_absent'",
    'importing': 'ZeroDivisionError',
    'wrong_type': 'is no subclass of cellplug.interfaces.Resolver',
    'partial': 'Partial lacks',
    'old': 'install a newer release of the driver',
    'new': 'upgrade cellplug',
    'database': 'is offered by more than one distribution: cellplug ',
}


class TroubleTest(OutOfTreeTestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = self.clean.home / 'trouble'
        folder.mkdir()
        (folder / 'pyproject.toml').write_text(PYPROJECT)
        (folder / 'trouble.py').write_text(MODULE)
        (folder / 'trouble_import.py').write_text('1 / 0\n')
        self.clean.run(
            'pip install --no-build-isolation --no-deps --no-index ./trouble'
        )

    def choose(self, name: str) -> str:
        config = self.clean.home / f'{name}.conf'
        config.write_text(f'[resolver]\ndriver = {name}\n')
        return f'cellplug-manage --config-file {config}'

    def test_each_broken_driver_is_one_line_and_the_others_work(self) -> None:
        drivers = self.clean.drivers()
        for name, reason in REASONS.items():
            for row in drivers['resolver', name]:
                self.assertIs(False, row['loads'])
                self.assertIn(reason, row['error'])
                self.assertNotIn('\n', row['error'])
            origins = {row['origin'] for row in drivers['resolver', name]}
            self.assertIn('trouble 3.1', origins)
            # And whoever has chosen it gets the same line.
            done = self.clean.run(f'{self.choose(name)} cell list', code=1)
            self.assertEqual(('', 1), (done.stdout, done.stderr.count('\n')))
            self.assertIn(f"resolver driver '{name}'", done.stderr)
            self.assertIn(reason, done.stderr)
        for name in ('good', 'static', 'local'):
            [row] = drivers['resolver', name]
            self.assertEqual((True, None), (row['loads'], row['error']))
        self.clean.run(f'{self.choose("good")} cell list')


def blocks(text: str, language: str) -> list[str]:
    """The examples of a page in a language."""
    found = re.findall(
        rf'(?m)^\.\. code-block:: {language}\n\n((?:(?:   .*)?\n)+)', text
    )
    return [textwrap.dedent(one).strip() for one in found]
