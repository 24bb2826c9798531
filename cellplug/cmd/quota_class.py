"""``quota class-show``, ``class-set`` and ``class-unset``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug.cmd import base
from cellplug.cmd import outcome
from cellplug.cmd import quota_arguments
from cellplug.cmd import quota_books
from cellplug.cmd import quota_columns
from cellplug.cmd import quota_set
from cellplug.objects import quota

if TYPE_CHECKING:
    from cellplug.quota import QuotaEngine


class _Class:
    """A quota class, and what it sets."""

    def __init__(self, quotas: QuotaEngine, name: str) -> None:
        self.name = name
        self.context = quota_books.anybody()
        self._quotas = quotas
        self.is_default = name == quota_books.DEFAULT_CLASS
        self.source = 'default class' if self.is_default else 'class'

    def in_force(self) -> dict[str, quota.Limit]:
        """Each limit that its projects have; also unregistered ones."""
        own = {
            name: quota.Limit(name, limit.limit, self.source)
            for name, limit in self.own_limits().items()
        }
        found = self._quotas.get_class_limits(self.context, self.name)
        return {**own, **found}

    def own_limits(self) -> dict[str, quota.Limit]:
        """The limits that this very class sets."""
        return self._quotas.driver.get_class_limits(self.context, self.name)

    def without_own(self) -> dict[str, quota.Limit]:
        """The limits that would hold if it set none."""
        if self.is_default:
            return self._quotas.get_default_limits()
        return self._quotas.get_class_limits(
            self.context, quota_books.DEFAULT_CLASS
        )

    def refuse_unknown(self) -> None:
        """Refuse a class that sets nothing; ``default`` is always there.

        :raises RefusedError: if it is one.
        """
        if not self.is_default and not self.own_limits():
            raise outcome.RefusedError(
                f'the quota class {self.name!r} is unknown here: it sets no '
                'limit (names match exactly)'
            )


class ClassShow(base.Lister):
    """Show the limits of a quota class.

    They hold for projects of the class that have none of their own; those of
    the class "default" for every project.
    """

    notes = """\
columns: resource, limit (-1: unlimited), source (class, default class,
  default)"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which one."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_class(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show them."""
        with self.router() as router:
            found = _Class(router.quotas, parsed_args.quota_class)
            found.refuse_unknown()
            rows = [
                (name, limit.limit, limit.source)
                for name, limit in sorted(found.in_force().items())
            ]
            if not rows:
                self.say(quota_books.registered(router.quotas))
        return (
            ('resource', 'limit', 'source'),
            quota_columns.table(rows, bounds=[1]),
        )


class ClassSet(quota_set.Write):
    """Set limits of a quota class, which need not exist before.

    All of them, or none. They may be below what projects use already: those
    get no more until enough has gone.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which class, and which limits."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_class(parser)
        quota_arguments.add_limits(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Set them."""
        wanted = quota_arguments.limits(parsed_args)
        with self.router() as router:
            quotas = router.quotas
            quota_books.check_keeps_limits(quotas)
            found = _Class(quotas, parsed_args.quota_class)
            quota_books.check_names(quotas, wanted)
            before = found.in_force()
            if not parsed_args.dry_run:
                quotas.set_class_limits(found.context, found.name, wanted)
        after = quota_set.replaced(before, wanted, found.source)
        return self.shown(parsed_args, wanted, before, after)


class ClassUnset(quota_set.Write):
    """Remove limits of a quota class.

    What the class "default" says holds again for its projects, or what the
    service is configured for. A class without limits is gone.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which class, and which limits."""
        parser = super().get_parser(prog_name)
        quota_arguments.add_class(parser)
        quota_arguments.add_resources(
            parser, 'a resource; also one that is not registered any more'
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Remove them."""
        names = set(parsed_args.resources)
        with self.router() as router:
            quotas = router.quotas
            quota_books.check_keeps_limits(quotas)
            found = _Class(quotas, parsed_args.quota_class)
            own = found.own_limits()
            quota_books.check_names(quotas, names - set(own))
            found.refuse_unknown()
            before = found.in_force()
            after = found.without_own()
            if not parsed_args.dry_run:
                # Not the engine's: it sets what is registered alone.
                quotas.driver.set_class_limits(
                    found.context,
                    dict.fromkeys(names),
                    quota_class=found.name,
                )
        return self.shown(parsed_args, names, before, after)
