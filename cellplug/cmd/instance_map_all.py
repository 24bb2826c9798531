"""``instance map-all``: map what a service already has in a cell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug.cmd import base
from cellplug.cmd import outcome
from cellplug.cmd import progress_bar

if TYPE_CHECKING:
    from cellplug.cells import mapping_all

_MORE = 1
_LEFT = 2


class MapAll(base.ShowOne):
    """Map all instances that are in a cell to that cell.

    For a database that becomes a cell. Where its instances are, the options
    in [instances] say, or an entry point of the service's package. May be
    interrupted, and run again, at any time: it goes on where it stopped, in
    each cell by itself. An instance that cannot be mapped is told in a line,
    and stepped over.
    """

    notes = """\
fields: cell_uuid, cell_name, looked_at (how many rows), mapped,
  already_mapped (to this cell), not_mapped (could not be), more (whether
  there are rows that were not looked at), per_second

A run goes on where the last one of this cell was interrupted, or stopped by
its --max-count; behind the end, the next run begins anew. So it may be run
"until it exits with 0 or 2". Whatever the cell's state is, instances that
live there are mapped."""

    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'all are mapped',
        _MORE: 'with --max-count: there is more, run it again',
        _LEFT: 'some could not be mapped, here or in an earlier portion; '
        'also wrong usage, refused or failed',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which cell, and how much."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--cell',
            metavar='CELL',
            required=True,
            help='the cell: its name or uuid',
        )
        parser.add_argument(
            '--max-count',
            metavar='N',
            type=_positive,
            help='look at so many rows at most, and go on with the next run',
        )
        parser.add_argument(
            '--batch',
            metavar='N',
            type=_positive,
            default=1000,
            help='how many are mapped in one transaction, by default 1000',
        )
        parser.add_argument(
            '--reset',
            action='store_true',
            help='begin anew, wherever the last run stopped',
        )
        parser.add_argument(
            '--dry-run',
            action='store_true',
            help='write nothing: say what would be mapped, and what could '
            'not be',
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; its exit code."""
        try:
            return super().run(parsed_args)
        except Exception as exc:
            found = outcome.explain(exc)
            if found.code != outcome.FAILED or self.app.options.debug:
                raise
            # Not 1: a script would run it again for ever.
            self.say(f'error: {found.line}')
            return _LEFT

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Map them."""
        from cellplug.cells import instance_sources
        from cellplug.cells import mapping_all

        with self.router() as router:
            cell = self.known(router.cells.get(parsed_args.cell))
            run = mapping_all.MapAll(
                router,
                cell,
                instance_sources.need(router),
                batch=parsed_args.batch,
                dry_run=parsed_args.dry_run,
                reset=parsed_args.reset,
                report=self._report,
            )
            if run.resumed:
                self.say('goes on where the last run stopped')
            rate = self._go(run, cell.name, parsed_args)
        tally = run.tally
        self._finish(tally, parsed_args)
        return base.shown(
            {
                'cell_uuid': cell.uuid,
                'cell_name': cell.name,
                'looked_at': tally.looked_at,
                'mapped': tally.mapped,
                'already_mapped': tally.already,
                'not_mapped': tally.blocked,
                'more': tally.more,
                'per_second': rate,
            }
        )

    def _go(
        self, run: mapping_all.MapAll, name: str, parsed: argparse.Namespace
    ) -> int:
        """Run it; how many rows in a second."""
        total = run.count() if self.app.stderr.isatty() else None
        if total is not None and parsed.max_count is not None:
            total = min(total, parsed.max_count)
        self._bar = progress_bar.Bar(self.app.stderr, name, total)
        tally = run.tally
        try:
            for _ in run.run(parsed.max_count):
                self._bar.show(tally.looked_at)
        except KeyboardInterrupt:
            self._bar.clear()
            if not parsed.dry_run:
                self.say(
                    f'interrupted behind {tally.looked_at} rows; the next '
                    'run goes on there'
                )
            raise
        finally:
            self._bar.clear()
        return self._bar.rate(tally.looked_at)

    def _report(self, what: str, why: str) -> None:
        self._bar.clear()
        self.say(f'not mapped: {what}: {" ".join(why.split())}')

    def _finish(
        self, tally: mapping_all.Tally, parsed: argparse.Namespace
    ) -> None:
        """Say how it stands, and set the exit code."""
        if parsed.dry_run:
            self.say('nothing was written: this was a dry run')
        if tally.more:
            self.exit_code = _MORE
        elif tally.left_behind:
            self.exit_code = _LEFT
            if tally.blocked_before:
                self.say(
                    f'{tally.blocked_before} more could not be mapped in '
                    'earlier runs; --reset looks at them again'
                )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError('must be 1 or more')
    return number
