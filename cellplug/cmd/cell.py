"""``cell``: looking at cells, and deleting one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug.cmd import base
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from cellplug import CellMapping

URLS = ('database_connection', 'slave_connection', 'transport_url')


def add_cell(parser: argparse.ArgumentParser) -> None:
    """The argument that names a cell."""
    parser.add_argument(
        'cell',
        metavar='CELL',
        help='the name or the uuid of a cell, matched exactly',
    )


def add_show_secrets(parser: argparse.ArgumentParser) -> None:
    """The only option that makes a command print a password."""
    parser.add_argument(
        '--show-secrets',
        action='store_true',
        help='print URLs with user names and passwords, not masked',
    )


def fields(cell: CellMapping, *, secrets: bool = False) -> dict[str, Any]:
    """Everything of a cell, by the names that scripts rely on."""
    shown = cell.masked()
    for name in URLS:
        shown[name] = getattr(cell, name) if secrets else shown[name] or None
    return shown


class List(base.Lister):
    """List the cells, in the order in which they were created.

    Asks the API database alone: works while cells are down.
    """

    notes = """\
columns: name, uuid, state, database_connection, transport_url"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whether to print secrets."""
        parser = super().get_parser(prog_name)
        add_show_secrets(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """List them."""
        names = ('name', 'uuid', 'state', URLS[0], URLS[2])
        with self.router() as router:
            cells = router.cells.list()
        shown = (fields(c, secrets=parsed_args.show_secrets) for c in cells)
        return names, [base.row(one[name] for name in names) for one in shown]


class Show(base.ShowOne):
    """Show everything about a cell.

    Asks the API database alone: works while the cell is down.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The cell, and whether to print secrets."""
        parser = super().get_parser(prog_name)
        add_cell(parser)
        add_show_secrets(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show it."""
        with self.router() as router:
            cell = router.cells.get(parsed_args.cell)
        return base.shown(fields(cell, secrets=parsed_args.show_secrets))


class Delete(base.Command):
    """Delete a cell to which no instance is mapped.

    Its database stays as it is, claimed by the uuid of the cell.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The cell."""
        parser = super().get_parser(prog_name)
        add_cell(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Delete it."""
        with self.router() as router:
            cell = router.cells.get(parsed_args.cell)
            router.cells.delete(cell)
        self.app.stdout.write(f'deleted cell {cell.name!r} ({cell.uuid})\n')
        return outcome.DONE


class Verify(base.Lister):
    """Connect to the databases and the message queue of a cell.

    Asks each whether it can be reached with the cell's URLs, and the
    databases whether they belong to this cell and are at the revision of this
    release. Nothing is changed. Waits for each of them as long as
    [cell_database] connect_timeout and [rpc] connect_timeout say.
    """

    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'everything is as it should be',
        outcome.FAILED: 'something failed, see the rows; or the cell was '
        'not found',
    }
    notes = """\
columns: part (database, replica, queue), check (connection, schema,
  identity), ok (true or false), latency_ms (null where there was nothing to
  ask), detail"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The cell."""
        parser = super().get_parser(prog_name)
        add_cell(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Examine it."""
        from cellplug.cells import verify

        with self.router() as router:
            cell = self.known(router.cells.get(parsed_args.cell))
        found = verify.examine(self.conf, cell)
        if any(one.error for one in found):
            self.exit_code = outcome.FAILED
        return (
            ('part', 'check', 'ok', 'latency_ms', 'detail'),
            [self._row(one) for one in found],
        )

    def _row(self, finding: Any) -> base.Row:
        latency = None
        if finding.seconds is not None:
            latency = round(finding.seconds * 1000, 1)
        detail = str(finding.error) if finding.error else finding.detail
        return base.row(
            (
                finding.part,
                finding.check,
                finding.error is None,
                latency,
                self.app.hider.hide(detail),
            )
        )
