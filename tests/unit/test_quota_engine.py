"""Reserving, committing, rolling back, and checking without reserving."""

from __future__ import annotations

import datetime

import cellplug
from cellplug import exception
from cellplug_drivers.quota import noop
from tests.unit import helpers_engine


class TestReserving(helpers_engine.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.register(instances=5, cores=10)

    def reserve(self, *args, **more):
        return self.quotas.reserve(self.context, *args, **more)

    def test_what_is_reserved_counts_until_it_is_committed(self):
        handle = self.reserve(instances=2)
        self.assertEqual((5, 0, 2), self.usage())
        self.assertEqual((5, 0, 2), self.usage(user_id='u'))
        self.quotas.commit(self.context, handle)
        self.assertEqual((5, 2, 0), self.usage())

    def test_what_is_rolled_back_is_free_again(self):
        self.quotas.rollback(self.context, self.reserve(instances=2))
        self.assertEqual((5, 0, 0), self.usage())

    def test_a_handle_is_a_string_that_anybody_may_commit(self):
        handle = self.reserve(instances=2)
        self.assertIsInstance(handle, str)
        stranger = cellplug.RequestContext()
        self.quotas.commit(stranger, handle)
        self.assertEqual((5, 2, 0), self.usage())
        self.assertRaises(
            exception.ReservationNotFound, self.quotas.commit, stranger, handle
        )

    def test_a_request_that_reserved_or_committed_has_done_something(self):
        before = self.context._request_state.acted
        handle = self.reserve(instances=2)
        reserved = self.context._request_state.acted
        self.assertIsNot(before, reserved)
        self.quotas.commit(self.context, handle)
        self.assertIsNot(reserved, self.context._request_state.acted)

    def test_deltas_stand_in_a_mapping_or_in_arguments_or_in_both(self):
        self.reserve({'instances': 1}, cores=2)
        self.assertEqual((5, 0, 1), self.usage('instances'))
        self.assertEqual((10, 0, 2), self.usage('cores'))

    def test_a_resource_may_be_called_like_an_argument(self):
        self.truth.all |= {'expire': 0, 'project_id': 0}
        self.register(expire=5, project_id=5)
        self.reserve({'expire': 1, 'project_id': 2})
        self.assertEqual((5, 0, 2), self.usage('project_id'))

    def test_over_quota_says_how_much_could_be_had(self):
        self.reserve(instances=2)
        error = self.assertRaises(
            exception.OverQuota, self.reserve, instances=4, cores=4
        )
        self.assertEqual(['instances'], error.overs)
        self.assertEqual(3, error.headroom['instances'])
        self.assertEqual(5, error.limits['instances'])
        self.assertEqual(2, error.usages['instances'])
        self.assertEqual((10, 0, 0), self.usage('cores'))

    def test_users_have_a_share_of_their_own(self):
        self.quotas.set_limits(
            self.context, project_id='p', user_id='u', instances=1
        )
        self.reserve(instances=1)
        error = self.assertRaises(
            exception.OverQuota, self.reserve, instances=1
        )
        self.assertEqual(0, error.headroom['instances'])
        self.reserve(instances=4, user_id='other')
        self.assertEqual((5, 0, 5), self.usage())

    def test_for_another_project_no_user_is_assumed(self):
        self.reserve(instances=2, project_id='q')
        found = self.quotas.get_reservations(self.context, 'q')
        self.assertEqual([None], [one.user_id for one in found])
        self.reserve(instances=2, project_id='q', user_id='w')
        found = self.quotas.get_reservations(self.context, 'q', 'w')
        self.assertEqual([{'instances': 2}], [one.deltas for one in found])
        self.assertEqual((5, 0, 0), self.usage())

    def test_where_resources_are_the_projects_alone(self):
        self.quotas.register_resource(
            cellplug.ReservableResource(
                'networks',
                sync=lambda *_: {'networks': 1},
                default=3,
                per_project=True,
            )
        )
        self.quotas.commit(self.context, self.reserve(networks=1))
        self.assertEqual((3, 2, 0), self.usage('networks'))
        users = self.quotas.get_user_quotas(self.context, 'p', 'u')
        self.assertNotIn('networks', users)
        self.assertEqual(
            [], list(self.driver.get_usages(None, project_id='p', user_id='u'))
        )

    def test_a_quota_class_is_that_of_the_contexts_own_project(self):
        self.context.quota_class = 'gold'
        self.quotas.set_class_limits(self.context, 'gold', instances=8)
        self.reserve(instances=8)
        self.assertRaises(
            exception.OverQuota, self.reserve, instances=8, project_id='q'
        )

    def test_expire_is_seconds_a_timedelta_or_a_moment(self):
        now = datetime.datetime.fromtimestamp(self.now, datetime.UTC)
        later = now + datetime.timedelta(seconds=60)
        for expire in (
            60,
            60.0,
            datetime.timedelta(minutes=1),
            later,
            later.replace(tzinfo=None),
            later.astimezone(datetime.timezone(datetime.timedelta(hours=5))),
        ):
            self.reserve(instances=1, expire=expire)
            (found,) = self.quotas.get_reservations(self.context)
            self.assertEqual(later.replace(tzinfo=None), found.expire)
            self.quotas.rollback(self.context, found.handle)

    def test_a_reservation_ends_by_itself(self):
        handle = self.reserve(instances=2, expire=60)
        self.assertEqual(0, self.quotas.expire(self.context))
        self.now += 61
        self.assertEqual(1, self.quotas.expire(self.context))
        self.assertEqual((5, 0, 0), self.usage())
        self.assertRaises(
            exception.ReservationNotFound,
            self.quotas.commit,
            self.context,
            handle,
        )


class TestBadInput(helpers_engine.EngineTestCase):
    """One clear line, and nothing is written."""

    def setUp(self):
        super().setUp()
        self.register(instances=5, cores=10)
        self.quotas.register_resources(
            [
                cellplug.AbsoluteResource('files', default=3),
                cellplug.AbsoluteResource('keys', default=3),
                cellplug.CountableResource('ports', count=self.truth),
            ]
        )

    def refused(self, kind, call, *args, **more):
        error = self.assertRaises(kind, call, self.context, *args, **more)
        self.assertIsInstance(error, exception.InvalidInput)
        self.assertNotIn('\n', str(error))
        self.assertTrue(len(str(error)) < 300, str(error))
        self.assertEqual({}, self.driver.books.rows)
        self.assertEqual({}, self.driver.books.open)
        self.assertEqual({}, self.driver.books.limits)
        self.assertEqual([], self.truth.calls)
        return error

    def calls(self):
        """What takes amounts of resources, with its other arguments."""
        quotas = self.quotas

        def set_class_limits(context, *args, **more):
            quotas.set_class_limits(context, 'gold', *args, **more)

        return [
            (quotas.reserve, {}),
            (quotas.limit_check, {}),
            (quotas.count_check, {}),
            (quotas.set_limits, {'project_id': 'p'}),
            (set_class_limits, {}),
        ]

    def test_all_names_that_are_unknown_are_named_at_once(self):
        for call, more in self.calls():
            error = self.refused(
                exception.QuotaResourceUnknown,
                call,
                instances=1,
                instance=1,
                core=-9,
                **more,
            )
            self.assertEqual(['core', 'instance'], error.resources)

    def test_names_that_are_none_are_unknown_too(self):
        error = self.refused(
            exception.QuotaResourceUnknown,
            self.quotas.reserve,
            {1: 1, None: 1, 'a\nb': 1, '': 1, 'x' * 1000: 1},
        )
        self.assertEqual(5, len(error.resources))

    def test_all_names_of_another_kind_are_named_at_once(self):
        error = self.refused(
            exception.QuotaResourceWrongKind,
            self.quotas.reserve,
            instances=1,
            files=1,
            ports=1,
        )
        self.assertEqual(['files', 'ports'], error.resources)
        self.assertEqual('reservable', error.wanted)
        error = self.refused(
            exception.QuotaResourceWrongKind,
            self.quotas.count_check,
            files=1,
            ports=1,
            cores=1,
        )
        self.assertEqual(['cores', 'files'], error.resources)
        error = self.refused(
            exception.QuotaResourceWrongKind,
            self.quotas.limit_check,
            files=1,
            ports=1,
        )
        self.assertEqual(['ports'], error.resources)
        for call in (self.quotas.usage_refresh, self.quotas.usage_reset):
            error = self.refused(
                exception.QuotaResourceWrongKind,
                call,
                ['instances', 'files', 'ports'],
                project_id='p',
            )
            self.assertEqual(['files', 'ports'], error.resources)
            self.refused(
                exception.QuotaResourceUnknown, call, ['x'], project_id='p'
            )
        self.refused(
            exception.QuotaResourceWrongKind, self.quotas.count, 'files'
        )
        self.refused(exception.QuotaResourceUnknown, self.quotas.count, 'x')

    def test_what_is_no_amount_is_refused(self):
        for wrong in (None, 'x', 1.5, True, 2**53 + 1, 10**5000, [1], b'1'):
            error = self.refused(
                exception.InvalidInput,
                self.quotas.reserve,
                instances=1,
                cores=wrong,
            )
            self.assertEqual('cores', error.name)

    def test_what_is_no_value_is_refused(self):
        for wrong in (-1, None, 'x', 1.5, True, 10**5000):
            error = self.refused(
                exception.InvalidInput, self.quotas.limit_check, files=wrong
            )
            self.assertEqual('files', error.name)

    def test_what_is_no_limit_is_refused(self):
        for wrong in (-2, 'x', 1.5, True, 2**63, 10**5000):
            for call, more in self.calls()[-2:]:
                error = self.refused(
                    exception.InvalidInput,
                    call,
                    {'files': wrong, 'instances': 8},
                    **more,
                )
                self.assertEqual('files', error.name)

    def test_nothing_at_all_is_refused(self):
        for call, more in self.calls():
            self.refused(exception.InvalidInput, call, **more)
            self.refused(exception.InvalidInput, call, {}, **more)

    def test_what_is_no_mapping_is_refused(self):
        for call, more in self.calls():
            for wrong in ('instances', ['instances'], 5):
                self.refused(exception.InvalidInput, call, wrong, **more)

    def test_a_name_that_is_given_twice_is_refused(self):
        error = self.refused(
            exception.InvalidInput,
            self.quotas.reserve,
            {'instances': 1, 'cores': 1},
            instances=1,
        )
        self.assertIn('instances is given twice', str(error))

    def test_what_is_no_time_is_refused_before_the_driver_is_asked(self):
        self.driver.reserve = None
        for wrong in ('tomorrow', True, [], float('nan'), float('inf'), 1e30):
            error = self.refused(
                exception.InvalidInput,
                self.quotas.reserve,
                instances=1,
                expire=wrong,
            )
            self.assertEqual('expire', error.name)

    def test_without_a_project_nothing_is_done(self):
        self.context = cellplug.RequestContext(user_id='u')
        error = self.refused(
            exception.InvalidInput, self.quotas.reserve, instances=1
        )
        self.assertEqual('project_id', error.name)

    def test_what_is_no_id_is_refused(self):
        for wrong in ('', 'x' * 256, 'a\nb', 5):
            for name in ('project_id', 'user_id'):
                error = self.refused(
                    exception.InvalidInput,
                    self.quotas.reserve,
                    instances=1,
                    **{name: wrong},
                )
                self.assertEqual(name, error.name)

    def test_what_is_no_handle_is_refused(self):
        for wrong in (None, 5, b'x', ['x']):
            for call in (self.quotas.commit, self.quotas.rollback):
                self.refused(exception.InvalidInput, call, wrong)


class Broken(Exception):
    """What a block raises."""


class TestBlock(helpers_engine.EngineTestCase):
    """``with quotas.reserving(...)``."""

    def setUp(self):
        super().setUp()
        self.register(instances=5, cores=10)

    def block(self, work, **more):
        with self.quotas.reserving(
            self.context, instances=2, **more
        ) as handle:
            work(handle)

    def test_its_end_commits(self):
        during = []
        self.block(lambda handle: during.append(self.usage()))
        self.assertEqual([(5, 0, 2)], during)
        self.assertEqual((5, 2, 0), self.usage())

    def test_whatever_it_raises_rolls_back(self):
        for kind in (Broken, KeyboardInterrupt, SystemExit, GeneratorExit):
            mishap = kind()

            def fail(handle, mishap=mishap):
                raise mishap

            raised = self.assertRaises(kind, self.block, fail)
            self.assertIs(mishap, raised)
            self.assertEqual((5, 0, 0), self.usage())

    def test_what_it_raised_goes_on_where_the_rollback_fails(self):
        def fail(handle):
            self.driver.books.reachable = False
            raise Broken

        with self.assertLogs('cellplug.quota.engine', 'ERROR') as logs:
            self.assertRaises(Broken, self.block, fail)
        self.driver.books.reachable = True
        (left,) = self.quotas.get_reservations(self.context)
        self.assertIn(left.handle, logs.output[0])
        self.assertEqual((5, 0, 2), self.usage())

    def test_it_does_not_begin_where_nothing_can_be_reserved(self):
        begun = []
        self.assertRaises(
            exception.OverQuota, self.block, begun.append, cores=11
        )
        self.assertEqual([], begun)
        self.assertEqual((5, 0, 0), self.usage())

    def test_one_that_took_too_long_says_so(self):
        def dawdle(handle):
            self.now += 61
            self.quotas.expire(self.context)

        self.assertRaises(
            exception.ReservationNotFound, self.block, dawdle, expire=60
        )
        self.assertEqual((5, 0, 0), self.usage())

    def test_what_one_that_took_too_long_made_is_counted(self):
        """Also where somebody has counted since its reservation expired."""

        def dawdle(handle):
            self.now += 61
            self.quotas.expire(self.context)
            with self.quotas.reserving(self.context, instances=1):
                self.truth.all['instances'] += 1
            self.truth.all['instances'] += 2
            self.truth.users['u'] = dict(self.truth.all)

        self.assertRaises(
            exception.ReservationNotFound, self.block, dawdle, expire=60
        )
        error = self.assertRaises(
            exception.OverQuota,
            self.quotas.reserve,
            self.context,
            instances=3,
        )
        self.assertEqual(3, error.usages['instances'])
        self.assertEqual((5, 3, 0), self.usage())
        self.assertEqual((5, 3, 0), self.usage(user_id='u'))

    def test_what_cannot_be_marked_is_logged_and_it_says_so_all_the_same(self):
        calls = []

        def unable(context, resources, **whose):
            calls.append((list(resources), whose))
            raise exception.DatabaseUnavailable('the books', 'they are away')

        self.driver.reset = unable
        with self.assertLogs('cellplug.quota.engine', 'ERROR') as logs:
            self.assertRaises(
                exception.ReservationNotFound,
                self.block,
                lambda handle: self.quotas.rollback(self.context, handle),
                project_id='q',
                cores=1,
            )
        whose = {'project_id': 'q', 'user_id': None}
        self.assertEqual([(['cores', 'instances'], whose)], calls)
        self.assertIn('usage_reset', logs.output[0])

    def test_a_commit_that_fails_is_an_error_and_no_rollback(self):
        """The commit may have happened, and only its answer was lost."""

        def cut(handle):
            self.driver.books.reachable = False

        self.assertRaises(exception.DatabaseUnavailable, self.block, cut)
        self.driver.books.reachable = True
        self.assertEqual((5, 0, 2), self.usage())


class TestLimitCheck(helpers_engine.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.register(instances=5)
        self.quotas.register_resources(
            [
                cellplug.AbsoluteResource('files', default=3),
                cellplug.AbsoluteResource('keys', default=-1),
            ]
        )

    def check(self, **values):
        self.quotas.limit_check(self.context, **values)

    def limit(self, user_id=None, **limits):
        self.quotas.set_limits(
            self.context,
            limits,
            project_id='p',
            user_id=user_id,
            force=True,
        )

    def test_a_value_may_reach_its_limit_and_not_exceed_it(self):
        self.check(files=3, keys=10**9, instances=5)
        self.check(files=0)
        error = self.assertRaises(exception.OverQuota, self.check, files=4)
        self.assertEqual(['files'], error.overs)
        self.assertEqual({'files': 3}, error.limits)
        self.assertEqual({'files': 3}, error.headroom)

    def test_all_that_are_over_are_named(self):
        self.limit(keys=0)
        error = self.assertRaises(
            exception.OverQuota, self.check, keys=1, files=4, instances=1
        )
        self.assertEqual(['files', 'keys'], error.overs)

    def test_what_is_in_use_is_not_looked_at(self):
        self.quotas.reserve(self.context, instances=5)
        self.check(instances=5)

    def test_the_users_limit_holds_beside_the_projects(self):
        self.limit(files=10)
        self.limit(user_id='u', files=5)
        self.check(files=5)
        self.assertRaises(exception.OverQuota, self.check, files=6)
        # Another user has the project's.
        self.quotas.limit_check(self.context, files=10, user_id='w')

    def test_the_projects_limit_holds_where_the_users_is_greater(self):
        self.limit(files=5)
        self.limit(user_id='u', files=10)
        error = self.assertRaises(exception.OverQuota, self.check, files=6)
        self.assertEqual({'files': 5}, error.limits)
        self.limit(user_id='u', files=-1)
        self.assertRaises(exception.OverQuota, self.check, files=6)

    def test_the_users_limit_holds_where_the_project_has_none(self):
        self.limit(files=-1)
        self.limit(user_id='u', files=2)
        error = self.assertRaises(exception.OverQuota, self.check, files=6)
        self.assertEqual({'files': 2}, error.headroom)

    def test_limits_are_looked_up_once_or_twice(self):
        asked = []
        get_limits = self.driver.get_limits

        def watched(*args, **more):
            asked.append(more['user_id'])
            return get_limits(*args, **more)

        self.driver.get_limits = watched
        self.limit(files=5)
        self.check(files=5, keys=3)
        self.assertEqual(['u'], asked)
        self.limit(user_id='u', files=4)
        del asked[:]
        self.check(files=4, keys=3)
        self.assertEqual(['u', None], asked)


class TestCountables(helpers_engine.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.truth.all = {'ports': 4}
        self.quotas.register_resource(
            cellplug.CountableResource('ports', count=self.truth, default=5)
        )

    def check(self, delta, **more):
        self.quotas.count_check(self.context, {'ports': delta}, **more)

    def test_they_are_counted_when_they_are_checked(self):
        self.check(1)
        error = self.assertRaises(exception.OverQuota, self.check, 2)
        self.assertEqual({'ports': 4}, error.usages)
        self.assertEqual({'ports': 1}, error.headroom)
        self.truth.all = {'ports': 3}
        self.check(2)
        self.assertEqual({}, self.driver.books.rows)

    def test_less_is_never_too_much(self):
        self.truth.all = {'ports': 9}
        self.check(-1)
        error = self.assertRaises(exception.OverQuota, self.check, 0)
        self.assertEqual({'ports': 0}, error.headroom)

    def test_the_users_are_counted_where_the_user_has_a_limit(self):
        self.check(1)
        self.assertEqual([('p', None)], self.truth.calls)
        self.truth.users['u'] = {'ports': 2}
        self.quotas.set_limits(
            self.context, project_id='p', user_id='u', ports=2, force=True
        )
        error = self.assertRaises(exception.OverQuota, self.check, 1)
        self.assertEqual({'ports': 2}, error.usages)
        self.assertEqual({'ports': 2}, error.limits)
        self.check(1, user_id='w')

    def test_what_has_no_limit_is_not_counted(self):
        self.quotas.set_limits(self.context, project_id='p', ports=-1)
        self.check(100)
        self.assertEqual([], self.truth.calls)

    def test_a_cell_that_does_not_answer_lets_nothing_pass(self):
        self.truth.all = cellplug.objects.quota.Counts(
            {'ports': 0}, {'cell2': 'it is down'}
        )
        error = self.assertRaises(exception.CountIncomplete, self.check, 1)
        self.assertEqual(['ports'], error.resources)
        self.assertRaises(
            exception.CountIncomplete, self.quotas.count, self.context, 'ports'
        )

    def test_a_count_is_the_projects_or_a_users(self):
        self.truth.users['w'] = {'ports': 2}
        self.assertEqual(4, self.quotas.count(self.context, 'ports'))
        self.assertEqual(
            2, self.quotas.count(self.context, 'ports', user_id='w')
        )
        self.assertEqual([('p', None), ('p', 'w')], self.truth.calls)


class TestNoop(helpers_engine.EngineTestCase):
    """The engine checks what it is given, whatever the driver does."""

    def setUp(self):
        super().setUp()
        self.clock = lambda: self.now
        self.quotas = self.engine(noop.NoopQuota(None, self))
        self.register(instances=5)

    def test_everything_is_admitted(self):
        self.assertEqual('', self.quotas.reserve(self.context, instances=50))
        with self.quotas.reserving(self.context, instances=50) as handle:
            self.assertEqual('', handle)
        self.quotas.rollback(self.context, '')
        self.assertEqual(0, self.quotas.expire(self.context))
        self.assertEqual([], self.quotas.get_reservations(self.context))
        self.assertEqual([], self.truth.calls)

    def test_what_cannot_be_is_refused_all_the_same(self):
        for wrong in (
            {'instance': 1},
            {'instances': 'x'},
            {'instances': 1, 'expire': 'tomorrow'},
            {'instances': 1, 'project_id': ''},
        ):
            self.assertRaises(
                exception.InvalidInput,
                self.quotas.reserve,
                self.context,
                **wrong,
            )

    def test_nothing_has_a_limit(self):
        self.quotas.register_resources(
            [
                cellplug.AbsoluteResource('files', default=3),
                cellplug.CountableResource(
                    'ports', count=self.truth, default=3
                ),
            ]
        )
        self.quotas.limit_check(self.context, files=50, instances=50)
        self.quotas.count_check(self.context, ports=50)
        self.assertEqual([], self.truth.calls)
        for found in (
            self.quotas.get_project_quotas(self.context, 'p'),
            self.quotas.get_user_quotas(self.context, 'p', 'u'),
            self.quotas.get_class_limits(self.context, 'gold'),
            self.quotas.get_default_limits(),
        ):
            self.assertEqual({-1}, {one.limit for one in found.values()})

    def test_limits_cannot_be_set_and_a_dry_run_says_so(self):
        for dry_run in (False, True):
            self.assertRaises(
                exception.NotSupported,
                self.quotas.set_limits,
                self.context,
                project_id='p',
                instances=5,
                dry_run=dry_run,
            )
            self.assertRaises(
                exception.NotSupported,
                self.quotas.set_class_limits,
                self.context,
                'gold',
                instances=5,
                dry_run=dry_run,
            )
