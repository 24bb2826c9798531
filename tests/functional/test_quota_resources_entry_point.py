"""Resources that other distributions offer, and a driver loaded late."""

from __future__ import annotations

import sys
import threading

import testtools

import cellplug
from cellplug import exception
from cellplug.testing import deployment
from tests.conformance import memory_quota
from tests.functional import databases
from tests.unit import test_loader

SOURCE = """
import cellplug

def count(context, project_id, user_id):
    return {'disks': 2}

disks = cellplug.ReservableResource('disks', sync=count, default=4)
several = [
    cellplug.AbsoluteResource('files', default=3),
    cellplug.AbsoluteResource('keys', default=3),
]
routers = []

def from_router(router):
    routers.append(router)
    return [cellplug.CountableResource('ports', count=count)]

def one_from_router(router):
    return cellplug.AbsoluteResource('names', default=1)

def registers_itself(router):
    router.quotas.register_resource(cellplug.AbsoluteResource('themselves'))
    return []

def fails(router):
    raise ZeroDivisionError('by zero')

def exits(router):
    raise SystemExit(1)

nothing = None
wrong = ['files']
other_disks = cellplug.AbsoluteResource('disks', default=9)
"""


def distribution(*points, source=SOURCE, name='outside'):
    lines = ['[cellplug.quota_resource]']
    lines += [f'{point} = MODULE:{point}' for point in points]
    return test_loader.DistributionFixture(name, '\n'.join(lines), source)


class EntryPointCase(testtools.TestCase):
    def offer(self, *points, **options):
        """Install a distribution with these entry points, by name."""
        return self.useFixture(distribution(*points, **options))

    def router(self, **options):
        self.deployment = self.useFixture(
            deployment.DeploymentFixture(cells=0)
        )
        self.deployment.router.close()
        return self.deployment.open_router(cellplug.Database(), **options)

    def refused(self, router):
        return self.assertRaises(
            exception.PluginError, getattr, router, 'quotas'
        )

    def with_memory(self):
        driver = memory_quota.MemoryQuota(None, Host())
        return self.router(quota=driver)


class Host:
    clock = staticmethod(lambda: 0.0)


class TestEntryPoints(EntryPointCase):
    def test_resources_lists_and_functions_are_registered(self):
        self.offer('disks', 'several', 'from_router', 'one_from_router')
        router = self.with_memory()
        self.assertEqual(
            ['disks', 'files', 'keys', 'names', 'ports'],
            list(router.quotas.resources),
        )
        handle = router.quotas.reserve(self.deployment.context(), disks=1)
        self.assertIsInstance(handle, str)

    def test_a_function_is_called_with_the_router_once(self):
        made = self.offer('from_router')
        router = self.with_memory()
        module = __import__(made.module)
        self.assertEqual([], module.routers)
        for _ in range(3):
            self.assertEqual(['ports'], list(router.quotas.resources))
        self.assertEqual([router], module.routers)

    def test_a_function_may_register_by_itself(self):
        self.offer('registers_itself', 'disks')
        self.assertEqual(
            ['disks', 'themselves'], list(self.with_memory().quotas.resources)
        )

    def test_one_that_cannot_be_used_is_named(self):
        for point, why in (
            ('fails', 'ZeroDivisionError: by zero'),
            ('exits', 'SystemExit: 1'),
            ('nothing', 'TypeError'),
            ('wrong', 'str is neither a ReservableResource'),
            ('missing', 'AttributeError'),
        ):
            with distribution('disks', point):
                router = self.with_memory()
                self.refused(router)
                # What fails is tried again.
                error = self.refused(router)
            self.assertEqual(point, error.name)
            self.assertIn(f"entry point '{point}'", str(error))
            self.assertIn(why, str(error))

    def test_a_module_that_cannot_be_imported_is_named(self):
        for source in ('import nowhere', 'assert False', 'exit()', '1 +'):
            with distribution('disks', source=source):
                error = self.refused(self.with_memory())
            self.assertEqual('disks', error.name)
            self.assertIn('cellplug.quota_resource', str(error))

    def test_two_of_one_name_are_an_error_that_names_both(self):
        self.offer('disks')
        second = self.offer('other_disks', name='another')
        error = self.refused(self.with_memory())
        self.assertEqual('other_disks', error.name)
        self.assertEqual('another 1.5', error.origin)
        self.assertIn(
            "entry point 'other_disks' of cellplug.quota_resource "
            f'({second.module}:other_disks of another 1.5)',
            str(error),
        )
        self.assertIn(
            'disks is registered already, by entry point '
            "'disks' of outside 1.5",
            str(error),
        )
        self.assertIn('[quota] resource_plugins', str(error))

    def test_the_configuration_may_choose_among_them(self):
        self.offer('disks', 'several', 'fails')
        other = self.offer('other_disks', name='another')
        for chosen, names in (
            (['other_disks'], ['disks']),
            (['disks', 'several'], ['disks', 'files', 'keys']),
        ):
            router = self.with_memory()
            self.configure(chosen)
            self.assertEqual(names, list(router.quotas.resources))
            self.assertEqual(
                chosen == ['other_disks'], other.module in sys.modules
            )
            router.close()
            sys.modules.pop(other.module, None)

    def test_one_that_is_chosen_and_not_installed_is_named(self):
        self.offer('disks')
        router = self.with_memory()
        self.configure(['disks', 'tapes', 'cards'])
        error = self.assertRaises(
            exception.ConfigurationError, getattr, router, 'quotas'
        )
        self.assertIn('resource_plugins', str(error))
        self.assertTrue(str(error).endswith('offers cards, tapes'), error)

    def test_the_lab_limits_nothing_elsewhere(self):
        self.assertEqual([], list(self.with_memory().quotas.resources))

    def configure(self, chosen):
        self.deployment.conf.set_override('resource_plugins', chosen, 'quota')


class TestLateLoading(EntryPointCase):
    def test_a_process_without_quotas_needs_no_driver(self):
        made = self.useFixture(deployment.DeploymentFixture(cells=1))
        made.conf.set_override('driver', 'no-such-driver', 'quota')
        router = made.open_router(cellplug.Database())
        result = router.scatter_gather(made.context(), lambda cctxt: 1)
        self.assertEqual([1], list(result.complete().values()))
        error = self.assertRaises(
            exception.UnknownDriver, lambda: router.quotas
        )
        self.assertEqual('no-such-driver', error.driver)

    def test_a_driver_that_was_given_is_closed_with_the_router(self):
        closed = []

        class Closing(memory_quota.MemoryQuota):
            def close(self):
                closed.append(self)

        driver = Closing(None, Host())
        router = self.router(quota=driver)
        self.assertIs(driver, router.quotas.driver)
        router.close()
        router.close()
        self.assertEqual([driver], closed)
        self.assertRaises(exception.RouterClosed, lambda: router.quotas)

    def test_a_router_that_was_closed_loads_none(self):
        router = self.router()
        router.close()
        self.assertRaises(exception.RouterClosed, lambda: router.quotas)

    def test_of_many_threads_that_ask_first_one_loads(self):
        loading, go_on = self.slow_loading()
        router = self.with_memory()

        def names():
            return list(router.quotas.resources)

        with databases.in_background(names) as first:
            self.assertTrue(loading.wait(databases.PATIENCE))
            with databases.in_background(names) as second:
                # Gives it the time to come back, if it does not wait.
                threading.Event().wait(0.2)
                self.assertEqual([], second)
                go_on.set()
        self.assertEqual([['ports']] * 2, [*first, *second])

    def slow_loading(self):
        """Other threads than the main one wait in their first loading."""
        loading, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        module = __import__(self.offer('from_router').module)
        original = module.from_router

        def slow(router):
            if threading.current_thread() is not threading.main_thread():
                loading.set()
                go_on.wait(databases.PATIENCE)
            return original(router)

        module.from_router = slow
        return loading, go_on

    def test_a_child_of_a_fork_does_not_wait_for_its_parents_thread(self):
        """Which is loading, at the moment of the fork."""
        loading, go_on = self.slow_loading()
        router = self.with_memory()

        def child():
            if list(router.quotas.resources) != ['ports']:
                raise SystemExit(3)

        with databases.in_background(lambda: router.quotas) as outcome:
            self.assertTrue(loading.wait(databases.PATIENCE))
            self.assertEqual([0], databases.in_processes(child, ()))
            go_on.set()
        self.assertEqual(['ports'], list(outcome[0].resources))
