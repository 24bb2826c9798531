"""Limits moved from cells to the API database: none lost, none twice."""

from __future__ import annotations

import os
import signal
import threading

import sqlalchemy as sa

import cellplug
from cellplug import exception
from cellplug import loader
from cellplug.cells import migrations
from cellplug.db import frames
from cellplug.db.api import models
from cellplug.quota import migration_rows
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_legacy

_SHIPPED = ('quota_class_limits', 'quota_limits', 'quota_user_limits')


class Ran:
    """How a run of the shipped migrations ended.

    :ivar totals: {migration: (found, done, blocked)}.
    :ivar reports: what was told, as (table, row or cell, why), left or not.
    """

    def __init__(self, router, max_count=None, recheck=False):
        self.reports = []
        plugins = [one for one in migrations.load() if one.name in _SHIPPED]
        self.outcomes = [
            *migrations.run(
                router,
                plugins,
                max_count=max_count,
                recheck=recheck,
                report=self.reports.append,
            )
        ]
        for one in self.outcomes:
            if one.error is not None:
                raise one.error
        self.totals = {
            one.name: (one.found, one.done, one.blocked)
            for one in self.outcomes
            if one.found or one.blocked
        }
        self.more = any(one.more for one in self.outcomes)

    @property
    def left(self):
        return [one for one in self.reports if one.left]

    @property
    def news(self):
        return [one for one in self.reports if not one.left]


class MigrationTestCase(helpers_legacy.LegacyTestCase):
    def deploy_legacy(self, cells=2, fallback=None, **tables):
        made = super().deploy_legacy(cells, fallback, **tables)
        names = [cell.name for cell in self.deployment.cells]
        self.use_cells(names if fallback is None else fallback)
        return made

    def use_cells(self, names):
        conf = self.deployment.conf
        options = loader.load_options('quota', 'database')
        conf.register_opts(options, 'quota_database')
        conf.set_override('fallback_cells', names, 'quota_database')

    def migrate(self, **options):
        return Ran(self.router, **options)

    def fill(self, legacy, count, table='quotas', first=0):
        """Rows that can be migrated; their keys and limits."""
        made = {}
        for number in range(first, first + count):
            owner = {
                'quotas': (f'p{number}',),
                'project_user_quotas': (f'p{number}', 'u'),
                'quota_classes': (f'c{number}',),
            }[table]
            legacy.add(table, owner, 'cores', number)
            made[*owner, 'cores'] = number
        return made


class MigrationTests(MigrationTestCase):
    # -- per row ------------------------------------------------------------

    def test_limits_move_and_the_tables_are_marked(self):
        first, second = self.deploy_legacy()
        expected = {
            table: {
                **self.fill(first, 3, table),
                **self.fill(second, 2, table, first=10),
            }
            for table in helpers_legacy.WHOSE
        }
        ran = self.migrate()
        self.assertEqual(dict.fromkeys(_SHIPPED, (5, 5, 0)), ran.totals)
        self.assertEqual([], ran.reports)
        for table, rows in expected.items():
            self.assertEqual(rows, self.api_rows(table))
            self.assertEqual({}, first.rows(table, deleted=True))
            self.assertEqual({}, second.rows(table, deleted=True))
        self.assertEqual(6, len(self.marks()))
        self.assertEqual({}, self.migrate().totals)

    def test_a_null_limit_becomes_unlimited(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', None)
        self.migrate()
        self.assertEqual({('p', 'cores'): -1}, self.api_rows('quotas'))

    def test_the_api_database_wins_and_the_difference_is_told(self):
        """There, one such row rolled back the batch, and all was deleted."""
        first, _ = self.deploy_legacy()
        expected = self.fill(first, 5)
        self.limits.set_limits(self.context(), {'cores': 77}, project_id='p2')
        self.limits.set_limits(self.context(), {'cores': 3}, project_id='p3')
        ran = self.migrate()
        self.assertEqual({'quota_limits': (5, 5, 0)}, ran.totals)
        expected['p2', 'cores'] = 77
        self.assertEqual(expected, self.api_rows('quotas'))
        (news,) = ran.news
        for word in ('p2 cores', '2 there', '77 in the API'):
            self.assertIn(word, news.why)
        self.assertIn("table quotas of cell 'cell1', row ", news.what)
        self.assertEqual({}, first.rows('quotas'))

    def test_rows_deleted_softly_stay_and_do_not_count(self):
        first, _ = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1, deleted=9)
        first.add('quotas', 'p', 'cores', 2)
        self.assertEqual({'quota_limits': (1, 1, 0)}, self.migrate().totals)
        self.assertEqual({('p', 'cores'): 2}, self.api_rows('quotas'))
        self.assertEqual(1, len(first.rows('quotas', deleted=True)))
        self.assertIn(('quotas', 'cell1'), self.marks())

    def test_tables_without_soft_deletes_and_missing_tables(self):
        first, second = self.deploy_legacy(deleted=None)
        first.add('quotas', 'p', 'cores', 1)
        second.drop('quotas')
        self.assertEqual({'quota_limits': (1, 1, 0)}, self.migrate().totals)
        self.assertEqual({('p', 'cores'): 1}, self.api_rows('quotas'))
        self.assertEqual(6, len(self.marks()))

    # -- what cannot be migrated --------------------------------------------

    def test_rows_that_cannot_be_migrated_are_told_and_stepped_over(self):
        """There, they blocked all behind them, and the command said done."""
        first, _ = self.deploy_legacy(limit=sa.String(40))
        bad = {
            first.add('quotas', owner, resource, limit): words
            for owner, resource, limit, words in (
                ('', 'cores', '1', 'project_id'),
                ('x' * 256, 'cores', '1', '255'),
                (None, 'cores', '1', 'project_id'),
                ('p\n', 'cores', '1', 'unprintable'),
                ('p', '', '1', 'resource'),
                ('p', 'a', '-2', 'out of range'),
                ('p', 'b', str(2**63), 'out of range'),
                ('p', 'c', 'many', 'no integer'),
                ('p', 'd', '1.5', 'no integer'),
            )
        }
        good = first.add('quotas', 'p', 'cores', str(2**63 - 1))
        ran = self.migrate()
        self.assertEqual({'quota_limits': (10, 1, 9)}, ran.totals)
        self.assertEqual({('p', 'cores'): 2**63 - 1}, self.api_rows('quotas'))
        self.assertEqual([*bad], [*first.rows('quotas')])
        self.assertNotIn(good, bad)
        for (row, words), report in zip(bad.items(), ran.left, strict=True):
            self.assertTrue(report.what.endswith(f"'cell1', row {row}"))
            self.assertIn(words, report.why)
        self.assertNotIn(('quotas', 'cell1'), self.marks())
        self.assertIn(('quotas', 'cell2'), self.marks())

    def test_a_row_that_was_mended_is_found(self):
        first, _ = self.deploy_legacy()
        self.fill(first, 60)
        row = first.add('quotas', 'p', 'cores', -5)
        self.assertEqual({'quota_limits': (61, 60, 1)}, self.migrate().totals)
        first.execute(f'UPDATE quotas SET hard_limit = 5 WHERE id = {row}')
        ran = self.migrate()
        self.assertEqual({'quota_limits': (1, 1, 0)}, ran.totals)
        self.assertEqual(5, self.api_rows('quotas')['p', 'cores'])
        self.assertIn(('quotas', 'cell1'), self.marks())

    def test_duplicates_that_differ_are_left(self):
        first, _ = self.deploy_legacy()
        one = first.add('quotas', 'p', 'cores', 1)
        two = first.add('quotas', 'p', 'cores', 2)
        first.add('quotas', 'p', 'ram', 3)
        first.add('quotas', 'p', 'ram', 3)
        ran = self.migrate()
        self.assertEqual({'quota_limits': (3, 1, 2)}, ran.totals)
        self.assertIn(f'{one}: 1, {two}: 2', ran.left[0].why)
        self.assertEqual({('p', 'ram'): 3}, self.api_rows('quotas'))
        self.assertEqual([one, two], [*first.rows('quotas')])
        self.limits.set_limits(self.context(), {'cores': 9}, project_id='p')
        ran = self.migrate()
        self.assertEqual([], ran.left)
        self.assertIn('1, 2 there, 9 in the API', ran.news[0].why)
        self.assertEqual({}, first.rows('quotas'))

    # -- several cells ------------------------------------------------------

    def test_the_first_cell_wins(self):
        first, second = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', 1)
        second.add('quotas', 'p', 'cores', 2)
        ran = self.migrate()
        self.assertEqual({('p', 'cores'): 1}, self.api_rows('quotas'))
        self.assertEqual(1, len(ran.news))
        self.assertEqual([], ran.left)

    def test_a_row_waits_for_one_that_comes_first_and_is_left(self):
        first, second = self.deploy_legacy()
        first.add('quotas', 'p', 'cores', -9)
        second.add('quotas', 'p', 'cores', 2)
        second.add('quotas', 'p', 'ram', 2)
        ran = self.migrate()
        self.assertEqual({('p', 'ram'): 2}, self.api_rows('quotas'))
        self.assertEqual({'quota_limits': (3, 1, 2)}, ran.totals)
        self.assertIn("cell 'cell1', which comes first", ran.left[1].why)

    def test_a_cell_that_is_down_is_told_and_stops_no_other(self):
        first, second = self.deploy_legacy(3)[:2]
        first.add('quotas', 'p', 'cores', 1)
        self.legacy[2].add('quotas', 'p', 'ram', 3)
        self.limits.set_limits(self.context(), {'disk': 4}, project_id='p')
        self.legacy[2].add('quotas', 'p', 'disk', 3)
        down = self.break_cell('cell2')
        ran = self.migrate()
        # ram has to wait: cell2 may have another one, and comes first.
        self.assertEqual(
            {('p', 'cores'): 1, ('p', 'disk'): 4}, self.api_rows('quotas')
        )
        self.assertEqual((3, 2, 2), ran.totals['quota_limits'])
        self.assertTrue(
            all("cell 'cell2'" in one.what + one.why for one in ran.left)
        )
        self.assertEqual(
            {'cell1', 'cell3'}, {name for _, name in self.marks()}
        )
        self.assertNotIn(('quotas', 'cell3'), self.marks())
        self.mend_cell(down)
        second.add('quotas', 'p', 'ram', 2)
        self.assertEqual([], self.migrate().left)
        self.assertEqual(2, self.api_rows('quotas')['p', 'ram'])
        self.assertEqual(9, len(self.marks()))

    def test_another_table_of_that_name_is_told_and_stops_no_other(self):
        first, second = self.deploy_legacy()
        for columns in ('tenant INTEGER', 'project_id INTEGER, lim INTEGER'):
            first.drop('quotas')
            first.execute(f'CREATE TABLE quotas (id INTEGER, {columns})')
            first.execute('INSERT INTO quotas (id) VALUES (1)')
            self.limits.set_limits(
                self.context(), {'cores': 7}, project_id='p'
            )
            second.add('quotas', 'p', 'cores', 2)
            second.add('quotas', 'p', 'ram', 2)
            ran = self.migrate()
            self.assertEqual((2, 1, 2), ran.totals['quota_limits'])
            shape, waits = ran.left
            self.assertEqual("table quotas of cell 'cell1'", shape.what)
            self.assertIn('table quotas is none of limits', shape.why)
            self.assertIn("cell 'cell1', which comes first", waits.why)
            for words in (shape.why, waits.why):
                self.assertNotIn('SELECT', words)
            self.assertNotIn(('quotas', 'cell1'), self.marks())
            second.execute('DELETE FROM quotas')

    # -- in portions --------------------------------------------------------

    def test_portions_go_on_where_the_last_stopped(self):
        first, second = self.deploy_legacy()
        expected = {
            **self.fill(first, 5),
            **self.fill(second, 5, first=10),
        }
        found = []
        for _ in range(20):
            ran = self.migrate(max_count=3)
            found.append(ran.totals.get('quota_limits', (0, 0, 0))[0])
            if not (ran.more or found[-1]):
                break
        self.assertEqual([3, 3, 3, 1, 0], found)
        self.assertEqual(expected, self.api_rows('quotas'))

    def test_blocked_rows_block_nothing_whatever_the_portion(self):
        """As an operator's loop: while it exits 1, run it again."""
        first, second = self.deploy_legacy()
        for portion in (1, 2, 3, 4, 7):
            self.begin_anew()
            for number in range(4):
                first.add('quotas', f'bad{number}', 'cores', -7)
                second.add('quotas', f'bad{10 + number}', 'cores', -7)
            expected = self.fill(second, 2)
            first.add('quotas', 'last', 'cores', 5)
            expected['last', 'cores'] = 5
            for _ in range(60):
                ran = self.migrate(max_count=portion)
                if not (ran.more or any(one.done for one in ran.outcomes)):
                    break
            else:
                self.fail('it never ends')
            self.assertEqual(expected, self.api_rows('quotas'))
            self.assertNotEqual([], ran.left)
            self.assertEqual(8, len(self.migrate().left))

    def begin_anew(self):
        """As if nothing had been there, nor been moved."""
        for one in self.legacy:
            one.execute('DELETE FROM quotas')
        for table in ('quotas', 'migration_state'):
            self._write_api(sa.delete(models.METADATA.tables[table]))

    def test_portions_that_recheck_come_to_an_end(self):
        first, second = self.deploy_legacy()
        for number in range(3):
            first.add('quotas', f'bad{number}', 'cores', -7)
        expected = self.fill(second, 3)
        first.add('quotas', 'last', 'cores', 5)
        expected['last', 'cores'] = 5
        for _ in range(30):
            ran = self.migrate(max_count=2, recheck=True)
            if not (ran.more or any(one.done for one in ran.outcomes)):
                break
        else:
            self.fail('it never ends')
        self.assertEqual(expected, self.api_rows('quotas'))

    # -- marks --------------------------------------------------------------

    def test_what_is_marked_is_not_asked_and_recheck_asks(self):
        first, _ = self.deploy_legacy()
        self.assertEqual({}, self.migrate().totals)
        first.add('quotas', 'p', 'cores', 1)
        self.assertEqual({}, self.migrate().totals)
        context = self.context()
        self.assertEqual({}, self.limits.get_limits(context, project_id='p'))
        ran = self.migrate(recheck=True)
        self.assertEqual({'quota_limits': (1, 1, 0)}, ran.totals)
        self.assertEqual({('p', 'cores'): 1}, self.api_rows('quotas'))

    def test_recheck_lets_limits_be_read_again_at_once(self):
        first, _ = self.deploy_legacy()
        self.migrate()
        first.add('quotas', 'p', 'cores', 1)
        first.add('quotas', 'p', 'ram', -3)
        self.migrate(recheck=True)
        found = self.limits.get_limits(self.context(), project_id='p')
        self.assertEqual(
            {'cores': 1, 'ram': -1},
            {name: limit.limit for name, limit in found.items()},
        )

    def test_without_fallback_cells_nothing_is_found(self):
        first, _ = self.deploy_legacy(fallback=[])
        self.fill(first, 2)
        self.assertEqual({}, self.migrate().totals)
        self.assertEqual(set(), self.marks())

    # -- beside operators ---------------------------------------------------

    def test_whoever_removes_a_limit_waits_for_its_move(self):
        """It is removed from where it went: it does not rise again."""
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)
        removed = helpers.Background(
            lambda: self.limits.set_limits(
                self.context(), {'cores': None}, project_id='p'
            )
        )

        def interrupt(*_):
            removed.__enter__()
            engine = self.engine_on(first.url)
            databases.wait_until_one_waits(engine)

        self._while_locked(interrupt)
        removed.join()
        self.assertEqual({}, self.api_rows('quotas'))
        self.assertEqual({}, first.rows('quotas', deleted=True))

    def test_whoever_sets_a_limit_meanwhile_wins(self):
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)
        ran = self._while_locked(
            lambda: self.limits.set_limits(
                self.context(), {'cores': 9}, project_id='p'
            )
        )
        self.assertEqual({('p', 'cores'): 9}, self.api_rows('quotas'))
        self.assertEqual(1, len(ran.news))

    def test_a_reader_finds_a_limit_that_is_under_way(self):
        """Between its two looks, the limit moves: it sees it all the same."""
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)
        ask = self.limits._fallback.ask

        def migrate_first(*arguments):
            self.migrate()
            return ask(*arguments)

        self.limits._fallback.ask = migrate_first
        found = self.limits.get_limits(self.context(), project_id='p')
        self.assertEqual(1, found['cores'].limit)

    def _while_locked(self, call, *, looks=0):
        """Migrate; while the first row is locked, the call is made.

        :param looks: after how many more looks at the lock.
        """
        read = migration_rows._legacy.read
        waiting = [*[lambda: None] * looks, call]

        def interrupted(*arguments, lock=False, **options):
            found = read(*arguments, lock=lock, **options)
            if lock and waiting:
                waiting.pop(0)()
            return found

        self.patch(migration_rows._legacy, 'read', interrupted)
        return self.migrate()

    def engine_on(self, url):
        engine = databases.make_engine(url)
        self.addCleanup(engine.dispose)
        return engine


class ServerTests(MigrationTests):
    """Where locks are those of rows, and connections can be killed."""

    def hold(self, legacy, table='quotas', what="project_id = 'p'"):
        """Keep a row locked until the test has ended."""
        connection = self.engine_on(legacy.url).connect()
        self.addCleanup(connection.close)
        connection.execute(
            sa.text(f'SELECT * FROM {table} WHERE {what} FOR UPDATE')
        ).all()
        return connection

    def test_a_row_that_others_hold_is_told_and_stepped_over(self):
        """It stops nothing, and the next pass finds it."""
        first, second = self.deploy_legacy()
        row = first.add('quotas', 'p', 'cores', 1)
        expected = {**self.fill(first, 3), **self.fill(second, 2, first=10)}
        holder = self.hold(first)
        ran = self.migrate()
        self.assertEqual({'quota_limits': (6, 5, 1)}, ran.totals)
        self.assertEqual(expected, self.api_rows('quotas'))
        (left,) = ran.left
        self.assertEqual(f"table quotas of cell 'cell1', row {row}", left.what)
        self.assertIn('others hold it locked', left.why)
        self.assertNotIn(('quotas', 'cell1'), self.marks())
        holder.rollback()
        self.assertEqual({'quota_limits': (1, 1, 0)}, self.migrate().totals)
        self.assertEqual(1, self.api_rows('quotas')['p', 'cores'])

    def test_a_twin_that_others_hold_holds_its_like(self):
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)
        twin = first.add('quotas', 'p', 'cores', 2)
        self.hold(first, what=f'id = {twin}')
        self.assertEqual({'quota_limits': (2, 0, 2)}, self.migrate().totals)
        self.assertEqual({}, self.api_rows('quotas'))

    def test_a_conflict_that_goes_on_blocks_that_row_alone(self):
        """As where the database cannot pass over what is locked."""
        (first,) = self.deploy_legacy(1)
        self.fill(first, 3)
        insert = migration_rows.Mover._insert

        def lose(mover, session, owner, *key):
            if owner == {'project_id': 'p1'}:
                raise exception.TransactionConflict('lose', 10, 30)
            return insert(mover, session, owner, *key)

        self.patch(migration_rows.Mover, '_insert', lose)
        ran = self.migrate()
        self.assertEqual({'quota_limits': (3, 2, 1)}, ran.totals)
        self.assertIn('locked', ran.left[0].why)

    def test_a_limit_removed_as_the_lock_was_lost_does_not_rise(self):
        """The lock was seen to hold; the insert has not been committed."""
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)
        removed = helpers.Background(self._remove)

        def interrupt():
            helpers.kill_connections(first.url)
            removed.__enter__()
            databases.wait_until_one_waits(
                self.engine_on(self.deployment.api_url)
            )

        ran = self._while_locked(interrupt, looks=1)
        removed.join()
        self.assertEqual(1, len(ran.left))
        self.assertEqual({}, self.api_rows('quotas'))
        self.assertEqual({}, first.rows('quotas', deleted=True))

    def test_a_lock_lost_before_the_insert_undoes_it(self):
        """Whoever removes the limit is done before there is an insert."""
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)

        def interrupt():
            helpers.kill_connections(first.url)
            self._remove()

        insert = migration_rows.Mover._insert
        waiting = [interrupt]

        def insert_late(*arguments):
            if waiting:
                waiting.pop()()
            return insert(*arguments)

        self.patch(migration_rows.Mover, '_insert', insert_late)
        self.assertEqual(1, len(self.migrate().left))
        self.assertEqual({}, self.api_rows('quotas'))
        self.assertEqual({}, first.rows('quotas', deleted=True))

    def test_killed_between_the_commits_the_next_run_ends_it(self):
        """Committed in the API database, and not yet deleted in the cell."""
        (first,) = self.deploy_legacy(1)
        first.add('quotas', 'p', 'cores', 1)
        delete = migration_rows._legacy.delete
        waiting = [None]

        def delete_late(*arguments):
            if waiting:
                waiting.pop()
                self.assertEqual({('p', 'cores'): 1}, self.api_rows('quotas'))
                helpers.kill_connections(first.url)
            return delete(*arguments)

        self.patch(migration_rows._legacy, 'delete', delete_late)
        self.assertEqual(1, len(self.migrate().left))
        self.assertEqual(1, len(first.rows('quotas')))
        self.assertEqual([], self.migrate().reports)
        self.assertEqual({('p', 'cores'): 1}, self.api_rows('quotas'))
        self.assertEqual({}, first.rows('quotas', deleted=True))

    def _remove(self):
        self.limits.set_limits(self.context(), {'cores': None}, project_id='p')


class ConcurrencyTests(MigrationTestCase):
    """Real processes, several at once, killed anywhere."""

    ROWS = 24

    def run_in_child(self, crash=None):
        """A router of its own, as another process has."""
        if crash is not None:
            crash()
        with cellplug.CellRouter.from_conf(self.deployment.conf) as router:
            Ran(router)

    def test_several_at_once_lose_nothing(self):
        first, second = self.deploy_legacy()
        expected = {
            **self.fill(first, self.ROWS),
            **self.fill(second, self.ROWS, first=100),
        }
        same = databases.barrier(3)

        def work():
            same.wait(databases.PATIENCE)
            self.run_in_child()

        self.assertEqual([0, 0, 0], databases.in_processes(work, (), (), ()))
        self.assertEqual(expected, self.api_rows('quotas'))
        self.assertEqual({}, first.rows('quotas', deleted=True))
        self.assertEqual({}, second.rows('quotas', deleted=True))

    def test_readers_see_each_limit_all_the_time(self):
        """Also those that ask both databases while a limit goes between."""
        first, second = self.deploy_legacy()
        expected = {
            **self.fill(first, self.ROWS),
            **self.fill(second, self.ROWS, first=100),
        }
        seen = []
        done = threading.Event()

        def read():
            while not done.is_set():
                for project, _ in expected:
                    found = self.limits.get_limits(
                        self.context(), project_id=project, user_id='u'
                    )
                    limit = found.get('cores')
                    seen.append((project, limit and limit.limit))

        with helpers.Background(read) as reader:
            try:
                self.run_in_child()
            finally:
                done.set()
        reader.join()
        self.assertEqual(
            {(project, n) for (project, _), n in expected.items()} | {*seen},
            {(project, n) for (project, _), n in expected.items()},
        )
        self.assertGreater(len(seen), self.ROWS)

    def test_killed_at_each_step_it_loses_nothing(self):
        """At each, the limit is in the cell, or in both, or moved."""
        (first,) = self.deploy_legacy(1)
        expected = self.fill(first, len(STEPS) + 2)
        for step in STEPS:

            def crash(step=step):
                self.run_in_child(lambda: step(self))

            codes = databases.in_processes(crash, ())
            self.assertEqual([-signal.SIGKILL], codes, step.__name__)
            standing = {
                key[:-1]: key[-1] for key in first.rows('quotas').values()
            }
            moved = self.api_rows('quotas')
            self.assertEqual(expected, {**standing, **moved}, step.__name__)
            for project, _ in expected:
                found = self.limits.get_limits(
                    self.context(), project_id=project
                )
                self.assertEqual(
                    expected[project, 'cores'], found['cores'].limit
                )
        self.assertEqual([], self.migrate().reports)
        self.assertEqual(expected, self.api_rows('quotas'))
        self.assertEqual({}, first.rows('quotas', deleted=True))

    def test_killed_and_several_at_once(self):
        (first,) = self.deploy_legacy(1)
        expected = self.fill(first, self.ROWS)
        same = databases.barrier(len(STEPS) + 1)

        def work(step):
            same.wait(databases.PATIENCE)
            self.run_in_child(step and (lambda: step(self)))

        codes = databases.in_processes(
            work, (None,), *((step,) for step in STEPS)
        )
        self.assertEqual(0, codes[0])
        self.migrate()
        self.assertEqual(expected, self.api_rows('quotas'))
        self.assertEqual({}, first.rows('quotas', deleted=True))


def _die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def _before_lock(case):
    migration_rows._legacy.read = _die


def _locked(case):
    migration_rows.Mover._insert = _die


def _inserted(case):
    insert = migration_rows.Mover._insert
    migration_rows.Mover._insert = lambda *a: _die(insert(*a))


def _deleted(case):
    delete = migration_rows._legacy.delete
    migration_rows._legacy.delete = lambda *a: _die(delete(*a))


def _committed_in_api(case):
    """The API database has committed; nothing is deleted in the cell."""
    migration_rows._legacy.delete = _die


def _committing_in_cell(case):
    """The API database has committed, the cell's has not."""
    close = frames.Frame.close

    def die_after(frame, error):
        is_cell = frame.key not in (None, 'api') and frame.mode.writer
        if is_cell and error is None:
            _die()
        close(frame, error)

    frames.Frame.close = die_after


def _committed_in_cell(case):
    migration_rows._outcome = _die


STEPS = (
    _before_lock,
    _locked,
    _inserted,
    _committed_in_api,
    _deleted,
    _committing_in_cell,
    _committed_in_cell,
)


class TestMigrationOnSqlite(MigrationTests):
    pass


class TestMigrationOnMariaDB(ServerTests):
    backend = 'mariadb'


class TestMigrationOnPostgreSQL(ServerTests):
    backend = 'postgresql'


class TestConcurrencyOnSqlite(ConcurrencyTests):
    pass


class TestConcurrencyOnMariaDB(ConcurrencyTests):
    backend = 'mariadb'


class TestConcurrencyOnPostgreSQL(ConcurrencyTests):
    backend = 'postgresql'


del MigrationTests, ServerTests, ConcurrencyTests, MigrationTestCase
