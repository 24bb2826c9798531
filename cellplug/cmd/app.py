"""The application: one command of cellplug-manage, from argv to exit code."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import TextIO
from typing import TYPE_CHECKING

from cliff import _argparse
from cliff import app as cliff_app
from cliff import command as cliff_command
from cliff import commandmanager

import cellplug
from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import helping
from cellplug.cmd import hiding
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from oslo_config import cfg

DESCRIPTION = (
    'Manage the cells of a deployment. Works on the databases directly; no '
    'service needs to run.'
)


class CommandManager(commandmanager.CommandManager):
    """Finds commands by entry point; none is imported before it is used."""

    def load_commands(self, namespace: str) -> None:
        """Take note of the commands that are installed."""
        self.group_list.append(namespace)
        for point in importlib.metadata.entry_points(group=namespace):
            self.commands.setdefault(point.name.replace('_', ' '), point)

    def find_command(
        self, argv: list[str]
    ) -> tuple[type[cliff_command.Command], str, list[str]]:
        """The command that argv begins with, by its full name.

        No abbreviations: in a script, they break when a command is added.

        :raises LookupError: if there is none.
        """
        for count in range(len(argv), 0, -1):
            name = ' '.join(argv[:count])
            if name in self.commands:
                return self._load(name), name, argv[count:]
        raise LookupError(argv[0])

    def _load(self, name: str) -> type[cliff_command.Command]:
        try:
            found: type[cliff_command.Command] = self.commands[name].load()
        except Exception as exc:
            raise exception.NotSupported(
                f'the command {name!r} cannot be loaded: '
                f'{type(exc).__name__}: {exc}'
            ) from exc
        return found


class App(cliff_app.App):
    """Runs one command.

    Streams are the process's own by default; :meth:`run` never raises, and
    leaves logging as it was.
    """

    NAME = 'cellplug-manage'

    def __init__(
        self,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        super().__init__(
            DESCRIPTION,
            cellplug.__version__,
            CommandManager('cellplug.manage'),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        self.command_manager.add_command('help', helping.Help)
        self.command_manager.add_command('complete', helping.Complete)
        self.hider = hiding.Hider()
        self.options = argparse.Namespace(
            debug=False, config_file=[], config_dir=[]
        )
        self._speaker = self.NAME

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        """The parser of what stands in front of the command."""
        parser = _argparse.ArgumentParser(
            prog=self.NAME,
            description=description,
            usage='%(prog)s [--config-file FILE] [--config-dir DIR] [--debug] '
            'COMMAND ...',
            add_help=False,
            allow_abbrev=False,
        )
        base.add_global_options(parser)
        parser.add_argument(
            '--version', action='store_true', help='show the version'
        )
        parser.add_argument(
            '-h',
            '--help',
            action='store_true',
            help='show this list; "COMMAND --help" tells more about one',
        )
        parser.add_argument(
            'command', nargs=argparse.REMAINDER, help=argparse.SUPPRESS
        )
        return parser

    @functools.cached_property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration, read at the first use."""
        # Imported here: oslo.config is slow to import, and no help needs it.
        from cellplug.cmd import config

        conf = config.build(self.options.config_file, self.options.config_dir)
        for group in (conf.api_database, conf.database):
            self.hider.learn(group.connection, group.slave_connection)
        return conf

    def note_global_options(self, parsed: argparse.Namespace) -> None:
        """Take over the global options that stood behind the command."""
        options = self.options
        options.debug = options.debug or getattr(parsed, 'debug', False)
        for name in ('config_file', 'config_dir'):
            getattr(options, name).extend(getattr(parsed, name, ()))

    def run(self, argv: Sequence[str]) -> int:
        """Run the command in argv; its exit code."""
        # What looks like a URL must not be quoted back.
        for argument in argv:
            self.hider.learn(argument, argument.partition('=')[2])
        try:
            self.options = self._parse(self.parser, argv)
            with self._logging():
                return self._run(self.options.command)
        except SystemExit as exc:
            return exc.code if isinstance(exc.code, int) else outcome.FAILED
        except KeyboardInterrupt:
            return outcome.INTERRUPTED
        except BrokenPipeError:
            return outcome.BROKEN_PIPE
        except Exception as exc:  # noqa: BLE001 (what nobody foresaw)
            if outcome.was_interrupted(exc):
                return outcome.INTERRUPTED
            return self._failed(exc)

    def _run(self, words: list[str]) -> int:
        if self.options.version:
            self.stdout.write(f'{self.NAME} {cellplug.__version__}\n')
            return outcome.DONE
        if self.options.help or not words:
            if not words:
                helping.overview(self)
                return outcome.DONE
            words = ['help', *words]
        return self.run_subcommand(words)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command; errors go to :meth:`run`."""
        try:
            factory, name, rest = self.command_manager.find_command(argv)
        except LookupError:
            return helping.unknown(self, argv)
        self._speaker = f'{self.NAME} {name}'
        command = factory(self, self.options, cmd_name=name)
        parser = command.get_parser(self._speaker)
        try:
            return command.run(self._parse(parser, rest))
        except outcome.UsageError:
            self.stderr.write(parser.format_usage())
            raise

    def _parse(
        self, parser: argparse.ArgumentParser, argv: Sequence[str]
    ) -> argparse.Namespace:
        """Parse, and see to it that an error quotes no secret."""
        errors = io.StringIO()
        try:
            with (
                contextlib.redirect_stdout(self.stdout),
                contextlib.redirect_stderr(errors),
            ):
                return parser.parse_args(argv)
        finally:
            self.stderr.write(self.hider.hide(errors.getvalue()))

    def complain(self, text: str) -> None:
        """Write a line to standard error, without secrets."""
        self.stderr.write(f'{self._speaker}: {self.hider.hide(text)}\n')

    def _failed(self, error: Exception) -> int:
        result = outcome.explain(error)
        if self.options.debug:
            lines = ''.join(traceback.format_exception(error))
            self.stderr.write(self.hider.hide(lines))
        self.complain(f'error: {result.line}')
        return result.code

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        """Show logs on standard error with --debug, and else nowhere.

        What a log has to say of an error, the error says too.
        """
        root = logging.getLogger()
        level = root.level
        handler = logging.StreamHandler(self.stderr)
        handler.setFormatter(_Formatter(self.hider))
        # Asked for each record: --debug may stand behind the command.
        handler.addFilter(lambda _: bool(self.options.debug))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)


class _Formatter(logging.Formatter):
    def __init__(self, hider: hiding.Hider) -> None:
        super().__init__('%(levelname)s %(name)s: %(message)s')
        self._hider = hider

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets."""
        return self._hider.hide(super().format(record))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command as the console script does."""
    if not sys.warnoptions:
        # Operators can do nothing about the warnings of libraries.
        warnings.simplefilter('ignore')
    code = App().run(sys.argv[1:] if argv is None else argv)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = outcome.BROKEN_PIPE
    except OSError as exc:
        if code == outcome.DONE:
            sys.stderr.write(f'{App.NAME}: error: {exc}\n')
            code = outcome.FAILED
    else:
        return code
    # The interpreter would complain when it flushes once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
