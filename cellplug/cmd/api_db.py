"""``api-db``: the schema of the API database."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cellplug.cmd import base


class _APIDatabase(base.ShowOne):
    def _state(self) -> tuple[Sequence[str], base.Row]:
        from cellplug.cells import schemas
        from cellplug.db import schema

        with schemas.api_engine(self.conf) as engine:
            found = schema.API.version(engine)
        latest = schema.API.head()
        if found is None:
            self.say('there is no schema; run: cellplug-manage api-db sync')
        return base.shown(
            {'revision': found, 'latest': latest, 'current': found == latest}
        )


class Sync(_APIDatabase):
    """Make the API database's tables, or bring them up to date.

    May be repeated, and run by several processes at once: one works, the
    others wait for it.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """An optional revision."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'version',
            metavar='VERSION',
            nargs='?',
            default='head',
            help='the revision to go to, never backwards; by default the '
            'newest one',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Sync, and show the result."""
        import cellplug

        with self.needing_api_database():
            cellplug.sync_api_database(self.conf, parsed_args.version)
            return self._state()


class Version(_APIDatabase):
    """Show at which revision the API database's schema is."""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Show it."""
        with self.needing_api_database():
            return self._state()
