"""``instance``: which instance lives in which cell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import cell as cell_commands
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from cellplug import InstanceMapping

_COLUMNS = (
    'instance_uuid', 'cell_uuid', 'cell_name', 'project_id', 'user_id'
)  # fmt: skip
_NO_CELL = 3
_GONE = 4
_ALL = -1


def _fields(mapping: InstanceMapping) -> dict[str, Any]:
    return {
        'instance_uuid': mapping.instance_uuid,
        'cell_uuid': mapping.cell_uuid,
        'cell_name': mapping.cell.name if mapping.cell else None,
        'project_id': mapping.project_id,
        'user_id': mapping.user_id,
    }


def _everything(mapping: InstanceMapping) -> dict[str, Any]:
    return {**_fields(mapping), 'generation': mapping.generation}


def _context() -> Any:
    from cellplug import context

    return context.InternalContext()


def _add_instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'instance', metavar='INSTANCE', help='the uuid of an instance'
    )


class Map(base.ShowOne):
    """Say in which cell an instance lives.

    Mapping it to the same cell again changes nothing; an instance that is
    mapped to another cell is refused.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Instance, cell, and whose it is."""
        parser = super().get_parser(prog_name)
        _add_instance(parser)
        cell_commands.add_cell(parser)
        parser.add_argument(
            '--project', required=True, help='the project of the instance'
        )
        parser.add_argument('--user', help='the user of the instance')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Map it."""
        with self.router() as router:
            mapped = router.instances.map(
                _context(),
                parsed_args.instance,
                parsed_args.cell,
                project_id=parsed_args.project,
                user_id=parsed_args.user,
            )
        return base.shown(_everything(mapped))


def _add_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--project',
        help="the instance's project: needed where the resolver finds "
        'instances by it, as "static" may',
    )


class Show(base.ShowOne):
    """Show in which cell an instance lives.

    Asks the API database alone: works while the cell is down.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The instance."""
        parser = super().get_parser(prog_name)
        _add_instance(parser)
        _add_project(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show it."""
        with self.router() as router:
            found = router.instances.get(
                _context(),
                parsed_args.instance,
                project_id=parsed_args.project,
            )
        return base.shown(_everything(found))


class List(base.Lister):
    """List instance mappings, in the order of the instances' uuids.

    Asks the API database alone: works while cells are down.
    """

    notes = f"""\
columns: {', '.join(_COLUMNS)}

Where more mappings follow than --limit, standard error names the --marker to
go on with."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which ones."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--project', help='only those of this project')
        parser.add_argument(
            '--cell',
            metavar='CELL',
            help='only those in this cell: its name or uuid',
        )
        parser.add_argument(
            '--limit',
            type=int,
            default=1000,
            help=f'at most so many, by default 1000; {_ALL} for all',
        )
        parser.add_argument(
            '--marker',
            metavar='INSTANCE',
            help='the uuid of an instance, mapped or not: only those after it',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """List them."""
        limit = parsed_args.limit
        with self.router() as router:
            found = router.instances.list(
                _context(),
                project_id=parsed_args.project,
                cell=parsed_args.cell,
                limit=None if limit == _ALL else limit + (limit >= 0),
                marker=parsed_args.marker,
            )
        if limit != _ALL and len(found) > limit:
            found = found[:limit]
            if found:
                self.say(f'more follow: --marker {found[-1].instance_uuid}')
        return _COLUMNS, [base.row(_fields(one).values()) for one in found]


class Verify(base.Command):
    """Check that an instance is mapped to a cell that exists."""

    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'mapped',
        outcome.FAILED: 'not mapped; also refused or failed',
        _NO_CELL: 'mapped to a cell that does not exist',
        _GONE: 'gone in the cell; given when an instance source is '
        'configured, else never',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The instance."""
        parser = super().get_parser(prog_name)
        _add_instance(parser)
        _add_project(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Check it."""
        with self.router() as router:
            try:
                found = router.instances.get(
                    _context(),
                    parsed_args.instance,
                    project_id=parsed_args.project,
                )
            except exception.CellMappingNotFound as exc:
                self.say(f'error: {exc}')
                return _NO_CELL
        if found.cell is None:
            self.say(
                f'error: instance {found.instance_uuid} is mapped to cell '
                f'{found.cell_uuid}, which does not exist'
            )
            return _NO_CELL
        self.app.stdout.write(
            f'instance {found.instance_uuid} is mapped to cell '
            f'{found.cell.name!r} ({found.cell.uuid})\n'
        )
        return outcome.DONE
