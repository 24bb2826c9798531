"""Reserving and ending with the ``database`` quota driver."""

import contextlib
import itertools
import os
import random
import signal
import uuid

import fixtures
import sqlalchemy as sa

from cellplug import exception
from cellplug.db import prepared_writes
from cellplug.db import retry
from cellplug.db.api import models
from tests.functional import databases
from tests.functional import helpers_deployment
from tests.functional import helpers_quota_driver as helpers
from tests.functional.helpers_quota_driver import PROJECT
from tests.functional.helpers_quota_driver import USER

UNKNOWN = ('', 'no handle', str(uuid.uuid4()).upper(), 'x\0', None, 7)


class ReserveTests:
    def test_nothing_is_taken_if_one_resource_is_over(self):
        self.driver.set_limits(
            self.context(), {'ram': 4, 'disk': 1}, project_id=PROJECT
        )
        self.use(cores=1, ram=3, disk=1)
        error = self.assertRaises(
            exception.OverQuota, self.reserve, cores=1, ram=2, disk=1
        )
        self.assertEqual(['disk', 'ram'], error.overs)
        self.assertEqual({'cores': -1, 'disk': 1, 'ram': 4}, error.limits)
        self.assertEqual({'cores': 1, 'disk': 1, 'ram': 3}, error.usages)
        self.assertEqual({'cores': -1, 'disk': 0, 'ram': 1}, error.headroom)
        for name, used in (('cores', 1), ('ram', 3), ('disk', 1)):
            self.assertEqual(((used, 0), (used, 0)), self.usages(name))
        self.assertEqual([], self.stored(models.reservations, 'uuid'))

    def test_the_scope_with_less_room_speaks(self):
        limits = self.driver.set_limits
        limits(self.context(), {'cores': 10}, project_id=PROJECT)
        limits(self.context(), {'cores': 4}, project_id=PROJECT, user_id=USER)
        self.use(user='other', cores=5)
        self.use(cores=2)
        error = self.assertRaises(exception.OverQuota, self.reserve, cores=3)
        self.assertEqual({'cores': 4}, error.limits)
        self.assertEqual({'cores': 2}, error.usages)
        self.assertEqual({'cores': 2}, error.headroom)
        self.use(user='other', cores=2)
        error = self.assertRaises(exception.OverQuota, self.reserve, cores=3)
        self.assertEqual({'cores': 10}, error.limits)
        self.assertEqual({'cores': 1}, error.headroom)

    def test_headroom_is_never_negative(self):
        self.use(cores=5)
        error = self.assertRaises(
            exception.OverQuota, self.reserve, limit=3, cores=0
        )
        self.assertEqual({'cores': 0}, error.headroom)
        self.assertEqual({'cores': 5}, error.usages)

    def test_a_negative_delta_is_admitted_above_the_limit(self):
        self.use(cores=5)
        handle = self.reserve(limit=3, cores=-1)
        self.assertEqual(((5, 0), (5, 0)), self.usages())
        self.commit(handle)
        self.assertEqual(((4, 0), (4, 0)), self.usages())

    def test_without_any_limit_nothing_is_refused(self):
        handle = self.driver.reserve(
            self.context(),
            {'cores': 10**9},
            project_id=PROJECT,
            user_id=USER,
            defaults={},
            count=self.cells.count,
        )
        self.commit(handle)
        self.assertEqual((10**9, 0), self.usage())

    def test_what_the_columns_cannot_hold_is_over(self):
        self.cells.exist(cores=2**63 - 10)
        error = self.assertRaises(exception.OverQuota, self.reserve, cores=10)
        self.assertEqual(['cores'], error.overs)
        self.use(cores=9)
        self.assertEqual((2**63 - 1, 0), self.usage())

    def test_many_resources_are_one_reservation(self):
        names = [f'resource{number:02}' for number in range(20)]
        handle = self.reserve(**dict.fromkeys(names, 1))
        self.assertEqual(40, len(self.stored(models.reservations, 'id')))
        self.commit(handle)
        self.assertEqual(((1, 0), (1, 0)), self.usages(names[-1]))

    def test_an_empty_reservation_is_refused(self):
        self.assertRaises(exception.InvalidInput, self.reserve)

    def test_what_is_no_time_is_refused_before_anything_is_counted(self):
        for expire in ('soon', True, float('nan'), 10**20):
            self.assertRaises(
                exception.InvalidInput, self.reserve, expire=expire, cores=1
            )
        self.assertEqual([], self.cells.asked)

    def test_a_default_expiry_is_an_option(self):
        self.option('reservation_expire', 60)
        self.reserve(cores=1)
        self.clock.advance(59)
        self.assertEqual(0, self.expire())
        self.clock.advance(1)
        self.assertEqual(1, self.expire())

    def test_rows_are_locked_by_resource_and_the_total_first(self):
        self.reserve(ram=1, cores=1)
        usages = self.stored(models.quota_usages, 'id', 'resource', 'user_id')
        by_id = {one: (name, user) for one, name, user in usages}
        rows = self.stored(models.reservations, 'usage_id')
        self.assertEqual(
            [('cores', ''), ('cores', USER), ('ram', ''), ('ram', USER)],
            [by_id[usage] for (usage,) in rows],
        )


class EndTests:
    def test_another_user_may_commit(self):
        handle = self.reserve(cores=2)
        stranger = self.context(user_id='stranger', project_id='elsewhere')
        self.driver.commit(stranger, handle)
        self.assertEqual(((2, 0), (2, 0)), self.usages())

    def test_a_commit_after_the_expiry_is_an_error(self):
        handle = self.reserve(cores=2, expire=10)
        self.clock.advance(11)
        self.assertEqual(1, self.expire())
        error = self.assertRaises(
            exception.ReservationNotFound, self.commit, handle
        )
        self.assertEqual(handle, error.handle)
        self.assertEqual(((0, 0), (0, 0)), self.usages())
        self.assertTrue(self.is_due())

    def test_until_it_has_expired_a_late_commit_counts(self):
        handle = self.reserve(cores=2, expire=10)
        self.clock.advance(3600)
        self.commit(handle)
        self.assertEqual(((2, 0), (2, 0)), self.usages())

    def test_a_second_end_changes_nothing(self):
        handle = self.reserve(cores=2)
        self.commit(handle)
        self.assertRaises(exception.ReservationNotFound, self.commit, handle)
        self.rollback(handle)
        self.assertEqual(((2, 0), (2, 0)), self.usages())

    def test_what_is_no_handle_never_was_a_reservation(self):
        self.use(cores=1)
        for handle in (*UNKNOWN, str(uuid.uuid4())):
            self.assertRaises(
                exception.ReservationNotFound, self.commit, handle
            )
            self.rollback(handle)

    def test_a_usage_below_zero_is_zero_and_logged(self):
        log = self.useFixture(fixtures.FakeLogger('cellplug'))
        self.use(cores=1)
        self.commit(self.reserve(cores=-3))
        self.assertEqual(((0, 0), (0, 0)), self.usages())
        self.assertIn('below zero', log.output)
        handle = self.reserve(cores=2)
        self.change_usages(reserved=1)
        self.rollback(handle)
        self.assertEqual(((0, 0), (0, 0)), self.usages())

    def test_nothing_is_logged_of_an_ordinary_end(self):
        log = self.useFixture(fixtures.FakeLogger('cellplug'))
        self.use(cores=3)
        self.use(cores=-3)
        self.rollback(self.reserve(cores=1))
        self.assertEqual('', log.output)

    def test_commit_and_expiry_of_one_reservation_exclude_each_other(self):
        expected = 0
        for _ in range(10):
            handle = self.reserve(cores=1, expire=1)
            self.clock.advance(2)
            outcomes = helpers.race(
                lambda handle=handle: self.commit(handle),
                self.expire,
                self.expire,
            )
            committed = outcomes[0] is None
            expired = sum(outcomes[1:])
            self.assertEqual(1, committed + expired, outcomes)
            expected += committed
            self.cells.exist(cores=expected)
            self.assertEqual(((expected, 0), (expected, 0)), self.usages())

    def test_a_crash_costs_a_wait_without_anybody_expiring(self):
        self.reserve(limit=2, cores=2, expire=60)
        self.assertRaises(exception.OverQuota, self.reserve, limit=2, cores=1)
        self.cells.exist(cores=1)  # it crashed when one of two was there
        self.clock.advance(61)
        self.use(limit=2, cores=1)
        self.assertEqual(((2, 0), (2, 0)), self.usages())
        self.assertRaises(exception.OverQuota, self.reserve, limit=2, cores=1)

    def test_many_late_ones_expire_by_several_at_once(self):
        for _ in range(120):
            self.reserve(cores=1, ram=1, expire=1)
        self.clock.advance(2)
        outcomes = helpers.race(self.expire, self.expire, self.expire)
        self.assertEqual(120, sum(outcomes))
        for name in ('cores', 'ram'):
            self.assertEqual(((0, 0), (0, 0)), self.usages(name))

    def test_a_usage_that_was_deleted_harms_nobody(self):
        handle = self.reserve(cores=1)
        with helpers_deployment.past_cellplug(self.url) as connection:
            connection.execute(sa.delete(models.quota_usages))
        self.commit(handle)
        self.cells.exist(cores=1)
        self.use(cores=1)
        self.assertEqual(((2, 0), (2, 0)), self.usages())

    def test_a_database_without_returning_claims_by_a_lock(self):
        self.engine().dialect.delete_returning = False
        self.addCleanup(
            setattr, self.engine().dialect, 'delete_returning', True
        )
        handle = self.reserve(cores=1, ram=2)
        outcomes = helpers.race(
            *(lambda: self.commit(handle) for _ in range(4))
        )
        self.assertEqual(1, outcomes.count(None))
        self.assertEqual(((1, 0), (1, 0)), self.usages())
        self.assertEqual([], self.stored(models.reservations, 'uuid'))


class TogetherTests:
    """Many at once."""

    def test_a_limit_holds_for_many_who_want_more(self):
        self.use(cores=0)

        def work():
            won = 0
            for _ in range(6):
                with contextlib.suppress(exception.OverQuota):
                    self.commit(self.reserve(limit=20, cores=1))
                    won += 1
            return won

        outcomes = helpers.race(*[work] * 6)
        self.assertEqual(0, helpers.refused(outcomes))
        self.assertEqual(20, sum(outcomes))
        self.assertEqual(((20, 0), (20, 0)), self.usages())

    def test_nobody_deadlocks_whatever_they_do(self):
        names = ('cores', 'disk', 'ram')
        orders = list(itertools.permutations(names))
        self.option('until_refresh', 5)

        def work(seed):
            dice = random.Random(seed)
            user = f'user{seed % 2}'
            for _ in range(8):
                deltas = dict.fromkeys(dice.choice(orders), 1)
                handle = self.reserve(user=user, **deltas)
                dice.choice((self.commit, self.rollback))(handle)
                self.reserve(user=user, expire=1, **deltas)
                self.clock.advance(2)
                dice.choice(
                    (self.expire, self.reset, lambda: self.refresh(*names))
                )()

        with self.conflicts() as conflicts:
            outcomes = helpers.race(
                *(lambda seed=seed: work(seed) for seed in range(5))
            )
        self.assertEqual([None] * 5, outcomes)
        self.assertEqual([], conflicts)
        self.expire()
        for name in names:
            total = self.usage(name)
            self.assertEqual(0, total[1])

    def test_a_lost_conflict_is_repeated(self):
        """A deadlock that somebody else causes, by another order."""
        self.use(a=0, b=0)
        rows = {
            name: one
            for one, name, user in self.stored(
                models.quota_usages, 'id', 'resource', 'user_id'
            )
            if not user
        }
        update = sa.text('UPDATE quota_usages SET version = -1 WHERE id = :id')
        other = self.database.api.writer.connection
        context = self.context()
        outcome = []
        with contextlib.suppress(Exception), other.using(context) as theirs:
            theirs.execute(update, {'id': rows['b']})
            with databases.in_background(
                lambda: self.use(a=1, b=1)
            ) as outcome:
                databases.wait_until_one_waits(self.engine())
                # Whichever of the two is the victim.
                theirs.execute(update, {'id': rows['a']})
                theirs.rollback()
        self.assertEqual([None], outcome)
        self.assertEqual((1, 0), self.usage('b'))
        self.assertEqual((1, 0), self.usage('a'))


class LossTests:
    """The database goes away at the worst moments."""

    def at_commit(self, action):
        """Do something just before the next COMMIT is sent."""
        actions = [action]

        def listen(connection):
            if actions:
                actions.pop()()

        sa.event.listen(self.engine(), 'commit', listen)

    def kill(self):
        helpers_deployment.kill_connections(self.url)

    def test_a_reservation_lost_at_its_commit_holds_nothing_for_ever(self):
        self.use(cores=1)
        self.at_commit(self.kill)
        self.assertRaises(
            exception.DatabaseUnavailable, self.reserve, cores=2, expire=60
        )
        self.clock.advance(61)
        self.expire()
        self.assertEqual(0, self.usage()[1])
        self.use(cores=1)

    def test_a_commit_that_was_lost_can_be_tried_again(self):
        handle = self.reserve(cores=1)
        self.at_commit(self.kill)
        self.assertRaises(exception.DatabaseUnavailable, self.commit, handle)
        self.commit(handle)
        self.assertEqual(((1, 0), (1, 0)), self.usages())

    def test_a_process_that_is_killed_holds_until_the_expiry(self):
        self.use(cores=0)

        def be_killed():
            self.reserve(limit=3, cores=1, expire=60)
            self.at_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
            self.reserve(limit=3, cores=1, expire=60)

        codes = databases.in_processes(be_killed, (), ())
        self.assertEqual([-signal.SIGKILL] * 2, codes)
        self.assertEqual(((0, 2), (0, 2)), self.usages())
        self.clock.advance(61)
        self.use(limit=3, cores=3)
        self.assertEqual(((3, 0), (3, 0)), self.usages())


class DriverTests(ReserveTests, EndTests, TogetherTests):
    pass


class LevelTests:
    """The limit that holds, where usages are known: the first that is set."""

    def hold(self, most, **who):
        """So much may be reserved at once, and not one more."""
        error = self.assertRaises(
            exception.OverQuota, self.reserve, limit=9, cores=most + 1, **who
        )
        self.assertEqual({'cores': most}, error.limits)
        self.rollback(self.reserve(limit=9, cores=most, **who))

    def set_class(self, name, limit):
        self.driver.set_class_limits(
            self.context(), {'cores': limit}, quota_class=name
        )

    def set(self, limit, user=None):
        self.driver.set_limits(
            self.context(),
            {'cores': limit},
            project_id=helpers.PROJECT,
            user_id=user,
        )

    def test_each_level_comes_before_the_next(self):
        self.use(cores=0)
        self.hold(9)
        self.hold(9, quota_class='gold')
        self.set_class('default', 8)
        self.hold(8)
        self.hold(8, quota_class='gold')
        self.hold(8, quota_class='default')
        self.set_class('gold', 7)
        self.hold(8)
        self.hold(7, quota_class='gold')
        self.set(6)
        self.hold(6)
        self.hold(6, quota_class='gold', user=None)
        self.set(5, helpers.USER)
        self.hold(5)
        self.hold(6, user=None)

    def test_unlimited_is_a_limit_that_comes_before_the_next(self):
        self.use(cores=0)
        self.set_class('default', 1)
        self.set(-1)
        self.rollback(self.reserve(limit=1, cores=100))
        self.set(2, helpers.USER)
        self.hold(2)
        self.set(0)
        self.set(-1, helpers.USER)
        self.hold(0)

    def test_what_gives_back_needs_no_limit(self):
        self.use(cores=5)
        self.set(0)
        self.commit(self.reserve(cores=-2))
        self.assertEqual(((3, 0), (3, 0)), self.usages())


class TestDriverOnSqlite(DriverTests, LevelTests, helpers.QuotaTestCase):
    test_a_lost_conflict_is_repeated = None  # there is one writer


class TestDriverOnMariaDB(
    DriverTests, LevelTests, LossTests, helpers.QuotaTestCase
):
    backend = 'mariadb'


class TestDriverOnPostgreSQL(
    DriverTests, LevelTests, LossTests, helpers.QuotaTestCase
):
    backend = 'postgresql'


class TestClusterErrors(helpers.QuotaTestCase):
    """What a Galera node says, said by a server that is none."""

    backend = 'mariadb'

    def setUp(self):
        super().setUp()
        self.ask = self.database.api.writer.connection(self.signal)

    def signal(self, context, number, text, direct):
        """Have the server raise it, asked in either way."""
        statement = sa.text(
            f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, "
            f"MESSAGE_TEXT = '{text}'"
        )
        if direct:
            prepared_writes.Change(statement).change(context.session, {})
        context.session.execute(statement)

    def errors(self, number, text):
        for direct in (False, True):
            try:
                self.ask(self.context(), number, text, direct)
            except Exception as exc:
                yield exc
            else:
                self.fail('the server raised nothing')

    def test_certification_conflicts_are_conflicts(self):
        for text in (
            'WSREP detected deadlock/conflict and aborted the transaction',
            'Deadlock: wsrep aborted transaction',
        ):
            for error in self.errors(1213, text):
                self.assertTrue(retry.is_conflict(error), error)

    def test_a_node_that_is_not_ready_is_unavailable(self):
        text = 'WSREP has not yet prepared node for application use'
        for error in self.errors(1047, text):
            self.assertIsInstance(error, exception.DatabaseUnavailable)
