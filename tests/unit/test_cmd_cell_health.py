"""``cellplug-manage cell health``: asks cells, and says how they do."""

from __future__ import annotations

import io
import json
import pathlib
import threading
from typing import Any

import fixtures
import sqlalchemy as sa

from cellplug import objects
from cellplug.cmd import app
from cellplug.cmd import cell_health
from tests.unit import test_cmd_base

COLUMNS = [
    'name', 'state', 'database', 'queue', 'p50_ms', 'p95_ms', 'connections',
    'last_error',
]  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class HealthTestCase(test_cmd_base.CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ('cell1', 'cell2'):
            self.run_command.add_cell(name)

    def hide(self, name: str) -> None:
        """Make a cell's database go away."""
        shown = self.run_command.json('cell', 'show', name, '--show-secrets')
        url = sa.make_url(shown['database_connection'])
        pathlib.Path(str(url.database)).unlink()

    def health(self, *argv: str, code: int = 0) -> dict[str, Any]:
        result = self.run_command('cell', 'health', '-f', 'json', *argv)
        self.assertEqual(code, result.code, result)
        return {row['name']: row for row in result.json}


class OnceTest(HealthTestCase):
    def test_all_cells_in_order_with_stable_columns(self) -> None:
        found = self.health()
        self.assertEqual(['cell1', 'cell2'], list(found))
        for row in found.values():
            self.assertEqual(COLUMNS, list(row))
            self.assertEqual(
                ('enabled', 'ok', 'ok', None),
                (row['state'], row['database'], row['queue'],
                 row['last_error']),
            )  # fmt: skip
            self.assertLess(0, row['p50_ms'])

    def test_a_cell_that_is_down_fails_it_and_says_why(self) -> None:
        self.hide('cell2')
        found = self.health(code=1)
        self.assertEqual('ok', found['cell1']['database'])
        self.assertEqual('failing', found['cell2']['database'])
        self.assertIn('there is no file', found['cell2']['last_error'])

    def test_it_is_about_the_cells_that_are_named(self) -> None:
        self.hide('cell2')
        self.assertEqual(['cell1'], list(self.health('cell1')))
        self.assertEqual(
            ['cell2', 'cell1'], list(self.health('cell2', 'cell1', code=1))
        )

    def test_a_cell_that_is_drained_is_not_healthy(self) -> None:
        self.run_command.json('cell', 'update', 'cell2', '--state', 'no_new')
        found = self.health(code=1)
        self.assertEqual(
            ('no_new', 'ok'),
            (found['cell2']['state'], found['cell2']['database']),
        )

    def test_cell0_has_no_queue(self) -> None:
        self.run_command.json(
            *('cell', 'create', '--cell0', '--database-connection'),
            self.run_command.fresh_database(),
        )
        self.assertIsNone(self.health('cell0')['cell0']['queue'])

    def test_no_such_cell(self) -> None:
        result = self.run_command('cell', 'health', 'cell')
        self.assertRefused(result, "'cell'")

    def test_an_api_database_that_is_down_is_no_good_health(self) -> None:
        self.run_command.write(
            {'api_database': ['connection = sqlite:////no/such/file']}
        )
        result = self.run_command('cell', 'health')
        self.assertRefused(result, 'API database')

    def test_seconds_are_above_zero(self) -> None:
        for option in ('--watch', '--timeout'):
            for value in ('0', 'x', 'nan', 'inf'):
                result = self.run_command('cell', 'health', option, value)
                self.assertEqual(2, result.code)
                self.assertIn('above zero', result.err)


class WatchTest(HealthTestCase):
    """Again and again, until Ctrl-C."""

    def watch(
        self, rounds: int, *argv: str, stream: type[io.StringIO] = io.StringIO
    ) -> test_cmd_base.Result:
        """Interrupt the command when it waits after so many rounds."""
        waits = []

        def sleep(seconds: float) -> None:
            self.assertEqual(7.5, seconds)
            waits.append(seconds)
            if len(waits) == rounds:
                raise KeyboardInterrupt
            self.between()

        self.useFixture(fixtures.MonkeyPatch(
            'cellplug.cmd.cell_health.Health.wait', staticmethod(sleep)
        ))  # fmt: skip
        out, err = stream(), io.StringIO()
        program = app.App(io.StringIO(), out, err)
        config = self.run_command.config
        code = program.run(
            [
                *('--config-file', config),
                *('cell', 'health', '--watch', '7.5'),
                *argv,
            ]
        )
        return test_cmd_base.Result(code, out.getvalue(), err.getvalue())

    def between(self) -> None:
        """What happens between two rounds."""

    def test_json_is_one_line_for_each_time(self) -> None:
        result = self.watch(3, '-f', 'json')
        self.assertEqual((0, ''), (result.code, result.err))
        lines = [json.loads(line) for line in result.out.splitlines()]
        self.assertEqual(3, len(lines))
        for line in lines:
            self.assertEqual(['time', 'cells'], list(line))
            self.assertEqual(COLUMNS, list(line['cells'][0]))
            self.assertIsNone(line['cells'][0]['last_error'])

    def test_a_terminal_is_drawn_anew(self) -> None:
        result = self.watch(3, stream=Terminal)
        self.assertEqual(3, result.out.count('\x1b[H\x1b[2J'))
        self.assertEqual(3, result.out.count('cell1'))

    def test_elsewhere_tables_follow_each_other(self) -> None:
        result = self.watch(2)
        self.assertNotIn('\x1b', result.out)
        self.assertEqual(2, result.out.count('cell1'))
        self.assertEqual(2, result.out.count(' UTC\n'))

    def test_it_exits_with_what_was_seen_last(self) -> None:
        self.between = lambda: self.hide('cell1')
        self.assertEqual(1, self.watch(2).code)

    def test_an_api_database_that_goes_away_does_not_end_it(self) -> None:
        path = pathlib.Path(
            str(sa.make_url(self.run_command.api_url).database)
        )

        def between() -> None:
            path.unlink()
            path.mkdir()

        self.between = between
        result = self.watch(2, '-f', 'json')
        self.assertIn('cannot be listed', result.err)
        lines = [json.loads(line) for line in result.out.splitlines()]
        self.assertEqual(
            [['cell1', 'cell2']] * 2,
            [[one['name'] for one in line['cells']] for line in lines],
        )


class RowTest(test_cmd_base.CommandTestCase):
    """What a row says of a part."""

    def circuit(self, state: str, failures: int = 0) -> str:
        return cell_health._circuit(
            objects.CircuitHealth(
                state=objects.CircuitState(state), failures=failures
            )
        )

    def test_a_part_that_fails_is_told_from_one_that_is_not_asked(
        self,
    ) -> None:
        self.assertEqual('ok', self.circuit('closed'))
        self.assertEqual('failing', self.circuit('closed', 1))
        self.assertEqual('open', self.circuit('open', 5))
        self.assertEqual('half-open', self.circuit('half-open', 5))


class HangTest(HealthTestCase):
    """A cell that does not answer is waited for as long as was said."""

    def test_the_others_are_reported_all_the_same(self) -> None:
        shown = self.run_command.json('cell', 'show', 'cell2',
                                      '--show-secrets')  # fmt: skip
        path = sa.make_url(shown['database_connection']).database
        released = threading.Event()
        self.addCleanup(released.set)

        def connect(
            dialect: Any, record: Any, cargs: Any, cparams: Any
        ) -> None:
            if cargs and cargs[0] == path:
                released.wait(60)

        sa.event.listen(sa.Engine, 'do_connect', connect)
        self.addCleanup(sa.event.remove, sa.Engine, 'do_connect', connect)
        found = self.health('--timeout', '0.5', code=1)
        self.assertEqual('ok', found['cell1']['database'])
        self.assertEqual(
            ('failing', 'no answer within 0.5 s'),
            (found['cell2']['database'], found['cell2']['last_error']),
        )
