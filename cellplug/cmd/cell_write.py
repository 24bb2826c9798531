"""``cell create`` and ``cell update``; what ``cell ensure`` needs too."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import cell
from cellplug.cmd import outcome
from cellplug.objects import CELL0_UUID
from cellplug.objects import CellMapping
from cellplug.objects import CellState
from cellplug.objects import identifiers
from cellplug.objects import mappings
from cellplug.objects import urls

if TYPE_CHECKING:
    from cellplug import CellRouter

_FROM_STDIN = '-'
STDIN_ORDER = ('database_connection', 'transport_url', 'slave_connection')
_NOTES = """\
A URL on the command line is seen by everyone who can list processes. Pass - in
its place, and its line is read from standard input; for several, the lines are
--database-connection, --transport-url, --slave-connection, in this order:
  printf '%s\\n' "$DATABASE" "$QUEUE" | cellplug-manage cell create \\
      --name cell1 --database-connection - --transport-url -"""
_CHECKS: dict[str, Any] = {
    'name': lambda _, value: identifiers.check_cell_name(value),
    'uuid': identifiers.canonical_uuid,
    'database_connection': urls.check_database,
    'slave_connection': urls.check_database,
    'transport_url': urls.check_transport,
    'state': lambda _, value: mappings.check_state(value),
}


class Given(base.ShowOne):
    """A command that is given what a cell consists of."""

    def passed(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        """The attributes that were passed, checked.

        :raises InvalidInput: for one that no cell can have.
        """
        values = {
            name: getattr(parsed_args, name, None)
            for name in (*STDIN_ORDER, 'name', 'uuid', 'state')
        }
        for name in STDIN_ORDER:
            if values[name] == _FROM_STDIN:
                values[name] = self._read_line(name)
        given = {k: v for k, v in values.items() if v is not None}
        for name, value in given.items():
            if (name, value) != ('slave_connection', ''):
                given[name] = _CHECKS[name](name, value)
        if 'slave_connection' in given:
            given['slave_connection'] = given['slave_connection'] or None
        return given

    def _read_line(self, name: str) -> str:
        stdin = self.app.stdin
        if stdin.isatty():
            line = getpass.getpass(f'{name} (not shown): ')
        else:
            line = stdin.readline().rstrip('\r\n')
        if not line:
            raise exception.InvalidInput(
                name, 'there was no line left on standard input for it'
            )
        self.app.hider.learn(line)
        return line


class _Write(Given):
    """Arguments, and the look at what they lead to before it is written."""

    notes = _NOTES

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """What a cell consists of."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--name', help='up to 255 characters; may not look like a uuid'
        )
        parser.add_argument(
            '--database-connection',
            metavar='URL',
            help='the database, e.g. mysql+pymysql://user:password@host/cell1;'
            ' - reads it from standard input',
        )
        parser.add_argument(
            '--transport-url',
            metavar='URL',
            help='the message queue, e.g. rabbit://user:password@host:5672/'
            'cell1; none:/// for a cell without; - reads it from standard '
            'input',
        )
        parser.add_argument(
            '--slave-connection',
            metavar='URL',
            help="a replica of the database, for readers; '' for none; "
            '- reads it from standard input',
        )
        parser.add_argument(
            '--state',
            choices=[str(state) for state in CellState],
            help='what the cell is open for; enabled for a new cell. no_new '
            'takes no new instances, read_only no writes either, and disabled '
            'is asked nothing',
        )
        parser.add_argument(
            '--no-verify',
            action='store_true',
            help='do not connect to the database, the replica and the '
            'message queue before anything is written (a new database is '
            'connected to all the same, to claim it)',
        )
        return parser

    def verify(
        self, wanted: CellMapping, changed: dict[str, Any], *, skip: bool
    ) -> None:
        """Look at the backends that the changed URLs lead to.

        :raises RefusedError: if one of them cannot be used for the cell.
        """
        if skip:
            return
        from cellplug.cells import verify

        parts = {
            'database_connection': verify.DATABASE,
            'slave_connection': verify.REPLICA,
            'transport_url': verify.QUEUE,
        }
        found = verify.examine(
            self.conf,
            wanted,
            parts=[part for name, part in parts.items() if name in changed],
            fresh=True,
        )
        for one in found:
            if one.error is not None:
                hint = 'nothing was written'
                if one.part != verify.DATABASE:
                    hint += ' (--no-verify does not look at it first)'
                raise outcome.RefusedError(
                    f'{one.error}; {hint}'
                ) from one.error

    def check_unique(
        self, router: CellRouter, values: dict[str, Any], own: str | None
    ) -> None:
        """Refuse what another cell has, before its database is asked."""
        from cellplug.cells import verify

        cells = [self.known(one) for one in router.cells.list()]
        verify.check_unique(cells, values, own)

    def create(
        self, router: CellRouter, values: dict[str, Any], *, no_verify: bool
    ) -> CellMapping:
        """Verify, and create."""
        values = {'uuid': identifiers.new_uuid(), **values}
        self.check_unique(router, values, None)
        self.verify(CellMapping(**values), values, skip=no_verify)
        return router.cells.create(**values)

    def change(
        self,
        router: CellRouter,
        known: CellMapping,
        changed: dict[str, Any],
        *,
        no_verify: bool,
    ) -> CellMapping:
        """Verify what is to be different, and change it."""
        import dataclasses

        self.check_unique(router, changed, known.uuid)
        wanted = dataclasses.replace(known, **changed)
        self.verify(wanted, changed, skip=no_verify)
        return router.cells.update(known, **changed)


class Whole(_Write):
    """A command that is given all of a cell."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Also which cell it is."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--uuid', help='the uuid of the cell; a random one by default'
        )
        parser.add_argument(
            '--cell0',
            action='store_true',
            help='the cell of what could never be placed: the same as --uuid '
            f'{CELL0_UUID} --transport-url none:///, and --name cell0 if no '
            'other is passed',
        )
        return parser

    def whole(self, parsed_args: argparse.Namespace) -> dict[str, Any]:
        """The cell's attributes; those that a cell must have are there.

        :raises UsageError: if one is missing, or --cell0 contradicted.
        """
        if parsed_args.cell0:
            if parsed_args.uuid or parsed_args.transport_url:
                raise outcome.UsageError(
                    '--cell0 fixes --uuid and --transport-url; leave them out'
                )
            parsed_args.uuid = CELL0_UUID
            parsed_args.transport_url = urls.NO_QUEUE
            parsed_args.name = parsed_args.name or 'cell0'
        missing = [
            f'--{name.replace("_", "-")}'
            for name in ('name', 'database_connection', 'transport_url')
            if getattr(parsed_args, name) is None
        ]
        if missing:
            raise outcome.UsageError(f'missing: {", ".join(missing)}')
        return self.passed(parsed_args)


class Create(Whole):
    """Create a cell, and claim its database for it.

    Makes cellplug's tables in the database where they are missing. Nothing is
    written unless the database and the message queue can be reached, and no
    other cell has them.
    """

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Create it."""
        values = self.whole(parsed_args)
        with self.router() as router:
            made = self.create(router, values, no_verify=parsed_args.no_verify)
        return base.shown(cell.fields(made))


class Update(_Write):
    """Change what is passed of a cell, and nothing else.

    Only a database, replica or message queue that is passed is connected to,
    so that a cell that is down can be renamed, or given a new address.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Also the cell."""
        parser = super().get_parser(prog_name)
        cell.add_cell(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Change it."""
        changed = self.passed(parsed_args)
        if not changed:
            raise outcome.UsageError('nothing to change was passed')
        with self.router() as router:
            known = self.known(router.cells.get(parsed_args.cell))
            skip = parsed_args.no_verify
            made = self.change(router, known, changed, no_verify=skip)
        return base.shown(cell.fields(made))
