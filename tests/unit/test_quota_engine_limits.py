"""Which limit is in force, and which one can be set."""

from __future__ import annotations

import cellplug
from cellplug import exception
from cellplug.objects import quota
from tests.unit import helpers_engine


class LimitsCase(helpers_engine.EngineTestCase):
    def setUp(self):
        super().setUp()
        self.register(instances=10, cores=20)

    def set_(self, user_id=None, *, force=False, **limits):
        self.quotas.set_limits(
            self.context,
            limits,
            project_id='p',
            user_id=user_id,
            force=force,
        )

    def set_class(self, quota_class, **limits):
        self.quotas.set_class_limits(self.context, quota_class, limits)

    def in_force(self, user_id=None):
        """The limit on instances, and where it was found."""
        if user_id is None:
            found = self.quotas.get_project_quotas(self.context, 'p')
        else:
            found = self.quotas.get_user_quotas(self.context, 'p', user_id)
        return found['instances'].limit, found['instances'].source

    def use(self, user_id='u', **deltas):
        with self.quotas.reserving(self.context, deltas, user_id=user_id):
            pass


class TestResolution(LimitsCase):
    def test_each_level_stands_in_front_of_the_next(self):
        self.context.quota_class = 'gold'
        self.assertEqual((10, 'default'), self.in_force('u'))
        self.set_class('default', instances=11)
        self.assertEqual((11, 'default class'), self.in_force('u'))
        self.set_class('gold', instances=12)
        self.assertEqual((12, 'class'), self.in_force('u'))
        self.set_(instances=13)
        self.assertEqual((13, 'project'), self.in_force('u'))
        self.set_('u', instances=3)
        self.assertEqual((3, 'user'), self.in_force('u'))
        self.assertEqual((13, 'project'), self.in_force('w'))
        self.assertEqual((13, 'project'), self.in_force())

    def test_what_is_removed_uncovers_the_next(self):
        self.set_class('default', instances=11)
        self.set_(instances=13)
        self.set_('u', instances=3)
        self.set_('u', instances=None)
        self.assertEqual((13, 'project'), self.in_force('u'))
        self.set_(instances=None)
        self.assertEqual((11, 'default class'), self.in_force('u'))
        self.set_class('default', instances=None)
        self.assertEqual((10, 'default'), self.in_force('u'))

    def test_unlimited_is_a_limit_that_stands_in_front_as_well(self):
        self.set_class('default', instances=11)
        self.set_(instances=-1)
        self.assertEqual((-1, 'project'), self.in_force())

    def test_a_class_counts_for_the_contexts_own_project_alone(self):
        self.context.quota_class = 'gold'
        self.set_class('gold', instances=12)
        other = self.quotas.get_project_quotas(self.context, 'q')
        self.assertEqual('default', other['instances'].source)

    def test_each_resource_is_resolved_by_itself(self):
        self.set_(cores=5)
        found = self.quotas.get_project_quotas(self.context, 'p')
        self.assertEqual('project', found['cores'].source)
        self.assertEqual('default', found['instances'].source)

    def test_limits_of_a_class_say_where_they_are_from(self):
        self.quotas.register_resource(cellplug.AbsoluteResource('files'))
        self.set_class('default', instances=11, cores=12)
        self.set_class('gold', instances=13)
        self.assertEqual(
            {
                'instances': quota.Limit('instances', 13, 'class'),
                'cores': quota.Limit('cores', 12, 'default class'),
                'files': quota.Limit('files', -1, 'default'),
            },
            self.quotas.get_class_limits(self.context, 'gold'),
        )
        default = self.quotas.get_class_limits(self.context, 'default')
        self.assertEqual('default class', default['cores'].source)

    def test_a_driver_that_gives_no_integer_is_told_so(self):
        """A null limit is no reason for a TypeError."""
        for wrong in (None, '10', -2):
            self.driver.books.limits['p', '', '', 'instances'] = wrong
            error = self.assertRaises(exception.InvalidInput, self.in_force)
            self.assertEqual('limit of instances', error.name)

    def test_all_resources_are_shown_also_those_that_are_not_tracked(self):
        self.quotas.register_resource(
            cellplug.AbsoluteResource('files', default=3)
        )
        self.use(instances=2)
        self.assertEqual(
            {
                'cores': quota.QuotaUsage(20, 0, 0),
                'files': quota.QuotaUsage(3, 0, 0),
                'instances': quota.QuotaUsage(10, 2, 0),
            },
            self.quotas.get_project_quotas(self.context, 'p'),
        )


class TestSettable(LimitsCase):
    def range(self, user_id=None, resource='instances'):
        found = self.quotas.get_settable_quotas(self.context, 'p', user_id)
        return found[resource].minimum, found[resource].maximum

    def refused(self, user_id=None, **limits):
        before = dict(self.driver.books.limits)
        error = self.assertRaises(
            exception.LimitNotSettable, self.set_, user_id, **limits
        )
        self.assertEqual(before, self.driver.books.limits)
        return error

    def test_a_project_starts_at_what_it_uses(self):
        self.assertEqual((0, -1), self.range())
        self.use(instances=3)
        self.quotas.reserve(self.context, instances=1)
        self.assertEqual((4, -1), self.range())
        error = self.refused(instances=3)
        self.assertEqual((4, -1), (error.minimum, error.maximum))
        self.set_(instances=4)
        self.set_(instances=-1)
        self.set_(instances=10**12)

    def test_a_project_starts_at_what_its_users_were_promised(self):
        self.set_('u', instances=4)
        self.set_('w', instances=3)
        self.use(instances=1)
        self.assertEqual((7, -1), self.range())
        self.refused(instances=6)
        self.set_(instances=7)

    def test_a_user_without_end_promises_nothing(self):
        self.set_('u', instances=-1, force=True)
        self.set_('w', instances=3, force=True)
        self.assertEqual((3, -1), self.range())

    def test_a_user_ends_at_what_the_project_leaves(self):
        """Users' limits are subtracted once, the user's own not at all."""
        self.assertEqual((0, 10), self.range('u'))
        self.set_('w', instances=6)
        self.assertEqual((0, 4), self.range('u'))
        self.set_('u', instances=4)
        self.assertEqual((0, 4), self.range('u'))
        self.assertEqual((0, 6), self.range('w'))
        error = self.refused('u', instances=5)
        self.assertEqual((0, 4), (error.minimum, error.maximum))
        self.refused('u', instances=-1)
        self.set_('u', instances=3)
        self.assertEqual((0, 7), self.range('w'))

    def test_a_user_starts_at_what_the_user_uses(self):
        self.use('u', instances=2)
        self.use('w', instances=5)
        self.assertEqual((2, 10), self.range('u'))
        self.refused('u', instances=1)
        self.set_('u', instances=2)

    def test_where_the_project_has_no_limit_a_user_has_no_end(self):
        self.set_(instances=-1)
        self.set_('w', instances=60)
        self.assertEqual((0, -1), self.range('u'))
        self.set_('u', instances=-1)

    def test_where_users_were_promised_too_much_nothing_is_left(self):
        self.set_('w', instances=60, force=True)
        self.assertEqual((0, 0), self.range('u'))

    def test_a_users_range_follows_the_projects_own_limit_not_the_users(self):
        self.set_('u', instances=4)
        self.set_(instances=8)
        self.assertEqual((0, 8), self.range('u'))

    def test_absolute_limits_are_not_shared_out(self):
        self.quotas.register_resource(
            cellplug.AbsoluteResource('files', default=5)
        )
        self.set_('u', files=5)
        self.set_('w', files=5)
        self.assertEqual((0, 5), self.range('u', 'files'))
        self.assertEqual((0, -1), self.range(None, 'files'))
        self.refused('u', files=6)

    def test_force_sets_what_is_out_of_range(self):
        self.use(instances=3)
        self.set_(instances=1, force=True)
        self.assertEqual((1, 'project'), self.in_force())
        self.set_('u', instances=50, force=True)
        self.assertEqual((50, 'user'), self.in_force('u'))

    def test_one_that_cannot_be_set_keeps_all_from_being_set(self):
        self.use(instances=3)
        self.refused(cores=5, instances=1)
        self.assertEqual((10, 'default'), self.in_force())

    def test_what_is_removed_is_not_checked(self):
        self.set_(instances=30)
        self.use(instances=20)
        self.set_(instances=None)
        self.assertEqual((10, 'default'), self.in_force())

    def test_a_dry_run_checks_and_writes_nothing(self):
        self.use(instances=3)
        self.assertRaises(
            exception.LimitNotSettable,
            self.quotas.set_limits,
            self.context,
            project_id='p',
            instances=1,
            dry_run=True,
        )
        self.quotas.set_limits(
            self.context, project_id='p', instances=5, dry_run=True
        )
        self.quotas.set_class_limits(
            self.context, 'gold', instances=5, dry_run=True
        )
        self.assertEqual({}, self.driver.books.limits)

    def test_users_have_no_limits_where_they_have_nothing_of_their_own(self):
        for name in ('networks', 'routers'):
            self.quotas.register_resource(
                cellplug.ReservableResource(
                    name, sync=self.truth, per_project=True
                )
            )
        error = self.assertRaises(
            exception.QuotaResourceWrongKind,
            self.set_,
            'u',
            routers=1,
            networks=1,
            cores=1,
            force=True,
        )
        self.assertEqual(['networks', 'routers'], error.resources)
        self.set_(networks=5)
        found = self.quotas.get_settable_quotas(self.context, 'p', 'u')
        self.assertNotIn('networks', found)


class TestUpkeep(LimitsCase):
    """Counting anew, now or at the next reservation."""

    def refresh(self, resources=None, user_id=None):
        return self.quotas.usage_refresh(
            self.context, resources, project_id='p', user_id=user_id
        )

    def test_a_refresh_stores_the_truth(self):
        self.use(instances=2, cores=2)
        self.truth.all = {'instances': 7, 'cores': 9}
        self.truth.users['u'] = {'instances': 5, 'cores': 6}
        self.assertEqual(frozenset(), self.refresh(['instances']))
        self.assertEqual((10, 7, 0), self.usage('instances'))
        self.assertEqual((10, 5, 0), self.usage('instances', 'u'))
        self.assertEqual((20, 2, 0), self.usage('cores'))
        self.refresh()
        self.assertEqual((20, 9, 0), self.usage('cores'))

    def test_one_resource_may_be_named_alone(self):
        self.use(instances=2, cores=2)
        self.truth.all = {'instances': 7, 'cores': 9}
        self.refresh('instances')
        self.assertEqual((10, 7, 0), self.usage('instances'))
        self.assertEqual((20, 2, 0), self.usage('cores'))

    def test_what_is_reserved_is_not_refreshed_and_named(self):
        self.use(cores=2)
        self.quotas.reserve(self.context, instances=1)
        self.truth.all = {'instances': 7, 'cores': 9}
        self.assertEqual(frozenset({'instances'}), self.refresh())
        self.assertEqual((10, 0, 1), self.usage('instances'))
        self.assertEqual((20, 9, 0), self.usage('cores'))

    def test_a_reset_has_the_next_reservation_count(self):
        self.use(instances=2)
        self.truth.all = {'instances': 7, 'cores': 0}
        self.quotas.usage_reset(self.context, project_id='p')
        self.assertEqual((10, 2, 0), self.usage())
        self.quotas.reserve(self.context, instances=1)
        self.assertEqual((10, 7, 1), self.usage())

    def test_no_resources_at_all_are_nothing_to_do(self):
        quotas = self.engine(self.driver)
        self.assertEqual(
            frozenset(), quotas.usage_refresh(self.context, project_id='p')
        )
        quotas.usage_reset(self.context, project_id='p')
