"""What can be limited: kinds, defaults, and what cannot be registered."""

from __future__ import annotations

import testtools
from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug.objects import quota
from tests.unit import helpers_engine


def nothing(context, project_id, user_id):
    return {}


class TestResources(testtools.TestCase):
    def test_a_resource_is_unlimited_by_default(self):
        for one in (
            cellplug.ReservableResource('a', sync=nothing),
            cellplug.AbsoluteResource('a'),
            cellplug.CountableResource('a', count=nothing),
        ):
            self.assertEqual(-1, one.default)

    def test_what_cannot_be_a_limit_is_no_default(self):
        for default in (-2, 2**63, None, '10', 1.5, True, 10**5000):
            error = self.assertRaises(
                exception.InvalidInput,
                cellplug.AbsoluteResource,
                'cores',
                default=default,
            )
            self.assertEqual('default of cores', error.name)
            self.assertNotIn('\n', str(error))
            self.assertTrue(len(str(error)) < 200)

    def test_what_cannot_be_stored_is_no_name(self):
        for name in ('', 'x' * 256, 'a\nb', None, 5):
            self.assertRaises(
                exception.InvalidInput, cellplug.AbsoluteResource, name
            )

    def test_what_cannot_be_called_counts_nothing(self):
        self.assertRaises(
            exception.InvalidInput,
            cellplug.ReservableResource,
            'cores',
            sync=None,
        )
        self.assertRaises(
            exception.InvalidInput,
            cellplug.CountableResource,
            'cores',
            count={'cores': 5},
        )

    def test_an_option_is_a_pair_of_group_and_name(self):
        for option in ('cores', ('quota',), ('quota', 5), ['a', 'b']):
            self.assertRaises(
                exception.InvalidInput,
                cellplug.AbsoluteResource,
                'cores',
                option=option,
            )


class TestRegistering(helpers_engine.EngineTestCase):
    def test_resources_are_listed_by_name(self):
        self.register(instances=1, cores=2)
        self.assertEqual(['cores', 'instances'], list(self.quotas.resources))

    def test_an_equal_one_may_be_registered_again(self):
        self.register(instances=1)
        self.register(instances=1)
        self.assertEqual(['instances'], list(self.quotas.resources))

    def test_another_one_of_its_name_may_not(self):
        self.register(instances=1)
        error = self.assertRaises(
            exception.InvalidInput, self.register, cores=1, instances=2
        )
        self.assertIn('instances', str(error))
        # All or none.
        self.assertEqual(['instances'], list(self.quotas.resources))
        self.assertEqual(1, self.quotas.resources['instances'].default)

    def test_two_of_one_name_may_not_come_together(self):
        pair = [
            cellplug.AbsoluteResource('files', default=1),
            cellplug.AbsoluteResource('files', default=2),
        ]
        self.assertRaises(
            exception.InvalidInput, self.quotas.register_resources, pair
        )
        self.assertEqual({}, dict(self.quotas.resources))

    def test_something_else_is_no_resource(self):
        for other in ('instances', None, cellplug.AbsoluteResource):
            self.assertRaises(
                exception.InvalidInput, self.quotas.register_resource, other
            )


class TestDefaultOption(helpers_engine.EngineTestCase):
    """A default that operators set in the configuration."""

    def limit(self, **options):
        self.quotas.register_resource(
            cellplug.AbsoluteResource(
                'files', default=3, option=('limits', 'files'), **options
            )
        )
        return self.read()

    def read(self):
        found = self.quotas.get_project_quotas(self.context, 'p')
        return found['files'].limit

    def test_it_is_read_at_each_use(self):
        self.conf.register_opt(cfg.IntOpt('files', default=5), 'limits')
        self.assertEqual(5, self.limit())
        self.conf.set_override('files', 7, 'limits')
        self.assertEqual(7, self.read())

    def test_it_may_stand_in_no_group(self):
        self.conf.register_opt(cfg.IntOpt('files', default=5))
        self.quotas.register_resource(
            cellplug.AbsoluteResource('files', option=('DEFAULT', 'files'))
        )
        self.assertEqual(5, self.read())

    def test_where_it_is_not_set_the_resources_own_holds(self):
        self.conf.register_opt(cfg.IntOpt('files'), 'limits')
        self.assertEqual(3, self.limit())

    def test_what_it_cannot_be_is_named(self):
        self.conf.register_opt(cfg.IntOpt('files', default=-5), 'limits')
        error = self.assertRaises(exception.ConfigurationError, self.limit)
        self.assertIn('[limits] files', str(error))
        self.assertIn('-5', str(error))

    def test_an_option_that_is_no_integer_is_named(self):
        self.conf.register_opt(cfg.StrOpt('files', default='5'), 'limits')
        error = self.assertRaises(exception.ConfigurationError, self.limit)
        self.assertIn('[limits] files', str(error))

    def test_an_option_or_group_that_is_missing_is_named(self):
        error = self.assertRaises(exception.ConfigurationError, self.limit)
        self.assertIn('[limits] files', str(error))
        self.conf.register_opt(cfg.IntOpt('others'), 'limits')
        error = self.assertRaises(exception.ConfigurationError, self.read)
        self.assertIn('[limits] files', str(error))


class TestCounting(helpers_engine.EngineTestCase):
    """What services' functions return, and how often they are called."""

    def reserve(self, **deltas):
        return self.quotas.reserve(self.context, deltas)

    def test_a_function_is_called_once_for_all_its_resources(self):
        self.register(instances=10, cores=10)
        self.truth.all = {'instances': 3, 'cores': 6, 'others': 1}
        self.reserve(instances=1, cores=2)
        # Once for the project, once for the user.
        self.assertEqual(2, len(self.truth.calls))
        self.assertEqual({('p', None), ('p', 'u')}, set(self.truth.calls))
        self.assertEqual((10, 3, 1), self.usage('instances'))
        self.assertEqual((10, 6, 2), self.usage('cores'))

    def test_it_is_called_with_a_context_aimed_at_no_cell(self):
        self.register(instances=10)
        self.context.db_connection = self.context.cell_uuid = 'somewhere'
        self.reserve(instances=1)
        self.assertEqual(
            {(None, None)},
            {(c.db_connection, c.cell_uuid) for c in self.truth.contexts},
        )
        self.assertEqual('somewhere', self.context.cell_uuid)

    def test_cells_that_did_not_answer_are_named(self):
        self.register(instances=10)
        self.truth.all = quota.Counts({}, {'cell2': 'it is down'})
        error = self.assertRaises(
            exception.CountIncomplete, self.reserve, instances=1
        )
        self.assertEqual({'cell2': 'it is down'}, error.missing)
        self.assertEqual((10, 0, 0), self.usage())

    def test_what_is_no_count_is_an_error_and_nothing_is_stored(self):
        self.register(instances=10)
        for answer in (
            None,
            5,
            [],
            {},
            {'instance': 5},
            {'instances': None},
            {'instances': -1},
            {'instances': True},
            {'instances': 1.0},
            {'instances': 2**53 + 1},
            quota.Counts({'others': 5}, {'cell2': 'it is down'}),
        ):
            self.truth.all = answer
            error = self.assertRaises(
                exception.InvalidInput, self.reserve, instances=1
            )
            self.assertIn('instances', str(error))
            self.assertEqual((10, 0, 0), self.usage())

    def test_what_a_function_raises_goes_on(self):
        def broken(context, project_id, user_id):
            raise ZeroDivisionError

        self.quotas.register_resource(
            cellplug.ReservableResource('disks', sync=broken)
        )
        self.assertRaises(ZeroDivisionError, self.reserve, disks=1)
