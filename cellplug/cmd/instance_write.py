"""``instance move`` and ``instance unmap``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import cell as cell_commands
from cellplug.cmd import instance
from cellplug.cmd import outcome
from cellplug.cmd import progress_bar


class Move(base.ShowOne):
    """Point the mapping of an instance at another cell.

    The mapping alone changes: its rows, its files and whatever else it has
    the service must have moved before. Compare and set: it is refused if the
    mapping is not the one that was looked at.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Instance, cell, and which version of its mapping."""
        parser = super().get_parser(prog_name)
        instance.add_instance(parser)
        cell_commands.add_cell(parser)
        parser.add_argument(
            '--expected-generation',
            metavar='G',
            type=int,
            required=True,
            help='the generation that "instance show" has told; another one '
            'means that somebody else has changed the mapping',
        )
        instance.add_existing(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Move it."""
        with self.router() as router:
            moved = router.instances.move(
                instance.context(),
                parsed_args.instance,
                parsed_args.cell,
                expected_generation=parsed_args.expected_generation,
                existing=parsed_args.existing,
            )
        return base.shown(instance.everything(moved))


class Unmap(base.ShowOne):
    """Forget in which cells instances live.

    For instances whose rows were purged: the mapping of a deleted instance
    is still needed to list it, and an instance without a mapping cannot be
    found. What is not mapped is no error.
    """

    notes = """\
fields: instances (how many were named), unmapped, not_mapped

All that is named is checked before the first is unmapped. Then it goes in
portions: whoever interrupts it may run it again."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which ones."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'instances',
            metavar='INSTANCE',
            nargs='*',
            help='the uuid of an instance',
        )
        parser.add_argument(
            '--from-file',
            metavar='FILE',
            help='a file with the uuid of an instance in each line, - for '
            'standard input; empty lines are passed over',
        )
        parser.add_argument(
            '--dry-run', action='store_true', help='only say how many it were'
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Unmap them."""
        uuids = self._named(parsed_args)
        with self.router() as router:
            if parsed_args.dry_run:
                found = router.instances.get_many(instance.context(), uuids)
                count = len(found)
                self.say('nothing was unmapped: this was a dry run')
            else:
                count = self._unmap(router, uuids)
        return base.shown(
            {
                'instances': len(uuids),
                'unmapped': count,
                'not_mapped': len(uuids) - count,
            }
        )

    def _unmap(self, router: Any, uuids: list[str]) -> int:
        from cellplug.cells import instances
        from cellplug.cells import mapping_input

        bar = progress_bar.Bar(self.app.stderr, 'unmap', len(uuids))
        count = looked_at = 0
        try:
            for some in mapping_input.chunked(uuids, instances.CHUNK):
                # As a chunk it is repeated if it loses a conflict.
                count += router.instances.unmap(
                    instance.context(), some, chunk=len(some)
                )
                looked_at += len(some)
                bar.show(looked_at)
        finally:
            bar.clear()
        return count

    def _named(self, parsed_args: argparse.Namespace) -> list[str]:
        """All uuids, each once, checked.

        :raises UsageError: if none is named, or in two ways.
        """
        if bool(parsed_args.instances) == bool(parsed_args.from_file):
            raise outcome.UsageError('name instances, or a --from-file')
        if parsed_args.instances:
            named = _checked(parsed_args.instances, '')
        elif parsed_args.from_file == '-':
            named = _checked(self.app.stdin, 'standard input')
        else:
            with open(parsed_args.from_file, encoding='utf-8') as lines:
                named = _checked(lines, parsed_args.from_file)
        return list(named)


def _checked(lines: Iterable[str], where: str) -> dict[str, None]:
    """The canonical uuids, in the order given.

    :param where: the file they are from, '' if they are arguments.
    """
    from cellplug.objects import identifiers

    found: dict[str, None] = {}
    try:
        for number, line in enumerate(lines, 1):
            text = line.strip()
            name = f'{where}, line {number}' if where else 'INSTANCE'
            if text or not where:
                found[identifiers.canonical_uuid(name, text)] = None
    except UnicodeError:
        raise exception.InvalidInput(where, 'is no UTF-8 text') from None
    return found
