"""``quota``: looking at limits, usages and reservations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug.cmd import base
from cellplug.cmd import quota_arguments
from cellplug.cmd import quota_books
from cellplug.cmd import quota_columns
from cellplug.objects import quota

if TYPE_CHECKING:
    from cellplug.interfaces import QuotaDriver


class Show(base.Lister):
    """Show the limits of a project or user, and what of them is used.

    Asks the API database alone: nothing is counted.
    """

    notes = """\
columns: resource, limit (-1: unlimited), source (of the limit: user, project,
  class, default class, default), in_use, reserved, free (what can still be
  reserved, -1: unlimited; these three are null where nothing was counted yet,
  or nothing is tracked), kind (reservable, absolute, countable; unregistered:
  a limit is set, and no installed service has the resource)

For a user, free is the lesser of what the user and the project may take."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_project(
            parser, 'the limits and the use of this user of the project'
        )
        quota_arguments.add_class_option(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show them."""
        with self.router() as router:
            quotas = router.quotas
            books = quota_books.Books.of(quotas, parsed_args)
            found = _Holdings(books)
            self._comment(books, found)
        return (
            ('resource', 'limit', 'source', 'in_use', 'reserved', 'free',
             'kind'),
            found.rows(),
        )  # fmt: skip

    def _comment(self, books: quota_books.Books, found: _Holdings) -> None:
        if not quota_books.keeps_usages(books.quotas):
            self.say('the configured quota driver limits nothing')
        elif not books.quotas.resources:
            self.say(quota_books.registered(books.quotas))
        elif not books.are_known():
            self.say(
                f'nothing is recorded of {books.owner}: no limit is set, '
                'nothing was reserved'
            )
        elif found.uncounted:
            self.say(
                'not counted before the first reservation: '
                f'{", ".join(found.uncounted)}'
            )
        name = books.quota_class
        if name is not None and not books.class_limits():
            self.say(f'the quota class {name!r} sets no limit')


class _Holdings:
    """Each resource with its limit, its use, and what is free."""

    def __init__(self, books: quota_books.Books) -> None:
        user = books.user_id
        known = books.quotas.resources
        self._kinds = {n: quota_books.kind(one) for n, one in known.items()}
        self._limits = books.in_force(user)
        self._usages = books.usages(user)
        self._levels = [(self._limits, self._usages)]
        if user is not None:
            self._levels.append((books.in_force(None), books.usages(None)))
        for name, limit in books.set_limits().items():
            if name not in known:
                self._limits[name] = limit
        self._names = sorted(self._limits)
        self.uncounted = [
            name
            for name in self._names
            if self._kind(name) == quota_books.TRACKED
            and counted(self._usages.get(name)) is None
        ]

    def _kind(self, name: str) -> str:
        return self._kinds.get(name, quota_books.GONE)

    def _used(self, name: str) -> tuple[int | None, int | None]:
        usage = self._usages.get(name)
        if usage is None or self._kind(name) != quota_books.TRACKED:
            return None, None
        return counted(usage), usage.reserved

    def _free(self, name: str) -> int | None:
        if self._kind(name) != quota_books.TRACKED:
            return None
        rooms: list[int] = []
        for limits, usages in self._levels:
            limit, usage = limits[name].limit, usages.get(name)
            if limit < 0:
                continue
            if usage is None or usage.in_use < 0:
                return None
            rooms.append(max(0, limit - usage.in_use - usage.reserved))
        return min(rooms, default=quota.UNLIMITED)

    def rows(self) -> list[base.Row]:
        """A row for each, by name."""
        return quota_columns.table(
            (
                (
                    name,
                    self._limits[name].limit,
                    self._limits[name].source,
                    *self._used(name),
                    self._free(name),
                    self._kind(name),
                )
                for name in self._names
            ),
            bounds=[1, 5],
            amounts=[3, 4],
        )


def counted(usage: quota.Usage | None) -> int | None:
    """What is in use, None if it has to be counted first."""
    return None if usage is None or usage.in_use < 0 else usage.in_use


class Usage(base.Lister):
    """Show what the books say a project or user uses.

    Asks the API database alone: nothing is counted.
    """

    notes = """\
columns: resource, in_use (null: it has to be counted first), reserved, used
  (in_use and reserved together), refresh_due (true: the next reservation
  counts it anew)"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_project(parser, 'the use of this user alone')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show it."""
        with self.router() as router:
            quota_books.check_keeps_usages(router.quotas)
            books = quota_books.Books.of(router.quotas, parsed_args)
            books.refuse_unknown()
            usages = books.usages(books.user_id)
        if not usages:
            self.say(f'nothing was reserved by {books.owner} yet')
        rows = [
            (
                name,
                counted(one),
                one.reserved,
                max(0, one.in_use) + one.reserved,
                one.refresh_due,
            )
            for name, one in sorted(usages.items())
        ]
        return (
            ('resource', 'in_use', 'reserved', 'used', 'refresh_due'),
            quota_columns.table(rows, amounts=[1, 2, 3]),
        )


class Reservations(base.Lister):
    """List the reservations that are open, the next to expire first."""

    notes = f"""\
columns: {', '.join(quota_columns.RESERVATION)}

user_id is null where the reservation counts for the project alone; deltas
says how much of each resource it holds; expire is UTC."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_id(
            parser, '--project', help='only those of this project'
        )
        quota_arguments.add_id(
            parser, '--user', help='only those of this user'
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """List them."""
        with self.router() as router:
            driver = router.quota_driver
            quota_books.check_tracks(driver)
            found = _reservations(driver, parsed_args)
        if not found:
            self.say('no reservation is open')
        return (
            quota_columns.RESERVATION,
            [quota_columns.reservation(one) for one in found],
        )


def _reservations(
    driver: QuotaDriver, parsed_args: argparse.Namespace
) -> list[quota.Reservation]:
    # Not of the engine, which needs every service's package.
    project, user = parsed_args.project, parsed_args.user
    if project is not None:
        quota_books.Records(driver, project, user).refuse_unknown()
    return driver.get_reservations(
        quota_books.anybody(), project_id=project, user_id=user
    )
