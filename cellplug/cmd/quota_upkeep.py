"""``quota refresh``, ``reset`` and ``expire``: books that follow the truth."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import quota_arguments
from cellplug.cmd import quota_books
from cellplug.cmd import quota_columns

if TYPE_CHECKING:
    from cellplug.objects import quota

_REFRESHED = ('resource', 'user_id', 'in_use', 'counted', 'result')
_RESET = ('resource', 'in_use', 'reserved', 'was_due', 'refresh_due')
_CORRECTED, _UNCHANGED, _KEPT = 'corrected', 'unchanged', 'kept'


class _Upkeep(base.Lister):
    """A command that corrects usages of a project."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose, and which."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_resources(
            parser, 'a resource; all that are reserved by default', many='*'
        )
        quota_arguments.add_project(
            parser, 'of the users, only this one (and the total)'
        )
        quota_arguments.add_dry_run(parser)
        return parser

    def begin(
        self, quotas: Any, parsed_args: argparse.Namespace
    ) -> tuple[quota_books.Books, list[str]]:
        """The books, and the resources; everything is checked.

        :raises RefusedError: for a resource, project or user that is unknown.
        """
        quota_books.check_keeps_usages(quotas)
        books = quota_books.Books.of(quotas, parsed_args)
        names = quota_books.check_reservable(quotas, parsed_args.resources)
        books.refuse_unknown()
        return books, names

    def end(self, parsed_args: argparse.Namespace, rows: Any) -> None:
        """Say what the rows do not."""
        if parsed_args.dry_run:
            self.say(quota_arguments.DRY_RUN)
        if not rows:
            self.say('none of it was counted yet: the first reservation does')


class Refresh(_Upkeep):
    """Count what a project uses, in all cells, and correct the books.

    The total of the project and its users' usages, as far as they are known.
    Safe at any time: a count is not stored where something was reserved
    while it was made.
    """

    notes = f"""\
columns: {', '.join(_REFRESHED)}: a row for the total (user_id null), and with
  --user one for the user; in_use as it was before; counted (null: not
  stored); result: corrected, unchanged, or kept (something was reserved of it
  meanwhile, so that the count may be wrong and was not stored)

A cell that does not answer is an error, unless [quota_database]
unanswered_cells says otherwise; with --dry-run it always is."""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Count, and store."""
        with self.router() as router:
            books, names = self.begin(router.quotas, parsed_args)
            levels = [None] if books.user_id is None else [None, books.user_id]
            before = {level: books.usages(level) for level in levels}
            if parsed_args.dry_run:
                after, kept = _tried(books, before, names)
            else:
                kept = router.quotas.usage_refresh(
                    books.context,
                    names,
                    project_id=books.project_id,
                    user_id=books.user_id,
                )
                after = {
                    level: {
                        n: u.in_use for n, u in books.usages(level).items()
                    }
                    for level in levels
                }
        rows = list(_compared(names, before, after, kept))
        self.end(parsed_args, rows)
        if any(_KEPT in one for one in rows):
            self.say(
                'kept is what something was reserved of meanwhile: a count '
                'of it may be wrong. Run it again, or see "quota reset"'
            )
        return _REFRESHED, quota_columns.table(rows, amounts=[2, 3])


Level = dict[str | None, Any]
"""By user; None is the total."""


def _tried(
    books: quota_books.Books, before: Level, names: Sequence[str]
) -> tuple[Level, frozenset[str]]:
    """What a refresh would find, and what it would not store.

    :raises CountIncomplete: if a cell did not answer.
    """
    from cellplug.quota import counting

    count = counting.Counter(
        books.quotas.resources, books.context, books.project_id
    )
    after = {}
    for level, usages in before.items():
        wanted = [name for name in names if name in usages]
        counts = count(wanted, level)
        if counts.missing:
            raise exception.CountIncomplete(wanted, counts.missing)
        after[level] = counts.values
    open_ = books.reservations(None)
    # Those past their time would be expired first.
    held = [one for one in open_ if one not in _late(open_)]
    return after, frozenset(name for one in held for name in one.deltas)


def _compared(
    names: Sequence[str], before: Level, after: Level, kept: frozenset[str]
) -> Iterator[tuple[Any, ...]]:
    for name in names:
        for level, usages in before.items():
            if name not in usages:
                continue
            old, new = usages[name].in_use, after[level].get(name)
            result = _UNCHANGED if old == new else _CORRECTED
            if name in kept:
                new, result = None, _KEPT
            yield name, level, None if old < 0 else old, new, result


class Reset(_Upkeep):
    """Have the next reservation count anew what a project uses.

    The total of the project and its users' usages, as far as they are known.
    Asks no cell now; see "quota refresh" to count at once.
    """

    notes = f"""\
columns: {', '.join(_RESET)}: the usages of the project, or with --user of the
  user; whether the next reservation would have counted it (was_due), and that
  it does now (refresh_due)"""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Mark them."""
        with self.router() as router:
            books, names = self.begin(router.quotas, parsed_args)
            usages = books.usages(books.user_id)
            if not parsed_args.dry_run:
                router.quotas.usage_reset(
                    books.context,
                    names,
                    project_id=books.project_id,
                    user_id=books.user_id,
                )
        rows = [
            (
                name,
                None if one.in_use < 0 else one.in_use,
                one.reserved,
                one.refresh_due,
                True,
            )
            for name, one in sorted(usages.items())
            if name in names
        ]
        self.end(parsed_args, rows)
        return _RESET, quota_columns.table(rows, amounts=[1, 2])


class Expire(base.Lister):
    """Roll back the reservations that are past their time.

    Of all projects. Run it every few minutes, on as many hosts as you like:
    it gives back what processes had reserved that died since.
    """

    notes = f"""\
columns: {', '.join(quota_columns.RESERVATION)}: the reservations that were
  found past their time

What a reservation was for may exist: the next one counts its resources."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whether to write."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_dry_run(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Roll them back."""
        context = quota_books.anybody()
        with self.router() as router:
            found = _late(router.quotas.get_reservations(context))
            if parsed_args.dry_run:
                self.say(quota_arguments.DRY_RUN)
            else:
                ended = router.quotas.expire(context)
                if ended != len(found):
                    self.say(f'{ended} ended by this run')
        if not found:
            self.say('no reservation is past its time')
        return (
            quota_columns.RESERVATION,
            [quota_columns.reservation(one) for one in found],
        )


def _late(found: list[quota.Reservation]) -> list[quota.Reservation]:
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return [one for one in found if one.expire <= now]
