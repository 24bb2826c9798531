"""When the ``database`` quota driver counts, and what it stores."""

import threading

from cellplug import exception
from cellplug.db.api import models
from tests.functional import helpers_quota_driver as helpers
from tests.functional.helpers_quota_driver import USER

DAY = 86400


class FirstTests:
    def test_what_exists_already_counts(self):
        self.cells.exist(cores=3)
        self.cells.exist('other', cores=4)
        self.use(cores=2)
        self.assertEqual(((9, 0), (5, 0)), self.usages())
        self.assertEqual(
            [(None, ('cores',)), (USER, ('cores',))], self.cells.asked
        )

    def test_a_known_usage_is_not_counted(self):
        self.use(cores=2)
        self.cells.asked.clear()
        self.use(cores=2)
        self.assertEqual([], self.cells.asked)

    def test_all_first_reservations_at_once_agree(self):
        self.cells.exist(cores=1)
        outcomes = helpers.race(
            *(lambda: self.reserve(limit=5, cores=1) for _ in range(8))
        )
        self.assertEqual(4, helpers.refused(outcomes))
        self.assertEqual(((1, 4), (1, 4)), self.usages())
        rows = self.stored(models.quota_usages, 'user_id', 'resource')
        self.assertEqual([('', 'cores'), (USER, 'cores')], sorted(rows))

    def test_the_first_count_is_the_one_that_stays(self):
        # Counted by a loser, after the winner's had come to exist.
        def overtake():
            self.use(cores=2)
            self.cells.exist(cores=2)

        self.cells.meanwhile = overtake
        self.cells.exist(cores=0)
        self.use(cores=1)
        self.assertEqual(((3, 0), (3, 0)), self.usages())

    def test_a_limit_that_is_lowered_while_it_counts_holds(self):
        def lower():
            self.driver.set_limits(
                self.context(), {'cores': 1}, project_id=helpers.PROJECT
            )

        self.cells.meanwhile = lower
        error = self.assertRaises(
            exception.OverQuota, self.reserve, limit=9, cores=2
        )
        self.assertEqual({'cores': 1}, error.limits)
        self.assertEqual(((0, 0), (0, 0)), self.usages())

    def test_rows_of_many_resources_are_made_by_all_at_once(self):
        names = ('cores', 'instances', 'ram', 'volumes')
        calls = [
            lambda order=order: self.reserve(**dict.fromkeys(order, 1))
            for order in (names, tuple(reversed(names))) * 3
        ]
        self.assertEqual(0, helpers.refused(helpers.race(*calls)))
        for name in names:
            self.assertEqual(((0, 6), (0, 6)), self.usages(name))


class RefreshTests:
    def test_a_count_outlives_the_refusal_that_follows_it(self):
        self.use(cores=9)
        self.cells.exist(cores=7)
        self.reset()
        error = self.assertRaises(
            exception.OverQuota, self.reserve, limit=8, cores=2
        )
        self.assertEqual({'cores': 7}, error.usages)
        self.assertEqual(((7, 0), (7, 0)), self.usages())
        self.assertFalse(self.is_due())

    def test_what_was_counted_decides_at_once(self):
        self.use(cores=9)
        self.reset()
        self.reserve(limit=8, cores=2)
        self.assertEqual(((0, 2), (0, 2)), self.usages())

    def test_a_usage_of_a_day_or_more_is_old(self):
        self.option('max_age', 3600)
        self.use(cores=9)
        for age, asked in ((3599, 0), (1, 2), (DAY + 10, 2), (3 * DAY, 2)):
            self.clock.advance(age)
            self.cells.asked.clear()
            self.use(cores=0)
            self.assertEqual(asked, len(self.cells.asked), age)

    def test_a_usage_counts_after_so_many_reservations(self):
        self.option('until_refresh', 3)
        asked = []
        for _ in range(8):
            self.cells.asked.clear()
            self.use(cores=1)
            asked.append(bool(self.cells.asked))
        self.assertEqual([True, False, False] * 2 + [True, False], asked)

    def test_a_lower_number_of_reservations_holds_at_once(self):
        self.option('until_refresh', 100)
        self.use(cores=1)
        self.option('until_refresh', 2)
        asked = []
        for _ in range(4):
            self.cells.asked.clear()
            self.use(cores=1)
            asked.append(bool(self.cells.asked))
        self.assertEqual([False, False, True, False], asked)

    def test_a_number_that_is_set_later_starts_then(self):
        self.use(cores=1)
        self.option('until_refresh', 2)
        for expected in (False, False, True):
            self.cells.asked.clear()
            self.use(cores=1)
            self.assertEqual(expected, bool(self.cells.asked))

    def test_an_open_reservation_puts_a_count_off(self):
        handle = self.reserve(cores=2)
        self.cells.exist(cores=2)  # it has been created already
        self.reset()
        self.cells.asked.clear()
        self.use(cores=1)
        self.assertEqual([], self.cells.asked)
        self.assertEqual(((1, 2), (1, 2)), self.usages())
        self.assertTrue(self.is_due())
        self.assertEqual({'cores'}, self.refresh())
        self.commit(handle)
        self.assertEqual(((3, 0), (3, 0)), self.usages())
        self.cells.exist(cores=3)
        self.assertEqual(frozenset(), self.refresh())
        self.assertFalse(self.is_due())

    def test_an_open_negative_delta_puts_a_count_off(self):
        self.cells.exist(cores=5)
        self.use(cores=0)
        handle = self.reserve(cores=-2)
        self.cells.exist(cores=3)
        self.assertEqual({'cores'}, self.refresh())
        self.commit(handle)
        self.assertEqual(((3, 0), (3, 0)), self.usages())

    def test_what_was_reserved_while_the_cells_are_asked_counts_once(self):
        self.use(cores=0)
        handles = []

        def before():
            handles.append(self.reserve(cores=2))
            self.cells.exist(cores=2)  # it is counted

        self.cells.before = before
        self.assertEqual({'cores'}, self.refresh())
        self.assertEqual(((0, 2), (0, 2)), self.usages())
        self.commit(*handles)
        self.assertEqual(((2, 0), (2, 0)), self.usages())

    def test_changes_that_cancel_out_are_seen(self):
        self.cells.exist(cores=5)
        self.use(cores=0)

        def meanwhile():
            self.use(cores=2)
            self.use(cores=-2)

        self.cells.meanwhile = meanwhile
        self.cells.exist(cores=7)  # counted between the two
        self.assertEqual({'cores'}, self.refresh())
        self.assertEqual((5, 0), self.usage())

    def test_a_reset_while_the_cells_are_asked_stands(self):
        self.use(cores=1)
        self.cells.meanwhile = self.reset
        self.assertEqual({'cores'}, self.refresh())
        self.assertTrue(self.is_due())

    def test_an_expired_reservation_puts_no_count_off(self):
        self.reserve(cores=2, expire=10)
        self.clock.advance(11)
        self.cells.exist(cores=1)
        self.assertEqual(frozenset(), self.refresh())
        self.assertEqual(((1, 0), (1, 0)), self.usages())

    def test_all_users_are_refreshed_without_one(self):
        self.use(cores=1)
        self.use(user='other', cores=1)
        self.cells.exist(cores=4)
        self.cells.exist('other', cores=6)
        self.assertEqual(frozenset(), self.refresh(user=None))
        self.assertEqual((10, 0), self.usage())
        self.assertEqual((4, 0), self.usage(user=USER))
        self.assertEqual((6, 0), self.usage(user='other'))

    def test_no_lock_is_held_while_the_cells_are_asked(self):
        self.use(cores=1)
        self.reset()
        released = []

        def meanwhile():
            # Would wait for the lock, and be waited for.
            helpers.in_thread(lambda: released.append(self.use(cores=1)))

        self.cells.meanwhile = meanwhile
        self.use(cores=1)
        self.assertEqual([None], released)

    def test_refreshes_beside_reservations_lose_nothing(self):
        lock = threading.Lock()

        def create():
            for _ in range(6):
                handle = self.reserve(cores=1)
                with lock:
                    now = self.cells.truth.get((USER, 'cores'), 0)
                    self.cells.exist(cores=now + 1)
                self.commit(handle)

        def refresh():
            for _ in range(12):
                self.refresh()
                self.reset()

        helpers.refused(helpers.race(create, create, refresh))
        self.assertEqual(((12, 0), (12, 0)), self.usages())


class UnansweredTests:
    """A cell that does not answer: what is in it is unknown."""

    def be_down(self):
        self.cells.missing = {'cell2': 'it is away'}

    def test_refused_is_what_would_have_to_be_counted(self):
        self.cells.exist(cores=3)
        self.be_down()
        error = self.assertRaises(
            exception.CountIncomplete, self.reserve, cores=1
        )
        self.assertEqual(['cores'], error.resources)
        self.assertEqual({'cell2': 'it is away'}, error.missing)
        self.assertIsNone(self.usage())

    def test_refused_is_a_usage_that_is_due(self):
        self.cells.exist(cores=3)
        self.use(cores=0)
        self.reset()
        self.be_down()
        self.cells.exist(cores=1)
        self.assertRaises(exception.CountIncomplete, self.reserve, cores=1)
        self.assertRaises(exception.CountIncomplete, self.refresh)
        self.assertEqual(((3, 0), (3, 0)), self.usages())
        self.assertTrue(self.is_due())

    def test_what_need_not_be_counted_is_not_refused(self):
        self.cells.exist(cores=3)
        self.use(cores=0)
        self.be_down()
        self.use(cores=1)
        self.assertEqual(((4, 0), (4, 0)), self.usages())

    def test_kept_is_the_last_value(self):
        self.cells.exist(cores=3)
        self.option('unanswered_cells', 'keep')
        self.use(cores=0)
        self.reset()
        self.be_down()
        self.cells.exist(cores=1)
        self.use(cores=1)
        self.assertEqual(((4, 0), (4, 0)), self.usages())
        self.assertTrue(self.is_due())
        self.assertRaises(exception.CountIncomplete, self.refresh)

    def test_kept_is_nothing_where_nothing_is_known(self):
        self.cells.exist(cores=3)
        self.option('unanswered_cells', 'keep')
        self.be_down()
        self.assertRaises(exception.CountIncomplete, self.reserve, cores=1)
        self.assertIsNone(self.usage())

    def test_accepted_is_what_the_others_hold_until_all_answer(self):
        self.cells.exist(cores=3)
        self.option('unanswered_cells', 'accept')
        self.be_down()
        self.use(cores=1)
        self.assertEqual(((4, 0), (4, 0)), self.usages())
        self.assertTrue(self.is_due())
        self.cells.exist(cores=5)
        self.use(cores=0)
        self.assertEqual(((5, 0), (5, 0)), self.usages())
        self.assertTrue(self.is_due())
        self.cells.missing = {}
        self.cells.exist(cores=6)
        self.use(cores=0)
        self.assertEqual(((6, 0), (6, 0)), self.usages())
        self.assertFalse(self.is_due())

    def test_a_count_that_fails_is_one_that_nobody_answered(self):
        self.cells.exist(cores=3)
        self.use(cores=0)
        self.reset()
        self.cells.error = exception.DatabaseUnavailable('cell1', 'gone')
        self.assertRaises(exception.DatabaseUnavailable, self.reserve, cores=1)
        for choice in ('keep', 'accept'):
            self.option('unanswered_cells', choice)
            self.use(cores=1)
            self.assertTrue(self.is_due())
            self.assertRaises(
                exception.DatabaseUnavailable, self.reserve, ram=1
            )
        self.assertEqual(((5, 0), (5, 0)), self.usages())


class CountingTests(FirstTests, RefreshTests, UnansweredTests):
    pass


class TestCountingOnSqlite(CountingTests, helpers.QuotaTestCase):
    pass


class TestCountingOnMariaDB(CountingTests, helpers.QuotaTestCase):
    backend = 'mariadb'


class TestCountingOnPostgreSQL(CountingTests, helpers.QuotaTestCase):
    backend = 'postgresql'
