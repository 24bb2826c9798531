"""``quota refresh``, ``reset``, ``expire`` and ``rollback``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cellplug.cmd import base
from cellplug.cmd import outcome
from cellplug.cmd import quota_arguments
from cellplug.cmd import quota_books
from cellplug.cmd import quota_columns
from cellplug.cmd import quota_refreshing

_REFRESHED = ('resource', 'user_id', 'in_use', 'counted', 'result')
_RESET = ('resource', 'in_use', 'reserved', 'was_due', 'refresh_due')


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
        self.refuse_unknown(books, names)
        return books, names

    def refuse_unknown(
        self, books: quota_books.Books, names: Sequence[str]
    ) -> None:
        """Refuse a project or user of which nothing is recorded."""
        books.refuse_unknown()

    def end(self, parsed_args: argparse.Namespace, rows: Any) -> None:
        """Say what the rows do not."""
        if parsed_args.dry_run:
            self.say(quota_arguments.DRY_RUN)
        if not rows:
            self.say('none of it was counted yet: the first reservation does')


class Refresh(_Upkeep):
    """Count what a project uses, in all cells, and correct the books.

    The total of the project, and its users' usages as far as they are known;
    that of --user in any case. Safe at any time: a count is not stored where
    a reservation is open, or something was reserved while it was made.
    """

    notes = f"""\
columns: {', '.join(_REFRESHED)}: a row for
  the total (user_id null), and one for each user that has a usage, or for
  --user; in_use as it was before (null: not known); counted (null: not
  stored); result: corrected, unchanged, added (it was never counted before),
  or kept (a reservation is open on it, or something was reserved meanwhile:
  the count may be wrong, and was not stored)

A cell that does not answer is an error, unless [quota_database]
unanswered_cells says otherwise; with --dry-run it always is."""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Count, and store."""
        with self.router() as router:
            books, names = self.begin(router.quotas, parsed_args)
            found = quota_refreshing.Counted(books, names)
            if parsed_args.dry_run:
                found.try_()
            else:
                found.store()
        rows = list(found.rows())
        self.end(parsed_args, rows)
        for name, until in found.kept().items():
            why = 'something was reserved of it meanwhile; run it again'
            if until is not None:
                why = (
                    'a reservation is open on it until '
                    f'{quota_columns.moment(until)}; see "quota reservations"'
                )
            self.say(f'kept: {name}: {why}')
        return _REFRESHED, quota_columns.table(rows, amounts=[2, 3])

    def refuse_unknown(
        self, books: quota_books.Books, names: Sequence[str]
    ) -> None:
        """Refuse who neither is recorded nor has anything."""
        if not books.are_known():
            exist = quota_refreshing.count(books, names, books.user_id)
            if not any(exist.values()):
                books.refuse_unknown()


class Reset(_Upkeep):
    """Have the next reservation count anew what a project uses.

    The total of the project and its users' usages, as far as they are known.
    Asks no cell now; see "quota refresh" to count at once.
    """

    notes = f"""\
columns: {', '.join(_RESET)}: the
  usages of the project, or with --user of the user; whether the next
  reservation would have counted it (was_due), and that it does now
  (refresh_due)"""

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
            # Not the engine: it needs every service's package.
            driver = router.quota_driver
            found = quota_refreshing.late(driver.get_reservations(context))
            if parsed_args.dry_run:
                self.say(quota_arguments.DRY_RUN)
            else:
                ended = driver.expire(context)
                if ended != len(found):
                    self.say(f'{ended} ended by this run')
        if not found:
            self.say('no reservation is past its time')
        return (
            quota_columns.RESERVATION,
            [quota_columns.reservation(one) for one in found],
        )


class Rollback(base.Lister):
    """End a reservation that nobody will commit, and give back what it held.

    For one whose process is dead; others end theirs. What it was for may
    exist: the next reservation counts its resources.
    """

    notes = f"""\
columns: {', '.join(quota_columns.RESERVATION)}: the reservation as it was.

The process that holds it, if it lives, gets an error from its commit."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which one."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'handle', metavar='HANDLE', help='as "quota reservations" has it'
        )
        quota_arguments.add_dry_run(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Roll it back, and have its usages counted."""
        context = quota_books.anybody()
        with self.router() as router:
            driver = router.quota_driver
            quota_books.check_tracks(driver)
            open_ = driver.get_reservations(context)
            found = [r for r in open_ if r.handle == parsed_args.handle]
            if not found:
                raise outcome.RefusedError(
                    f'no reservation {parsed_args.handle!a} is open; see '
                    '"quota reservations"'
                )
            if parsed_args.dry_run:
                self.say(quota_arguments.DRY_RUN)
            for one in () if parsed_args.dry_run else found:
                driver.rollback(context, one.handle)
                driver.reset(
                    context,
                    sorted(one.deltas),
                    project_id=one.project_id,
                    user_id=one.user_id,
                )
        return (
            quota_columns.RESERVATION,
            [quota_columns.reservation(one) for one in found],
        )
