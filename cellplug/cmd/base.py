"""What every command of cellplug-manage is made of.

Nothing heavy is imported with a command's module, as ``--help`` loads all of
them: a command imports what it works with when it works.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import TYPE_CHECKING

from cliff import _argparse
from cliff import columns
from cliff import command
from cliff import lister
from cliff import show

from cellplug import exception
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from oslo_config import cfg

    from cellplug import CellMapping
    from cellplug import CellRouter

Row = Sequence[Any]


class _HelpFormatter(_argparse.SmartHelpFormatter):
    """Keeps the lines of descriptions and epilogs as they are written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return ''.join(indent + line for line in text.splitlines(True))


class Base(command.Command):
    """A command: its help, its configuration, its router.

    The docstring of a command is its help; the first line is what the list
    of all commands shows.

    :cvar exit_codes: what exit codes mean here that mean nothing elsewhere,
        or something else.
    :cvar notes: what else its help should say, behind the options.
    :ivar exit_code: what to exit with if the command returns no other.
    """

    app: Any
    exit_codes: ClassVar[Mapping[int, str]] = {}
    notes: ClassVar[str] = ''
    exit_code = outcome.DONE

    def _load_hooks(self) -> None:
        # cliff would search the entry points of all that is installed.
        self._hooks = []

    def get_epilog(self) -> str:
        """The notes, and what the exit codes mean."""
        meanings = {**outcome.MEANINGS, **self.exit_codes}
        lines = [f'  {code:<4} {meanings[code]}' for code in sorted(meanings)]
        codes = '\n'.join(['exit codes:', *lines])
        return f'{self.notes.strip()}\n\n{codes}' if self.notes else codes

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The parser; global options may stand behind the command as well."""
        parser = super().get_parser(prog_name)
        parser.formatter_class = _HelpFormatter
        # An abbreviation in a script breaks when an option is added.
        parser.allow_abbrev = False
        add_global_options(parser, hidden=True)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; its exit code."""
        self.app.note_global_options(parsed_args)
        return super().run(parsed_args) or self.exit_code

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration.

        :raises ConfigurationError: if it cannot be used.
        """
        found: cfg.ConfigOpts = self.app.conf
        return found

    @contextlib.contextmanager
    def router(self) -> Iterator[CellRouter]:
        """An open router.

        :raises ConfigurationError: if the block needs the API database, and
            none is configured.
        """
        import cellplug

        with (
            self.needing_api_database(),
            cellplug.CellRouter.from_conf(self.conf) as router,
        ):
            yield router

    @contextlib.contextmanager
    def needing_api_database(self) -> Iterator[None]:
        """A block whose NotSupported says where to configure it."""
        try:
            yield
        except exception.NotSupported as exc:
            if '[api_database]' not in str(exc):
                raise  # It would not help to name one.
            if self.conf.api_database.connection:
                raise
            from cellplug.cmd import config

            raise config.no_api_database(self.conf) from exc

    def known(self, cell: CellMapping) -> CellMapping:
        """The cell; from now on its secrets are kept out of messages."""
        self.app.hider.learn(
            cell.database_connection, cell.slave_connection, cell.transport_url
        )
        return cell

    def say(self, text: str) -> None:
        """Tell people something beside the output."""
        self.app.complain(text)


class _Display(Base):
    """A command whose output has columns."""

    def _generate_columns_and_selector(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str]
    ) -> tuple[list[str], list[bool] | None]:
        parent: Any = super()
        unknown = [c for c in parsed_args.columns if c not in column_names]
        try:
            if unknown:
                raise ValueError
            found: tuple[list[str], list[bool] | None]
            found = parent._generate_columns_and_selector(
                parsed_args, column_names
            )
        except ValueError:
            raise outcome.UsageError(
                f'no column is called {", ".join(unknown)}; '
                f'columns are {", ".join(column_names)}'
            ) from None
        return found


class Command(Base):
    """A command without output in columns."""


class Lister(_Display, lister.Lister):
    """A command that lists rows."""

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Any,
    ) -> int:
        """Print the rows; as plain text, nothing is empty, not "None"."""
        if parsed_args.formatter in ('csv', 'value'):
            data = [[_plain(one) for one in line] for line in data]
        done: int = super().produce_output(parsed_args, column_names, data)
        return done


class ShowOne(_Display, show.ShowOne):
    """A command that shows one thing."""


class Optional(columns.FormattableColumn[Any]):
    """A value that may be absent: empty for people, null for machines."""

    def human_readable(self) -> str:
        """The value, or nothing."""
        return '' if self._value is None else str(self._value)


def _plain(value: Any) -> Any:
    """A value for a format that has no null."""
    known = isinstance(value, columns.FormattableColumn)
    return '' if known and value.machine_readable() is None else value


def row(values: Iterable[Any]) -> tuple[Any, ...]:
    """Values as every formatter takes them."""
    return tuple(_cell(value) for value in values)


def _cell(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec='seconds') + 'Z'
    return Optional(None) if value is None else value


def shown(values: Mapping[str, Any]) -> tuple[Sequence[str], Row]:
    """What a ShowOne returns."""
    return tuple(values), row(values.values())


def add_global_options(
    parser: argparse.ArgumentParser, *, hidden: bool = False
) -> None:
    """The options of every command.

    :param hidden: left out of the help, and of the result unless passed.
    """
    shown_help = {
        '--config-file': 'a configuration file; may be repeated, later ones '
        'win. By default those of oslo.config, e.g. '
        '/etc/cellplug/cellplug.conf',
        '--config-dir': 'a directory of configuration files; may be repeated',
        '--debug': 'log to standard error, and show the traceback of an error',
    }
    for option, text in shown_help.items():
        more: dict[str, Any] = {'action': 'store_true', 'default': False}
        if option != '--debug':
            more = {
                'action': 'append',
                'default': [],
                'metavar': option[9:].upper(),
            }
        if hidden:
            more['default'] = argparse.SUPPRESS
            text = argparse.SUPPRESS  # noqa: PLW2901
        parser.add_argument(option, help=text, **more)
