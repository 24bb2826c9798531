"""What a package index and an installed environment get to see."""

from __future__ import annotations

import configparser
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGES = ('cellplug', 'cellplug_drivers')
BUILD = 'import setuptools.build_meta as b; print(b.build_wheel("."))'


class TestWheel(unittest.TestCase):
    def test_it_holds_every_file_of_both_packages(self) -> None:
        place = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, place)
        for name in PACKAGES:
            shutil.copytree(
                ROOT / name,
                f'{place}/{name}',
                ignore=shutil.ignore_patterns('__pycache__'),
            )
        for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
            shutil.copy(ROOT / name, place)
        expected = {
            str(path.relative_to(place))
            for name in PACKAGES
            for path in pathlib.Path(place, name).rglob('*')
            if path.is_file()
        }

        done = subprocess.run(
            [sys.executable, '-c', BUILD],
            cwd=place,
            env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stderr)
        wheel = pathlib.Path(place, done.stdout.splitlines()[-1])
        held = set(zipfile.ZipFile(wheel).namelist())

        self.assertEqual(set(), expected - held)


class TestEntryPoints(unittest.TestCase):
    def test_each_one_names_something_that_exists(self) -> None:
        setup = configparser.ConfigParser(delimiters=['='])
        setup.optionxform = str  # type: ignore[assignment,method-assign]
        setup.read(ROOT / 'setup.cfg')
        targets = [
            line.partition('=')[2].strip()
            for group in setup['options.entry_points'].values()
            for line in group.strip().splitlines()
        ]
        self.assertTrue(targets)
        for target in targets:
            with self.subTest(target):
                module, _, name = target.partition(':')
                found = importlib.import_module(module)
                self.assertTrue(callable(getattr(found, name)))
