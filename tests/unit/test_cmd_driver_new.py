"""``cellplug-manage driver new``: a whole package, or none."""

from __future__ import annotations

import ast
import os
import pathlib
import stat
import subprocess
import sys
import tomllib

import fixtures

from cellplug.cmd import driver
from cellplug.cmd import scaffold
from tests.unit import test_cmd_base

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class DriverNewTestCase(test_cmd_base.CommandTestCase):
    synced = False

    def setUp(self) -> None:
        super().setUp()
        self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def new(
        self, interface: str = 'resolver', name: str = 'my_etcd'
    ) -> test_cmd_base.Result:
        return self.run_command(
            'driver', 'new', interface, name, '--directory', str(self.place)
        )

    def made(self, interface: str, name: str = 'my_etcd') -> pathlib.Path:
        result = self.new(interface, name)
        self.assertEqual((0, ''), (result.code, result.err))
        [folder] = self.place.iterdir()
        return folder


class WritingTest(DriverNewTestCase):
    def test_each_interface_has_a_complete_package(self) -> None:
        for interface in driver.INTERFACES:
            self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
            folder = self.made(interface)
            package = f'cellplug_{interface}_my_etcd'
            self.assertEqual(package.replace('_', '-'), folder.name)
            for path in (
                '.github/workflows/test.yml',
                '.gitignore',
                'LICENSE',
                'README.md',
                'docs/my_etcd.rst',
                'pyproject.toml',
                f'src/{package}/__init__.py',
                f'src/{package}/driver.py',
                f'src/{package}/harness.py',
                f'src/{package}/py.typed',
                'tests/__init__.py',
                'tests/test_conformance.py',
            ):
                self.assertTrue((folder / path).is_file(), path)

    def test_the_entry_points_name_classes_that_are_there(self) -> None:
        for interface in driver.INTERFACES:
            self.place = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
            folder = self.made(interface, 'a_b2')
            project = tomllib.loads((folder / 'pyproject.toml').read_text())
            points = project['project']['entry-points']
            found = {
                **points[f'cellplug.{interface}'],
                **points['cellplug.conformance'],
            }
            self.assertEqual({'a_b2', f'{interface}_a_b2'}, set(found))
            for target in found.values():
                module, _, name = target.partition(':')
                path = folder / 'src' / (module.replace('.', '/') + '.py')
                tree = ast.parse(path.read_text())
                classes = [
                    one.name
                    for one in tree.body
                    if isinstance(one, ast.ClassDef)
                ]
                self.assertIn(name, classes)

    def test_no_placeholder_is_left(self) -> None:
        for interface in driver.INTERFACES:
            for path, text in scaffold.render(interface, 'my_etcd').items():
                left = text.replace('${{ matrix.python }}', '')
                left = left.replace('$ pip', '').replace('$ python', '')
                left = left.replace('$ cellplug-manage', '')
                self.assertNotIn('$', path + left)

    def test_what_it_writes_is_in_good_style(self) -> None:
        for interface in driver.INTERFACES:
            self.assertEqual(0, self.new(interface).code)
        for command in (['check'], ['format', '--check']):
            done = subprocess.run(
                ['ruff', *command, '--no-cache', str(self.place)],
                env={
                    **os.environ,
                    'PATH': f'{pathlib.Path(sys.executable).parent}:'
                    f'{os.environ["PATH"]}',
                },
                capture_output=True,
                text=True,
            )
            self.assertEqual(0, done.returncode, done.stdout)

    def test_the_licence_is_the_one_of_cellplug(self) -> None:
        made = scaffold.render('quota', 'x')['LICENSE']
        self.assertEqual((ROOT / 'LICENSE').read_text(), made)

    def test_it_tells_what_to_type_next(self) -> None:
        out = self.new('transport_cache').out
        folder = self.place / 'cellplug-transport-cache-my-etcd'
        for line in (
            f'cd {folder}',
            'pip install --no-build-isolation -e .',
            'python -m unittest',
            'cellplug-manage driver check transport_cache my_etcd',
        ):
            self.assertIn(f'\n  {line}\n', out)

    def test_the_folder_may_be_read_like_any_other(self) -> None:
        former = os.umask(0o022)
        self.addCleanup(os.umask, former)
        folder = self.made('resolver')
        self.assertEqual(0o755, stat.S_IMODE(folder.stat().st_mode))

    def test_without_a_directory_it_is_made_here(self) -> None:
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.place)
        result = self.run_command('driver', 'new', 'quota', 'sheet')
        self.assertEqual(0, result.code, result)
        self.assertIn('\n  cd cellplug-quota-sheet\n', result.out)
        self.assertTrue((self.place / 'cellplug-quota-sheet').is_dir())


class RefusingTest(DriverNewTestCase):
    def test_names_that_would_not_do_are_one_line_each(self) -> None:
        for name in (
            '../evil', '/etc/passwd', '', '.', 'My_etcd', 'my-etcd', 'my etcd',
            '2fast', '_mine', 'mine_', 'a__b', 'etcd\n', 'ütcd', 'class',
            'match', 'a' * 41, "x'; import os", '$name', 'a/b', 'a.b',
        ):  # fmt: skip
            self.assertRefused(self.new(name=name), 'a driver cannot be')
            self.assertEqual([], list(self.place.iterdir()))

    def test_the_name_of_an_installed_driver_is_refused(self) -> None:
        self.assertRefused(
            self.new(name='database'),
            "a resolver driver 'database' already",
            'choose another name',
        )
        self.assertEqual([], list(self.place.iterdir()))

    def test_the_same_name_may_serve_another_interface(self) -> None:
        self.made('transport_cache', 'database')

    def test_nothing_is_overwritten(self) -> None:
        folder = self.made('resolver')
        (folder / 'README.md').write_text('mine')
        self.assertRefused(self.new(), 'is there already')
        self.assertEqual('mine', (folder / 'README.md').read_text())
        self.assertEqual([folder], list(self.place.iterdir()))

    def test_a_broken_link_of_that_name_is_there_too(self) -> None:
        (self.place / 'cellplug-resolver-my-etcd').symlink_to('nowhere')
        self.assertRefused(self.new(), 'is there already')

    def test_a_directory_that_is_not_there_is_refused(self) -> None:
        self.place = self.place / 'absent'
        self.assertRefused(self.new(), 'absent')

    def test_nothing_is_left_of_one_that_fails_midway(self) -> None:
        write = pathlib.Path.write_text

        def full(path: pathlib.Path, *args: object, **kwargs: object) -> int:
            if path.name == 'driver.py':
                raise OSError(28, 'No space left on device')
            return write(path, *args, **kwargs)  # type: ignore[arg-type]

        self.useFixture(fixtures.MonkeyPatch('pathlib.Path.write_text', full))
        self.assertRefused(self.new(), 'No space left on device')
        self.assertEqual([], list(self.place.iterdir()))

    def test_an_unknown_interface_is_wrong_usage(self) -> None:
        self.assertEqual(2, self.new('resolvers').code)
