"""``online-data-migrations``: move data while the services run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from cellplug import CellRouter
    from cellplug.cells import migrations
    from cellplug.cells import migrations_context

_COLUMNS = ('migration', 'found', 'done', 'blocked')
_AGAIN = 1
_LEFT = 2
_BAD_COUNT = 127
_MAX_COUNT = 2**31 - 1
_SHOWN = 40


class _BadCountError(Exception):
    """--max-count is no positive integer."""


class OnlineDataMigrations(base.Lister):
    """Run the online data migrations of all that is installed.

    They move data to where this release wants it, while the services run:
    limits from the databases of cells to the API database, and what else
    services bring along. May be repeated, interrupted, and run by several
    processes at once.

    Every row that cannot be migrated is named on standard error; so is each
    limit that was not moved because the API database had another one.
    """

    notes = f"""\
columns: {', '.join(_COLUMNS)} (all but the first in rows)

With --max-count, run it again and again while it exits 1."""
    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'nothing is left to migrate',
        _AGAIN: 'with --max-count: something was migrated, or there is more '
        'to look at: run it again',
        _LEFT: 'something could not be migrated: standard error says what; '
        'also wrong usage, refused or failed',
        _BAD_COUNT: '--max-count is no positive integer, or too great',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """How much, and whether to look again."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--max-count',
            metavar='N',
            help='look at most at N rows for each migration; the next run '
            'goes on there. By default all run to their ends, in batches',
        )
        parser.add_argument(
            '--recheck',
            action='store_true',
            help='look also where an earlier run, or a service, found '
            'nothing left: after a database was restored, or old services '
            'wrote to it. Not with --max-count',
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; its exit code."""
        try:
            return super().run(parsed_args)
        except _BadCountError as exc:
            self.say(f'error: --max-count: {exc}')
            return _BAD_COUNT
        except (exception.CellplugError, outcome.RefusedError) as exc:
            # Not 1: a script would run it again for ever.
            self.say(f'error: {outcome.explain(exc).line}')
            return _LEFT

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Run them."""
        count = _count(parsed_args.max_count)
        if count is not None and parsed_args.recheck:
            raise outcome.RefusedError(
                '--recheck begins anew, and --max-count goes on where the '
                'last run stopped: use one of them'
            )
        with self.router() as router:
            rows = self._run_all(router, count, parsed_args.recheck)
        return _COLUMNS, rows

    def _run_all(
        self, router: CellRouter, count: int | None, recheck: bool
    ) -> list[base.Row]:
        from cellplug.cells import migrations

        rows: list[base.Row] = []
        again = left = False
        # Asked first: without an API database, there is nothing to do.
        for cell in router.cells.list():
            self.known(cell)
        for one in migrations.run(
            router,
            migrations.load(),
            max_count=count,
            recheck=recheck,
            report=self._tell,
        ):
            rows.append((one.name, one.found, one.done, one.blocked))
            again = again or one.more or one.done > 0
            left = left or one.blocked > 0 or one.error is not None
            self._explain(one)
        if count is not None and again:
            self.exit_code = _AGAIN
        elif left:
            self.exit_code = _LEFT
        return rows

    def _tell(self, report: migrations_context.Report) -> None:
        kind = 'blocked' if report.left else 'note'
        why = ' '.join(report.why.split())
        self.say(f'{kind}: {report.migration}: {report.what}: {why}')

    def _explain(self, one: migrations.Outcome) -> None:
        if one.error is not None:
            line = outcome.explain(one.error).line
            self.say(f'error: {one.name}: {line}')


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.lstrip('0')
    if not text.isascii() or not text.isdigit() or not digits:
        shown = text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
        raise _BadCountError(f'{shown!r} is no positive integer')
    # By its length first: Python refuses to read very long numbers.
    if len(digits) > len(str(_MAX_COUNT)) or int(digits) > _MAX_COUNT:
        raise _BadCountError(f'it is greater than {_MAX_COUNT}')
    return int(digits)
