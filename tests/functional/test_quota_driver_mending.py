"""What the ``database`` quota driver makes of trouble, and how it tells."""

import datetime
import logging

import fixtures
import sqlalchemy as sa

import cellplug
from cellplug import exception
from cellplug import loader
from cellplug.db import prepared_writes
from cellplug.db.api import models
from tests.functional import helpers_deployment
from tests.functional import helpers_legacy
from tests.functional import helpers_quota_driver as helpers
from tests.functional.helpers_quota_driver import PROJECT
from tests.functional.helpers_quota_driver import USER

_PATIENCE = {'api_database.read_timeout': 2.0}


def lock_usage(connection, project_id):
    """As a process would that is frozen within a transaction."""
    usages = models.quota_usages
    connection.execute(
        sa.update(usages)
        .where(usages.c.project_id == project_id)
        .values(version=usages.c.version + 1)
    )


class Elsewhere:
    def reserve_elsewhere(self, project='elsewhere', **more):
        return self.driver.reserve(
            self.context(),
            {'cores': 1},
            project_id=project,
            user_id=None,
            defaults={},
            count=self.cells.count,
            **more,
        )


class ClampTests:
    """A usage that would fall below zero: the books were wrong."""

    def test_a_creation_that_commits_behind_its_deletion_is_counted(self):
        self.use(cores=0)
        creation = self.reserve(cores=1)
        self.use(cores=-1)  # it was created, and is gone already
        self.assertEqual(((0, 1), (0, 1)), self.usages())
        self.assertTrue(self.is_due())
        self.assertTrue(self.is_due(user=USER))
        self.commit(creation)
        self.reserve(limit=1, cores=1)
        self.assertEqual(((0, 1), (0, 1)), self.usages())

    def test_a_rollback_that_finds_less_reserved_has_it_counted(self):
        handle = self.reserve(cores=2)
        self.change_usages(reserved=1)
        self.rollback(handle)
        self.assertEqual(((0, 0), (0, 0)), self.usages())
        self.assertTrue(self.is_due())

    def test_of_the_total_and_the_user_the_one_that_is_wrong_is_counted(self):
        wrong = ('', USER)
        for user, other in (wrong, wrong[::-1]):
            handle = self.reserve(cores=2, disk=2)
            self.change_one(user, reserved=1)
            self.commit(handle)
            self.assertTrue(self.is_due(user=user or None))
            self.assertFalse(self.is_due(user=other or None))
            self.assertEqual(((2, 0), (2, 0)), self.usages())
            self.assertEqual(((2, 0), (2, 0)), self.usages('disk'))
            self.assertFalse(self.is_due('disk'))
            self.change_usages(in_use=0, refresh_due=False)

    def change_one(self, user, **values):
        """Change a usage of cores past cellplug."""
        of = models.quota_usages.c
        update = sa.update(models.quota_usages).where(
            of.user_id == user, of.resource == 'cores'
        )
        with helpers_deployment.past_cellplug(self.url) as connection:
            connection.execute(update, values)

    def test_an_ordinary_end_has_nothing_counted(self):
        self.use(cores=3)
        self.use(cores=-3)
        self.rollback(self.reserve(cores=1))
        self.assertFalse(self.is_due())


class ExpiryTests(Elsewhere):
    def test_none_is_born_expired(self):
        now = self.clock.now
        for expire in (
            0,
            -1,
            datetime.timedelta(seconds=-60),
            datetime.datetime.fromtimestamp(now, datetime.UTC),
        ):
            error = self.assertRaises(
                exception.InvalidInput, self.reserve, expire=expire, cores=1
            )
            self.assertIn('expire', str(error))
        self.assertEqual([], self.cells.asked)
        self.assertEqual([], self.stored(models.reservations, 'uuid'))

    def test_time_runs_from_the_moment_it_is_taken(self):
        self.cells.before = lambda: self.clock.advance(100)  # slow cells
        self.reserve(expire=60, cores=1)
        self.assertEqual(0, self.expire())
        self.clock.advance(60)
        self.assertEqual(1, self.expire())

    def test_a_moment_that_passed_while_it_counted_is_refused(self):
        self.cells.before = lambda: self.clock.advance(100)
        moment = datetime.datetime.fromtimestamp(
            self.clock.now + 60, datetime.UTC
        )
        self.assertRaises(
            exception.InvalidInput, self.reserve, expire=moment, cores=1
        )
        self.assertEqual(((0, 0), (0, 0)), self.usages())

    def test_one_that_fails_hides_no_other(self):
        handles = [self.reserve(expire=10 + n, cores=1) for n in range(5)]
        self.clock.advance(60)
        broken = self.fail_to_end(handles[0], handles[3])
        for left in (2, 2):
            error = self.assertRaises(exception.CellplugError, self.expire)
            self.assertIs(broken[handles[0]], error)
            self.assertEqual((0, left), self.usage())
        broken.clear()
        self.assertEqual(2, self.expire())
        self.assertEqual((0, 0), self.usage())

    def test_what_stays_locked_costs_a_few_waits_at_most(self):
        handles = [self.reserve(expire=10, cores=1) for _ in range(9)]
        other = self.reserve_elsewhere(expire=20)
        self.clock.advance(60)
        broken = self.fail_to_end(*handles)
        self.assertRaises(exception.CellplugError, self.expire)
        self.assertEqual(3, len(self.tried & set(handles)))
        self.assertIn(other, self.tried)
        broken.clear()
        self.assertEqual(9, self.expire())

    def test_a_reservation_waits_for_one_failure_only(self):
        handles = [self.reserve(expire=10, cores=1) for _ in range(9)]
        self.clock.advance(60)
        self.fail_to_end(*handles)
        self.assertRaises(
            exception.CellplugError, self.reserve, limit=9, cores=1
        )
        self.assertEqual(1, len(self.tried))

    def test_a_reservation_ends_a_bounded_number(self):
        for _ in range(130):
            self.reserve(expire=10, cores=1)
        self.clock.advance(60)
        self.assertRaises(exception.OverQuota, self.reserve, limit=30, cores=1)
        self.assertEqual((0, 30), self.usage())
        self.reserve(limit=30, cores=1)
        self.assertEqual((0, 1), self.usage())

    def test_a_refresh_ends_all_that_is_late(self):
        for _ in range(130):
            self.reserve(expire=10, cores=1)
        self.clock.advance(60)
        self.cells.exist(cores=7)
        self.assertEqual(frozenset(), self.refresh())
        self.assertEqual(((7, 0), (7, 0)), self.usages())

    def fail_to_end(self, *handles):
        """Have these fail; the errors, by handle, as long as they stand."""
        endings = self.driver._endings
        end = endings._end
        broken = {
            one: exception.TransactionConflict('end', 3, 1.0)
            for one in handles
        }
        self.tried = set()

        def fail(context, handle, *more):
            self.tried.add(handle)
            if handle in broken:
                raise broken[handle]
            return end(context, handle, *more)

        endings._end = fail
        return broken


class FrozenTests(Elsewhere):
    """A process that is frozen, with a usage locked."""

    options = _PATIENCE

    def test_the_reservations_of_others_expire(self):
        self.reserve(expire=10, cores=1)
        usages = models.quota_usages
        self.reserve_elsewhere('other', expire=20)
        self.clock.advance(60)
        with helpers_deployment.past_cellplug(self.url) as connection:
            connection.exec_driver_sql('BEGIN')
            lock_usage(connection, PROJECT)
            self.assertRaises(exception.CellplugError, self.expire)
            connection.exec_driver_sql('ROLLBACK')
        left = dict(self.stored(usages, 'project_id', 'reserved'))
        self.assertEqual({PROJECT: 1, 'other': 0}, left)
        self.assertEqual(1, self.expire())


class KeptTests:
    """What is passed over is told; what is broken is not passed over."""

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(
            fixtures.FakeLogger('cellplug_drivers', level=logging.WARNING)
        )

    def test_a_broken_count_is_never_passed_over(self):
        self.use(cores=3)
        self.reset()
        self.cells.error = exception.InvalidInput('sync', 'it is broken')
        for choice in ('refuse', 'keep', 'accept'):
            self.option('unanswered_cells', choice)
            self.assertRaises(exception.InvalidInput, self.reserve, cores=1)
        self.assertEqual(((3, 0), (3, 0)), self.usages())
        self.assertTrue(self.is_due())

    def test_what_is_kept_is_logged_once(self):
        self.use(cores=3, ram=1)
        self.option('unanswered_cells', 'keep')
        self.reset('cores', 'ram')
        self.cells.missing = {'cell2': 'it is away'}
        self.use(cores=1, ram=1)
        [line] = self.log.output.splitlines()
        for word in (PROJECT, 'cores', 'ram', 'cell2', 'it is away'):
            self.assertIn(word, line)

    def test_a_count_that_failed_is_logged_too(self):
        self.use(cores=3)
        self.reset()
        self.cells.error = exception.DatabaseUnavailable('cell1', 'gone')
        self.option('unanswered_cells', 'accept')
        self.use(cores=1)
        [line] = self.log.output.splitlines()
        self.assertIn('cell1', line)

    def test_what_cannot_be_counted_for_long_is_logged_now_and_then(self):
        self.use(cores=0)
        self.reserve(cores=1)
        self.reset()
        for _ in range(5):
            self.use(cores=1)
        [line] = self.log.output.splitlines()
        for word in (PROJECT, 'cores', 'open'):
            self.assertIn(word, line)
        self.clock.advance(3600)
        self.use(cores=1)
        self.assertEqual(2, len(self.log.output.splitlines()))

    def test_nothing_is_logged_of_what_was_counted(self):
        self.use(cores=1)
        self.reset()
        self.use(cores=1)
        self.assertEqual('', self.log.output)


class LimitsOfNowTests:
    def set(self, **limits):
        self.driver.set_limits(self.context(), limits, project_id=PROJECT)

    def test_a_limit_that_is_raised_while_it_counts_holds(self):
        self.cells.exist(cores=2)
        self.set(cores=2)
        self.cells.meanwhile = lambda: self.set(cores=20)
        self.reserve(cores=1)
        self.assertEqual(((2, 1), (2, 1)), self.usages())

    def test_a_usage_counted_in_the_future_is_due(self):
        self.option('max_age', 60)
        self.clock.advance(3600)
        self.use(cores=1)
        self.clock.advance(-3600)  # that clock was ahead
        self.cells.asked.clear()
        self.use(cores=1)
        self.assertEqual(2, len(self.cells.asked))
        self.cells.asked.clear()
        self.clock.advance(-1)  # one that is behind by a little
        self.use(cores=1)
        self.assertEqual([], self.cells.asked)

    def test_a_refresh_does_not_ask_for_users_that_have_nothing(self):
        self.use(cores=1, ram=1)
        self.cells.exist(cores=2, ram=2)
        self.cells.asked.clear()
        self.driver.refresh(
            self.context(),
            ['cores', 'ram'],
            project_id=PROJECT,
            count=self.cells.count,
            per_project=['ram'],
        )
        self.assertEqual(
            [(None, ('cores', 'ram')), (USER, ('cores',))], self.cells.asked
        )
        self.assertEqual((2, 0), self.usage('ram'))


class MendingTests(ClampTests, ExpiryTests, KeptTests, LimitsOfNowTests):
    pass


class TestMendingOnSqlite(MendingTests, helpers.QuotaTestCase):
    def test_a_plain_refusal_is_cheap(self):
        """The UPDATE that finds no room, the limits, and one look why."""
        self.use(cores=1)
        self.set(cores=1)
        seen = self._statements()
        self.assertRaises(exception.OverQuota, self.reserve, cores=1)
        self.assertEqual(['UPDATE', 'SELECT', 'SELECT'], seen)

    def test_what_is_admitted_is_not_looked_up_before(self):
        self.use(cores=1)
        seen = self._statements()
        self.reserve(cores=1)
        self.assertEqual(['UPDATE', 'UPDATE', 'INSERT'], seen)

    def _statements(self):
        """The first words of those to come."""
        seen = []

        def see(connection, cursor, statement, *more):
            if not statement.startswith('BEGIN'):
                seen.append(statement.split()[0])

        sa.event.listen(self.engine(), 'before_cursor_execute', see)
        return seen


class TestEndsTogether(helpers.QuotaTestCase):
    """The total and the user's usage, changed by one statement."""

    backend = 'mariadb'

    def updates(self, act):
        """How many usages each UPDATE found to change."""
        found = []
        change = prepared_writes.Change.change

        def observed(this, session, values):
            found.append(change(this, session, values))
            return found[-1]

        with fixtures.MonkeyPatch(
            'cellplug.db.prepared_writes.Change.change', observed
        ):
            act()
        return found

    def test_two_of_one_resource_at_a_time(self):
        handle = self.reserve(cores=2, disk=3)
        self.assertEqual([2, 2], self.updates(lambda: self.commit(handle)))
        self.assertEqual(((2, 0), (2, 0)), self.usages())
        self.assertEqual(((3, 0), (3, 0)), self.usages('disk'))

    def test_not_where_their_keys_are_in_another_order(self):
        handle = self.reserve(cores=2)
        with helpers_deployment.past_cellplug(self.url) as connection:
            connection.execute(self.moved(models.reservations, 'usage_id'))
            connection.execute(self.moved(models.quota_usages, 'id'))
        self.assertEqual([1, 1], self.updates(lambda: self.commit(handle)))
        self.assertEqual(((2, 0), (2, 0)), self.usages())

    def moved(self, table, name):
        """The lower of the two ids becomes the higher one."""
        first = min(self.stored(models.quota_usages, 'id'))[0]
        column = table.c[name]
        return (
            sa.update(table)
            .where(column == first)
            .values({name: first + 1000})
        )


class TestMendingOnMariaDB(MendingTests, helpers.QuotaTestCase):
    backend = 'mariadb'


class TestMendingOnPostgreSQL(MendingTests, helpers.QuotaTestCase):
    backend = 'postgresql'


class TestFrozenOnMariaDB(FrozenTests, helpers.QuotaTestCase):
    backend = 'mariadb'


class TestFrozenOnPostgreSQL(FrozenTests, helpers.QuotaTestCase):
    backend = 'postgresql'


class TestFallback(helpers_legacy.LegacyTestCase):
    """Limits of which some may still stand in a cell."""

    backend = 'sqlite'

    def setUp(self):
        super().setUp()
        self.deploy_legacy(1)
        self.legacy[0].add('quotas', 'other', 'cores', 1)
        loaded = loader.load_options('quota', 'database')
        self.deployment.conf.register_opts(loaded, 'quota_database')
        self.deployment.conf.set_override(
            'fallback_cells', ['cell1'], 'quota_database'
        )

    def reserve_while(self, limit, then):
        """Reserve one beside two, while the limit changes."""
        quotas = self.router.quotas

        def sync(context, project_id, user_id):
            quotas.set_limits(
                self.context(), cores=then, project_id='p', force=True
            )
            return {'cores': 2}

        quotas.register_resource(
            cellplug.ReservableResource('cores', default=limit, sync=sync)
        )
        context = self.context(user_id='u', project_id='p')
        return quotas.reserve(context, cores=1)

    def test_a_limit_that_is_lowered_while_it_counts_holds(self):
        error = self.assertRaises(
            exception.OverQuota, self.reserve_while, 20, 2
        )
        self.assertEqual({'cores': 2}, error.limits)

    def test_a_limit_that_is_raised_while_it_counts_holds(self):
        self.reserve_while(2, 20)
