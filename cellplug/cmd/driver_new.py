"""``driver new``: the package of a driver to be written."""

from __future__ import annotations

import argparse
import shlex

from cellplug.cmd import base
from cellplug.cmd import driver
from cellplug.cmd import outcome

_NEXT = """\
Wrote {folder}: a {kind} that works, in memory, and its tests.

Next, in a virtual environment that has cellplug[testing]:
  cd {folder}
  pip install --no-build-isolation -e .
  python -m unittest
  cellplug-manage driver check {interface} {name}

To use it, write into the configuration of a service:
  [{interface}]
  driver = {name}

Then make it yours, beginning with
  src/{package}/driver.py
"Write a driver" in cellplug's documentation goes on from here.
"""


class New(base.Command):
    """Write the package of a new driver: it works, and passes its tests.

    A complete Python package: the driver, in memory, with an option, ready
    to be changed; its entry points; tests bound to cellplug's conformance
    suite; a manual, a workflow that runs the tests, and a licence. It can be
    installed, tested and used at once, without a network.
    """

    notes = """\
example:
  cellplug-manage driver new resolver my_etcd

NAME is what operators will write into their configuration: lower-case words
joined by underscores. Nothing is overwritten, and nothing is half written."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The driver, and where to write it."""
        parser = super().get_parser(prog_name)
        driver.add_driver(parser, 'the name of the driver to be')
        parser.add_argument(
            '--directory',
            metavar='DIR',
            default='.',
            help='the directory to make the folder of the package in '
            '(default: where you are)',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Write it, and say what comes next."""
        from cellplug.cmd import scaffold

        interface, name = parsed_args.interface, parsed_args.name
        scaffold.check_name(name)
        known = driver.origin(interface, name)
        if known:
            raise outcome.RefusedError(
                f'{known} has a {interface} driver {name!r} already, and of '
                'two with one name none can be used; choose another name'
            )
        folder = scaffold.write(interface, name, parsed_args.directory)
        words = scaffold.words_for(interface, name)
        self.app.stdout.write(
            _NEXT.format(**{**words, 'folder': shlex.quote(str(folder))})
        )
        return outcome.DONE
