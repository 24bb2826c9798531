"""``config``: whether the configuration files can be used."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import outcome


class Validate(base.Lister):
    """Look for mistakes in the configuration files, before a service does.

    The files of --config-file and --config-dir, or else those that every
    command reads. Looks for what cannot be parsed, for groups and options
    that nobody knows, for values that cannot be, and asks each driver in use
    what it could not work with: the static resolver about its cells. Contacts
    nothing, and shows no secret.
    """

    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'nothing is wrong',
        outcome.FAILED: 'there are findings, each a row; or a file is missing',
        outcome.USAGE: 'wrong usage, or there is no file to look at',
    }
    notes = """\
columns: check (syntax, name, value, driver, the interface and the name of the
  driver that found it, or router: the drivers do not fit together), finding

Options of a service of your own are known where its namespace is named, as
in its oslo.config.opts entry point: --namespace my-service."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Further namespaces."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--namespace',
            action='append',
            default=[],
            help='whose options may stand in the files, too; may be repeated '
            '(always: cellplug, oslo.db, oslo.log, oslo.messaging)',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Look."""
        from cellplug.cmd import config_checks

        unknown = config_checks.unknown_namespaces(parsed_args.namespace)
        if unknown:
            raise outcome.UsageError(
                f'--namespace: nothing installed offers {", ".join(unknown)}'
            )
        checks = config_checks.Checks(
            self.app.options.config_file,
            self.app.options.config_dir,
            parsed_args.namespace,
        )
        if not checks.files:
            raise outcome.UsageError(
                'there is no configuration file; name one with --config-file'
            )
        rows = [
            base.row((check, self.app.hider.hide(line)))
            for check, line in checks.run() or self._built()
        ]
        if rows:
            self.exit_code = outcome.FAILED
        elif parsed_args.formatter == 'table':
            self.say(f'nothing is wrong with {", ".join(checks.files)}')
        return ('check', 'finding'), rows

    def _built(self) -> list[tuple[str, str]]:
        """What keeps a router from being built, which contacts nothing."""
        import cellplug

        try:
            cellplug.CellRouter.from_conf(self.conf).close()
        except exception.CellplugError as exc:
            return [('router', ' '.join(str(exc).split()))]
        return []
