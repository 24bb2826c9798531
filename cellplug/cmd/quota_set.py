"""``quota set`` and ``quota unset``: limits of projects and users."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import outcome
from cellplug.cmd import quota_arguments
from cellplug.cmd import quota_books
from cellplug.cmd import quota_columns
from cellplug.objects import quota

_COLUMNS = ('resource', 'old', 'old_source', 'new', 'new_source')
NOTES = f"""\
columns: {', '.join(_COLUMNS)}: the limits in
  force before and after (-1: unlimited), and where they come from (user,
  project, class, default class, default)"""


class Write(base.Lister):
    """A command that changes limits: what held before, and what holds now."""

    notes = NOTES

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whether to write."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_dry_run(parser)
        return parser

    def shown(
        self,
        parsed_args: argparse.Namespace,
        names: Iterable[str],
        before: Mapping[str, quota.Limit],
        after: Mapping[str, quota.Limit],
    ) -> tuple[Sequence[str], Any]:
        """The change of each resource, by name."""
        if parsed_args.dry_run:
            self.say(quota_arguments.DRY_RUN)
        rows = [
            (name, *_of(before.get(name)), *_of(after.get(name)))
            for name in sorted(names)
        ]
        return _COLUMNS, quota_columns.table(rows, bounds=[1, 3])


def _of(limit: quota.Limit | None) -> tuple[int | None, str | None]:
    return (None, None) if limit is None else (limit.limit, limit.source)


def replaced(
    before: Mapping[str, quota.Limit], limits: Mapping[str, int], source: str
) -> dict[str, quota.Limit]:
    """What holds when these limits are set."""
    new = {n: quota.Limit(n, limit, source) for n, limit in limits.items()}
    return {**before, **new}


class Set(Write):
    """Set limits of a project, or of one of its users.

    All of them, or none. Without --force, a project's limit may not be less
    than what it uses, or than its users' own limits together; a user's not
    less than what the user uses, nor more than the project leaves.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose, and which."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_limits(parser)
        quota_arguments.add_project(
            parser, 'set the limits of this user of the project'
        )
        quota_arguments.add_class_option(parser)
        parser.add_argument(
            '--force',
            action='store_true',
            help='also set a limit below what is used: nothing more is '
            'admitted until enough has gone. Or one of a user that the '
            'project does not leave',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Set them."""
        wanted = quota_arguments.limits(parsed_args)
        with self.router() as router:
            quotas = router.quotas
            quota_books.check_keeps_limits(quotas)
            books = quota_books.Books.of(quotas, parsed_args)
            quota_books.check_names(quotas, wanted)
            before = books.in_force(books.user_id, wanted)
            self._set(books, wanted, parsed_args)
            usages = books.usages(books.user_id)
            unseen = [
                name
                for name in sorted(wanted)
                if quota_books.is_uncounted(quotas.resources[name], usages)
            ]
        if unseen and not parsed_args.force:
            self.say(
                f'{", ".join(unseen)}: not counted yet, so not checked '
                'against what exists; "quota refresh" counts'
            )
        after = replaced(before, wanted, books.level)
        return self.shown(parsed_args, wanted, before, after)

    def _set(
        self,
        books: quota_books.Books,
        wanted: Mapping[str, int],
        parsed_args: argparse.Namespace,
    ) -> None:
        try:
            books.quotas.set_limits(
                books.context,
                wanted,
                project_id=books.project_id,
                user_id=books.user_id,
                force=parsed_args.force,
                dry_run=parsed_args.dry_run,
            )
        except exception.LimitNotSettable as exc:
            raise outcome.RefusedError(
                f'{exc}; --force sets it all the same; nothing was written'
            ) from exc


class Unset(Write):
    """Remove limits of a project, or of one of its users.

    What is set for the project, its class or everybody holds again. Where
    none is set, nothing changes.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Whose, and which."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_resources(
            parser, 'a resource; also one that is not registered any more'
        )
        quota_arguments.add_project(
            parser, 'remove the limits of this user of the project'
        )
        quota_arguments.add_class_option(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Remove them."""
        names = set(parsed_args.resources)
        with self.router() as router:
            quotas = router.quotas
            quota_books.check_keeps_limits(quotas)
            books = quota_books.Books.of(quotas, parsed_args)
            own = books.own_limits()
            quota_books.check_names(quotas, names - set(own))
            books.refuse_unknown()
            before = {**own, **books.in_force(books.user_id)}
            after = books.without_own()
            if not parsed_args.dry_run:
                # Not the engine's: it sets what is registered alone.
                quotas.driver.set_limits(
                    books.context,
                    dict.fromkeys(names),
                    project_id=books.project_id,
                    user_id=books.user_id,
                )
            self._compare(names, after, books.usages(books.user_id))
        return self.shown(parsed_args, names, before, after)

    def _compare(
        self,
        names: Iterable[str],
        after: Mapping[str, quota.Limit],
        usages: Mapping[str, quota.Usage],
    ) -> None:
        for name in sorted(set(names) & set(after) & set(usages)):
            limit, used = after[name].limit, quota_books.used(usages[name])
            if 0 <= limit < used:
                self.say(
                    f'{name}: the limit that holds then, {limit}, is below '
                    f'what is used, {used}: nothing more is admitted until '
                    'enough has gone'
                )
