"""``online-data-migrations``: exit codes, lines and tables."""

from __future__ import annotations

import pathlib
import textwrap
from typing import Any

from cellplug.db.api import models
from tests.functional import helpers_deployment
from tests.functional import helpers_legacy
from tests.unit import test_cmd_base as cmd_base
from tests.unit import test_loader

_COMMAND = 'online-data-migrations'
_SHIPPED = ['quota_class_limits', 'quota_limits', 'quota_user_limits']


class MigrationCommandTestCase(cmd_base.CommandTestCase):
    def configure(self, *cells: str) -> None:
        """Have these cells looked into."""
        self.run_command.write(
            {
                'api_database': [f'connection = {self.run_command.api_url}'],
                'quota_database': [f'fallback_cells = {",".join(cells)}'],
            }
        )

    def legacy_cell(self, name: str) -> helpers_legacy.Legacy:
        """A cell with limits from before."""
        url = self.run_command.fresh_database()
        self.run_command.add_cell(name, database_connection=url)
        return helpers_legacy.Legacy(url)

    def run_it(self, *options: str) -> cmd_base.Result:
        return self.run_command(_COMMAND, *options, '-f', 'json')

    def rows(self, result: cmd_base.Result) -> dict[str, Any]:
        """(found, done, blocked), by migration."""
        return {
            row['migration']: (row['found'], row['done'], row['blocked'])
            for row in result.json
        }

    def install(self, source: str, *points: str) -> None:
        """Install a stranger's migrations."""
        lines = [f'{one} = MODULE:{one}' for one in points]
        self.useFixture(
            test_loader.DistributionFixture(
                'stranger',
                '\n'.join(['[cellplug.online_migration]', *lines]),
                textwrap.dedent(source),
            )
        )


class TestLimits(MigrationCommandTestCase):
    def test_nothing_to_do(self) -> None:
        result = self.run_it()
        self.assertEqual((0, ''), (result.code, result.err))
        rows = self.rows(result)
        self.assertEqual(dict.fromkeys(_SHIPPED, (0, 0, 0)), rows)

    def test_all_is_moved(self) -> None:
        legacy = self.legacy_cell('old')
        self.configure('old')
        for number in range(120):
            legacy.add('quotas', f'p{number}', 'cores', number)
        result = self.run_it()
        self.assertEqual((0, ''), (result.code, result.err))
        self.assertEqual((120, 120, 0), self.rows(result)['quota_limits'])
        self.assertEqual({}, legacy.rows('quotas', deleted=True))

    def test_max_count_runs_until_it_exits_zero(self) -> None:
        legacy = self.legacy_cell('old')
        self.configure('old')
        for number in range(5):
            legacy.add('quotas', f'p{number}', 'cores', number)
        results = [self.run_it('--max-count', '2') for _ in range(4)]
        self.assertEqual([1, 1, 1, 0], [one.code for one in results])
        self.assertEqual(
            [2, 2, 1, 0],
            [self.rows(one)['quota_limits'][0] for one in results],
        )

    def test_a_row_that_is_blocked_gets_a_line_and_exit_two(self) -> None:
        legacy = self.legacy_cell('old')
        self.configure('old')
        row = legacy.add('quotas', 'p', 'cores', -5)
        other = legacy.add('quotas', '', 'cores', 5)
        legacy.add('quotas', 'p', 'ram', 5)
        for options in ((), ('--max-count', '7')):
            result = self.run_it(*options)
            if not options:
                self.assertEqual((3, 1, 2), self.rows(result)['quota_limits'])
            self.assertEqual(2, result.code)
            first, second = result.err.splitlines()
            self.assertEqual(
                'cellplug-manage online-data-migrations: blocked: '
                f"quota_limits: table quotas of cell 'old', row {row}: "
                'hard_limit -5 is out of range: -1 to 9223372036854775807',
                first,
            )
            self.assertIn(f'row {other}: project_id: ', second)

    def test_blocked_rows_and_a_portion_that_only_they_fill(self) -> None:
        legacy = self.legacy_cell('old')
        self.configure('old')
        for number in range(4):
            legacy.add('quotas', f'bad{number}', 'cores', -5)
        legacy.add('quotas', 'p', 'ram', 5)
        codes = [self.run_it('--max-count', '2').code for _ in range(5)]
        # The third moves one; the next pass finds nothing but the four.
        self.assertEqual([1, 1, 1, 1, 2], codes)

    def test_a_difference_is_told_and_is_no_failure(self) -> None:
        legacy = self.legacy_cell('old')
        self.configure('old')
        legacy.add('quotas', 'p', 'cores', 5)
        self._set_in_api('p', 'cores', 6)
        result = self.run_it()
        self.assertEqual(0, result.code)
        self.assertIn('note: quota_limits: ', result.err)
        self.assertIn('5 there, 6 in the API database', result.err)
        self.assertEqual(1, result.err.count('\n'))

    def test_a_cell_that_is_down_is_exit_two_and_names_it(self) -> None:
        self.legacy_cell('old')
        url = self.run_command.fresh_database()
        self.run_command.add_cell('gone', database_connection=url)
        self.configure('gone', 'old')
        self._remove_file(url)
        result = self.run_it()
        self.assertEqual(2, result.code)
        self.assertEqual(3, result.err.count('\n'), result.err)
        self.assertEqual(3, result.err.count("of cell 'gone': "), result.err)
        self.assertEqual((0, 0, 1), self.rows(result)['quota_limits'])

    def test_recheck_looks_again(self) -> None:
        legacy = self.legacy_cell('old')
        self.configure('old')
        self.assertEqual(0, self.run_it().code)
        legacy.add('quotas', 'p', 'cores', 5)
        self.assertEqual((0, 0, 0), self.rows(self.run_it())['quota_limits'])
        result = self.run_it('--recheck')
        self.assertEqual((1, 1, 0), self.rows(result)['quota_limits'])

    def test_a_table_for_people(self) -> None:
        result = self.run_command(_COMMAND)
        self.assertEqual(0, result.code)
        for word in ('migration', 'found', 'done', 'blocked', *_SHIPPED):
            self.assertIn(word, result.out)

    def _set_in_api(self, project: str, resource: str, limit: int) -> None:
        with helpers_deployment.past_cellplug(
            self.run_command.api_url
        ) as connection:
            connection.execute(
                models.quotas.insert(),
                {
                    'project_id': project,
                    'resource': resource,
                    'hard_limit': limit,
                },
            )

    def _remove_file(self, url: str) -> None:
        pathlib.Path(url.removeprefix('sqlite:///')).unlink()


class TestBadInput(MigrationCommandTestCase):
    def test_a_bad_max_count_is_127(self) -> None:
        for count in ('0', '-1', 'many', '', '1.5', '²'):
            result = self.run_command(_COMMAND, f'--max-count={count}')
            self.assertRefused(result, '--max-count', code=127)

    def test_a_max_count_of_absurd_size_is_127(self) -> None:
        for count in ('2147483648', '9' * 20, '9' * 5000, 'x' * 5000):
            result = self.run_command(_COMMAND, f'--max-count={count}')
            self.assertRefused(result, '--max-count', code=127)
            self.assertLess(len(result.err), 200)

    def test_the_greatest_max_count_and_zeros_before_it(self) -> None:
        for count in ('2147483647', '0' * 5000 + '5'):
            result = self.run_command(_COMMAND, f'--max-count={count}')
            self.assertEqual(0, result.code, result)

    def test_recheck_in_portions_is_refused(self) -> None:
        """Each portion would begin anew; a loop would never end."""
        legacy = self.legacy_cell('old')
        self.configure('old')
        legacy.add('quotas', 'p', 'cores', 5)
        result = self.run_command(_COMMAND, '--recheck', '--max-count=7')
        self.assertRefused(result, '--recheck', '--max-count', code=2)
        self.assertEqual(1, len(legacy.rows('quotas')))

    def test_wrong_usage_is_two(self) -> None:
        result = self.run_command(_COMMAND, '--maximum')
        self.assertEqual(2, result.code)

    def test_an_unknown_cell_is_two_and_named(self) -> None:
        self.configure('nowhere')
        result = self.run_it()
        self.assertEqual(2, result.code)
        self.assertIn("fallback_cells: cell 'nowhere'", result.err)

    def test_without_an_api_database_it_is_two_and_not_one(self) -> None:
        self.run_command.write({})
        result = self.run_command(_COMMAND)
        self.assertRefused(result, '[api_database]', code=2)


class TestStrangers(MigrationCommandTestCase):
    def mine(self, result: cmd_base.Result, name: str = 'mine') -> Any:
        return self.rows(result)[name]

    def test_a_strangers_migration_runs_in_batches_to_its_end(self) -> None:
        self.install(
            """
            left = 120
            def mine(context, max_count):
                global left
                count = min(left, max_count)
                left -= count
                assert context.is_admin and context.cell_uuid is None
                assert context.router.cells.list() == []
                return count, count
            """,
            'mine',
        )
        result = self.run_it()
        self.assertEqual(0, result.code, result)
        self.assertEqual((120, 120, 0), self.mine(result))

    def test_its_max_count_is_passed_on(self) -> None:
        self.install(
            'def mine(context, max_count):\n    return max_count, max_count',
            'mine',
        )
        result = self.run_it('--max-count', '7')
        self.assertEqual(1, result.code)
        self.assertEqual((7, 7, 0), self.mine(result))

    def test_what_it_found_and_did_not_do_is_exit_two(self) -> None:
        self.install('def mine(context, max_count):\n    return 3, 0', 'mine')
        for options in ((), ('--max-count', '5')):
            result = self.run_it(*options)
            self.assertEqual(2, result.code)
            self.assertEqual((3, 0, 3), self.mine(result))

    def test_what_it_reports_gets_a_line(self) -> None:
        self.install(
            """
            def mine(context, max_count):
                context.report('row 5', 'it is\\nbroken')
                context.report('row 6', 'it was odd', left=False)
                return 1, 0
            """,
            'mine',
        )
        result = self.run_it()
        self.assertEqual(2, result.code)
        first, second = result.err.splitlines()
        self.assertTrue(first.endswith('blocked: mine: row 5: it is broken'))
        self.assertTrue(second.endswith('note: mine: row 6: it was odd'))

    def test_its_progress_is_kept_between_runs(self) -> None:
        """Rows 1 to 7, of which the odd ones cannot be migrated."""
        self.install(
            """
            rows = list(range(1, 8))
            def mine(context, max_count):
                progress = context.progress('mine')
                if progress.state:
                    return 0, 0
                after = int(progress.marker or 0)
                page = [row for row in rows if row > after][:max_count + 1]
                done = 0
                for row in page[:max_count]:
                    if row % 2:
                        context.report(f'row {row}', 'odd')
                    else:
                        rows.remove(row)
                        done += 1
                if len(page) > max_count:
                    progress.advance(str(page[max_count - 1]))
                else:
                    progress.finish()
                return len(page[:max_count]), done
            """,
            'mine',
        )
        results = [self.run_it('--max-count', '3') for _ in range(5)]
        self.assertEqual([1, 1, 2, 1, 2], [one.code for one in results])
        self.assertEqual(
            [(3, 1, 2), (3, 2, 1), (1, 0, 1), (3, 0, 3), (1, 0, 1)],
            [self.mine(one) for one in results],
        )
        self.assertEqual((4, 0, 4), self.mine(self.run_it()))

    def test_a_pass_that_ended_and_was_cut_off_begins_anew(self) -> None:
        """The process died before it could note that all have ended."""
        self.install(
            """
            died = []
            def mine(context, max_count):
                progress = context.progress('mine')
                if progress.state:
                    return 0, 0
                context.report('row 1', 'odd')
                progress.finish()
                if not died:
                    died.append(1)
                    raise RuntimeError('died')
                return 1, 0
            """,
            'mine',
        )
        for _ in range(3):
            result = self.run_it('--max-count', '3')
            self.assertEqual(2, result.code)
            self.assertIn('row 1: odd', result.err)

    def test_one_that_fails_stops_none_of_the_others(self) -> None:
        self.install(
            """
            def alpha(context, max_count):
                raise RuntimeError('no\\nluck')
            def zeta(context, max_count):
                return 0, 0
            """,
            'alpha',
            'zeta',
        )
        result = self.run_it()
        self.assertEqual(2, result.code)
        self.assertIn('error: alpha: ', result.err)
        self.assertIn('no luck', result.err)
        self.assertEqual((0, 0, 0), self.mine(result, 'zeta'))

    def test_answers_that_make_no_sense(self) -> None:
        answers = ('None', '1', '(1, 2)', '(True, 0)', '(-1, -1)', '(1.0, 0)')
        names = [f'odd{number}' for number in range(len(answers))]
        self.install(
            '\n'.join(
                f'def {name}(context, max_count):\n    return {answer}'
                for name, answer in zip(names, answers, strict=True)
            ),
            *names,
        )
        result = self.run_it()
        self.assertEqual(2, result.code)
        for name, answer in zip(names, answers, strict=True):
            self.assertIn(f"entry point '{name}'", result.err)
            self.assertIn(f'it returned {answer}', result.err)

    def test_one_that_cannot_be_imported_is_named_and_nothing_runs(
        self,
    ) -> None:
        self.install('raise ValueError("broken")', 'mine')
        result = self.run_it()
        self.assertRefused(result, "'mine'", 'broken', code=2)

    def test_two_of_one_name_are_named_and_nothing_runs(self) -> None:
        self.install(
            'def quota_limits(context, max_count):\n    return 0, 0',
            'quota_limits',
        )
        result = self.run_it()
        self.assertRefused(
            result, "'quota_limits'", 'has the same name', code=2
        )

    def test_no_secret_is_shown(self) -> None:
        self.run_command.add_cell(
            'one', transport_url='fake://mole:open-sesame@somewhere/'
        )
        self.install(
            """
            def mine(context, max_count):
                (cell,) = context.router.cells.list()
                context.report('row 1', cell.transport_url)
                raise RuntimeError(cell.transport_url)
            """,
            'mine',
        )
        for options in ((), ('--debug',)):
            result = self.run_it(*options)
            self.assertIn('mine', result.err)
            self.assertNotIn('sesame', result.everything)
