"""Running cellplug-manage in this process; and its global options."""

from __future__ import annotations

import io
import json
import logging
import pathlib
from typing import Any
from typing import NamedTuple

import fixtures
import testtools

from cellplug.cmd import app
from cellplug.cmd import base
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug.testing import templates


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def everything(self) -> str:
        return self.out + self.err


class CommandLine(fixtures.Fixture):
    """A deployment to be managed: a configuration file, an API database.

    :param backend: of every database.
    :param options: lines of the configuration, by section.
    :param synced: the API database has its tables; by default it is empty.
    :ivar config: the path of the configuration file.
    :ivar api_url: of the API database.
    """

    def __init__(
        self,
        backend: cellplug_fixtures.Backend = 'sqlite',
        options: dict[str, list[str]] | None = None,
        *,
        synced: bool = False,
    ) -> None:
        super().__init__()
        self.backend = backend
        self._synced = synced
        self._options = options or {}

    def _setUp(self) -> None:
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.api_url = self._database_with('api' if self._synced else None)
        self.config = str(self.folder / 'cellplug.conf')
        api = [f'connection = {self.api_url}']
        self.write({'api_database': api, **self._options})

    def write(self, sections: dict[str, list[str]]) -> None:
        """Write another configuration."""
        lines = []
        for name, options in sections.items():
            lines += [f'[{name}]', *options]
        pathlib.Path(self.config).write_text('\n'.join(lines) + '\n')

    def fresh_database(self) -> str:
        """The URL of an empty database."""
        return self._database_with(None)

    def _database_with(self, tables: templates.Tables | None) -> str:
        fixture = cellplug_fixtures.DatabaseFixture(self.backend, tables)
        url: str = self.useFixture(fixture).url
        return url

    def __call__(
        self, *argv: str, stdin: str = '', config: bool = True
    ) -> Result:
        """Run a command."""
        out, err = io.StringIO(), io.StringIO()
        program = app.App(io.StringIO(stdin), out, err)
        first = ['--config-file', self.config] if config else []
        code = program.run([*first, *argv])
        return Result(code, out.getvalue(), err.getvalue())

    def json(self, *argv: str, stdin: str = '') -> Any:
        """Run a command that has to work; what it prints with -f json."""
        result = self(*argv, '-f', 'json', stdin=stdin)
        if result.code:
            raise AssertionError(result)
        return result.json

    def add_cell(self, name: str, **options: str) -> Any:
        """Create a cell on a database and a queue of its own."""
        if 'database_connection' not in options:
            options['database_connection'] = self._database_with('cell')
        options.setdefault('transport_url', f'fake://{name}/')
        argv = ['cell', 'create', '--name', name]
        for option, value in options.items():
            argv += ['--' + option.replace('_', '-'), value]
        return self.json(*argv)


class CommandTestCase(testtools.TestCase):
    """A test of commands on a deployment whose API database is ready."""

    synced = True
    backend: cellplug_fixtures.Backend = 'sqlite'

    def setUp(self) -> None:
        super().setUp()
        self.run_command = self.useFixture(
            CommandLine(self.backend, synced=self.synced)
        )

    def assertRefused(
        self, result: Result, *words: str, code: int = 1
    ) -> None:
        """One line on standard error, with these words in it; no output."""
        self.assertEqual(code, result.code, result)
        self.assertEqual('', result.out)
        self.assertEqual(1, result.err.count('\n'), result.err)
        for word in words:
            self.assertIn(word, result.err)
        self.assertNotIn('Traceback', result.err)


class Failing(base.Command):
    """Fail as nobody foresaw."""

    def take_action(self, parsed_args: Any) -> int:
        raise RuntimeError('broken\nby mysql+pymysql://u:canary@host/db')


class Interrupted(base.Command):
    """End as Ctrl-C ends it."""

    def take_action(self, parsed_args: Any) -> int:
        raise KeyboardInterrupt


class Unwinding(base.Command):
    """End as Ctrl-C ends it in the midst of a library's work."""

    def take_action(self, parsed_args: Any) -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError('not in this state')


class Chatty(base.Command):
    """Log a URL."""

    def take_action(self, parsed_args: Any) -> int:
        logging.getLogger('chatty').info('at rabbit://u:canary@host/v')
        return 0


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


class GlobalOptionsTest(testtools.TestCase):
    """What holds for every command."""

    def setUp(self) -> None:
        super().setUp()
        self.out, self.err = io.StringIO(), io.StringIO()
        self.app = app.App(io.StringIO(), self.out, self.err)
        for name, command in (
            ('test fail', Failing),
            ('test interrupt', Interrupted),
            ('test unwind', Unwinding),
            ('test chat', Chatty),
        ):
            self.app.command_manager.add_command(name, command)

    def test_an_unforeseen_error_is_one_line_and_255(self) -> None:
        code = self.app.run(['test', 'fail'])
        self.assertEqual(255, code)
        self.assertEqual(
            'cellplug-manage test fail: error: unforeseen RuntimeError: '
            'broken by mysql+pymysql://***:***@host/db (--debug shows '
            'where)\n',
            self.err.getvalue(),
        )

    def test_debug_shows_the_traceback_without_secrets(self) -> None:
        code = self.app.run(['--debug', 'test', 'fail'])
        self.assertEqual(255, code)
        self.assertIn('Traceback', self.err.getvalue())
        self.assertIn('RuntimeError: broken', self.err.getvalue())
        self.assertNotIn('canary', self.err.getvalue())

    def test_global_options_may_stand_behind_the_command(self) -> None:
        code = self.app.run(['test', 'fail', '--debug'])
        self.assertEqual(255, code)
        self.assertIn('Traceback', self.err.getvalue())

    def test_ctrl_c_is_130_without_a_word(self) -> None:
        self.assertEqual(130, self.app.run(['test', 'interrupt']))
        self.assertEqual('', self.err.getvalue())

    def test_also_where_a_library_fails_as_it_unwinds(self) -> None:
        self.assertEqual(130, self.app.run(['test', 'unwind']))
        self.assertEqual('', self.err.getvalue())

    def test_a_closed_pipe_is_141_without_a_word(self) -> None:
        program = app.App(io.StringIO(), ClosedPipe(), self.err)
        self.assertEqual(141, program.run([]))
        self.assertEqual('', self.err.getvalue())

    def test_logs_are_shown_with_debug_alone_and_hide_secrets(self) -> None:
        self.assertEqual(0, self.app.run(['test', 'chat']))
        self.assertEqual('', self.err.getvalue())
        self.assertEqual(0, self.app.run(['test', 'chat', '--debug']))
        self.assertIn('rabbit://***:***@host/v', self.err.getvalue())
        self.assertNotIn('canary', self.err.getvalue())

    def test_logging_is_left_as_it_was(self) -> None:
        root = logging.getLogger()
        before = (root.level, list(root.handlers))
        self.app.run(['--debug', 'test', 'fail'])
        self.assertEqual(before, (root.level, list(root.handlers)))

    def test_the_version_is_printed(self) -> None:
        self.assertEqual(0, self.app.run(['--version']))
        self.assertRegex(
            self.out.getvalue(), r'\Acellplug-manage \d+\.\d+\.\d+\n\Z'
        )

    def test_an_unknown_global_option_is_wrong_usage(self) -> None:
        self.assertEqual(2, self.app.run(['--debu', 'test', 'fail']))
        self.assertIn('--debu', self.err.getvalue())

    def test_a_url_among_wrong_arguments_is_not_quoted(self) -> None:
        url = 'mysql+pymysql://u:ca na@ry@host/db'
        self.assertEqual(2, self.app.run(['test', 'fail', url]))
        self.assertIn('mysql+pymysql://***:***@host/db', self.err.getvalue())
        self.assertNotIn('na@ry', self.err.getvalue())
