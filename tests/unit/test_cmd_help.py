"""What a stranger sees who types cellplug-manage, and how fast."""

from __future__ import annotations

import importlib.metadata
import io
import subprocess
import sys

import testtools

from cellplug.cmd import app

# Each takes longer to import than all that the help needs.
HEAVY = (
    'alembic', 'cmd2', 'eventlet', 'oslo_config', 'oslo_db', 'oslo_messaging',
    'prettytable', 'sqlalchemy', 'yaml',
)  # fmt: skip

COMMANDS = [
    'api-db sync', 'api-db version',
    'cell create', 'cell delete', 'cell ensure', 'cell health', 'cell list',
    'cell rotate', 'cell show', 'cell update', 'cell verify',
    'db sync', 'db version',
    'driver check', 'driver list', 'driver new', 'driver show',
    'instance list', 'instance map', 'instance show', 'instance verify',
    'quota class-set', 'quota class-show', 'quota class-unset',
    'quota expire', 'quota refresh', 'quota reservations', 'quota reset',
    'quota set', 'quota show', 'quota unset', 'quota usage',
]  # fmt: skip


class HelpTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.err = io.StringIO()

    def run_command(self, *argv: str, code: int = 0) -> str:
        out = io.StringIO()
        program = app.App(io.StringIO(), out, self.err)
        self.assertEqual(code, program.run(argv), self.err.getvalue())
        return out.getvalue()

    def listed(self, text: str) -> list[str]:
        """The commands in a list, in its order."""
        _, _, commands = text.rpartition('commands:\n')
        lines = [line for line in commands.splitlines() if line]
        return [line.strip().partition('  ')[0] for line in lines]

    def test_without_arguments_all_commands_are_listed_by_group(self) -> None:
        listed = self.listed(self.run_command())
        ours = [name for name in listed if name in COMMANDS]
        self.assertEqual(COMMANDS, ours)
        alone = ['complete', 'help', 'online-data-migrations']
        self.assertEqual(alone, listed[-3:])

    def test_every_command_says_in_one_line_what_it_does(self) -> None:
        _, _, commands = self.run_command().rpartition('commands:\n')
        for line in filter(None, commands.splitlines()):
            self.assertRegex(line, r'\A  \S[\S ]*?  +[A-Z(]')
            self.assertNotIn('cannot be loaded', line)

    def test_three_ways_ask_for_the_list(self) -> None:
        plain = self.run_command()
        self.assertEqual(plain, self.run_command('--help'))
        self.assertEqual(plain, self.run_command('help'))

    def test_every_command_tells_its_exit_codes(self) -> None:
        for name in [*COMMANDS, 'complete', 'help']:
            text = self.run_command(*name.split(), '--help')
            self.assertIn(f'usage: cellplug-manage {name} ', text)
            for code in (0, 1, 2, 130, 255):
                self.assertRegex(text, rf'(?m)^  {code} +\S')
            self.assertEqual(text, self.run_command('help', *name.split()))
            self.assertEqual(text, self.run_command('--help', *name.split()))

    def test_instance_verify_tells_the_codes_of_its_own(self) -> None:
        text = self.run_command('instance', 'verify', '--help')
        self.assertRegex(text, r'(?m)^  1 +not mapped')
        self.assertRegex(text, r'(?m)^  3 +mapped to a cell that does not')
        self.assertRegex(text, r'(?m)^  4 +gone in the cell')

    def test_a_group_lists_its_commands(self) -> None:
        text = self.run_command('cell', '--help')
        cells = [name for name in COMMANDS if name.startswith('cell ')]
        self.assertEqual(cells, self.listed(text))

    def test_a_group_alone_is_wrong_usage(self) -> None:
        self.run_command('cell', code=2)
        self.assertIn('cell create, cell delete', self.err.getvalue())

    def test_a_typing_error_is_answered_with_what_was_meant(self) -> None:
        self.run_command('cell', 'lst', code=2)
        self.assertIn("'cell lst'", self.err.getvalue())
        self.assertIn('cell list', self.err.getvalue())

    def test_abbreviations_are_refused(self) -> None:
        """In a script they break when a command or option is added."""
        self.run_command('cell', 'li', code=2)
        self.run_command('cell', 'list', '--form', 'json', code=2)

    def test_a_command_that_does_not_load_leaves_the_others(self) -> None:
        out = io.StringIO()
        program = app.App(io.StringIO(), out, self.err)
        program.command_manager.commands['third party'] = (
            importlib.metadata.EntryPoint('third_party', 'absent:X', 'any')
        )
        self.assertEqual(0, program.run(['--help']))
        self.assertIn("No module named 'absent'", out.getvalue())
        self.assertIn('instance verify', out.getvalue())
        self.assertEqual(1, program.run(['third', 'party']))
        self.assertIn("No module named 'absent'", self.err.getvalue())

    def test_completion_knows_every_command(self) -> None:
        script = self.run_command('complete')
        self.assertIn('complete -F _cellplug_manage cellplug-manage', script)
        self.assertIn("cmds_cell='create delete ensure health list", script)
        self.assertIn('--database-connection', script)


class StartTest(testtools.TestCase):
    """No time is measured here: what is not imported costs none."""

    def imported_by(self, code: str) -> set[str]:
        code += '\nimport sys\nprint(*sorted(sys.modules), file=sys.stderr)'
        done = subprocess.run(
            [sys.executable, '-c', code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return set(done.stderr.split())

    def test_the_help_imports_nothing_heavy(self) -> None:
        loaded = self.imported_by(
            'from cellplug.cmd import app\napp.App().run(["--help"])'
        )
        self.assertEqual(set(), loaded & set(HEAVY))
        self.assertIn('cellplug.cmd.cell_write', loaded)

    def test_importing_cellplug_imports_nothing_heavy(self) -> None:
        loaded = self.imported_by('import cellplug')
        self.assertEqual(set(), loaded & {*HEAVY, 'cliff', 'stevedore'})
        ours = {name for name in loaded if name.startswith('cellplug')}
        self.assertEqual({'cellplug'}, ours)
