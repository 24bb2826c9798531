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


def everything(mapping: InstanceMapping) -> dict[str, Any]:
    """What is shown of one mapping."""
    return {**_fields(mapping), 'generation': mapping.generation}


def context() -> Any:
    """The context of an operator at work."""
    from cellplug import context as cellplug_context

    return cellplug_context.InternalContext()


def add_instance(parser: argparse.ArgumentParser) -> None:
    """The argument of a command that is about one."""
    parser.add_argument(
        'instance', metavar='INSTANCE', help='the uuid of an instance'
    )


def add_existing(parser: argparse.ArgumentParser) -> None:
    """The option that makes the cell's state no matter."""
    parser.add_argument(
        '--existing',
        action='store_true',
        help='the instance lives there already: map it whatever the state of '
        'the cell; else only a cell that is enabled takes one',
    )


class Map(base.ShowOne):
    """Say in which cell an instance lives.

    Mapping it to the same cell again changes nothing; an instance that is
    mapped to another cell is refused.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Instance, cell, and whose it is."""
        parser = super().get_parser(prog_name)
        add_instance(parser)
        cell_commands.add_cell(parser)
        parser.add_argument(
            '--project', required=True, help='the project of the instance'
        )
        parser.add_argument('--user', help='the user of the instance')
        add_existing(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Map it."""
        with self.router() as router:
            mapped = router.instances.map(
                context(),
                parsed_args.instance,
                parsed_args.cell,
                project_id=parsed_args.project,
                user_id=parsed_args.user,
                existing=parsed_args.existing,
            )
        return base.shown(everything(mapped))


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
        add_instance(parser)
        _add_project(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show it."""
        with self.router() as router:
            found = router.instances.get(
                context(),
                parsed_args.instance,
                project_id=parsed_args.project,
            )
        return base.shown(everything(found))


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
                context(),
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
    """Check that an instance is mapped to a cell, and is there.

    Whether it is there is looked at where an instance source is configured,
    see [instances]; else the cell is not asked.
    """

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
        add_instance(parser)
        _add_project(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Check it."""
        with self.router() as router:
            try:
                found = router.instances.get(
                    context(),
                    parsed_args.instance,
                    project_id=parsed_args.project,
                )
            except exception.CellMappingNotFound as exc:
                self.say(f'error: {exc}')
                return _NO_CELL
            gone = found.cell is not None and self._is_gone(router, found)
        if found.cell is None:
            self.say(
                f'error: instance {found.instance_uuid} is mapped to cell '
                f'{found.cell_uuid}, which does not exist'
            )
            return _NO_CELL
        if gone:
            self.say(
                f'error: instance {found.instance_uuid} is mapped to cell '
                f'{found.cell.name!r} ({found.cell.uuid}), and is not there'
            )
            return _GONE
        self.app.stdout.write(
            f'instance {found.instance_uuid} is mapped to cell '
            f'{found.cell.name!r} ({found.cell.uuid})\n'
        )
        return outcome.DONE

    def _is_gone(self, router: Any, found: InstanceMapping) -> bool:
        """Whether its cell has no row of it; False if nobody can tell."""
        from cellplug.cells import instance_sources

        source = instance_sources.find(router)
        if source is None:
            return False
        with router.target_cell(context(), found.cell) as cctxt:
            return not source.has(cctxt, found.instance_uuid)
