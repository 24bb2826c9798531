"""Every driver that comes with cellplug passes a stranger's suite."""

from __future__ import annotations

import secrets
import unittest

import testtools

from cellplug import loader
from cellplug.testing import conformance
from cellplug.testing import fixtures
from cellplug.testing.conformance import shipped


class TestDatabaseResolver(conformance.ResolverSuite, testtools.TestCase):
    driver = 'database'


class TestStaticResolver(conformance.ResolverSuite, testtools.TestCase):
    driver = 'static'


class TestLocalResolver(conformance.ResolverSuite, testtools.TestCase):
    driver = 'local'


class TestLocalInFrontOfStatic(conformance.ResolverSuite, testtools.TestCase):
    driver = 'local'
    options = {'backend': 'static'}  # noqa: RUF012 (read only)
    harness = shipped.StaticHarness


class TestMemcachedResolver(conformance.ResolverSuite, testtools.TestCase):
    driver = 'memcached'

    def setUp(self) -> None:
        memcached = fixtures.MemcachedFixture()
        memcached.setUp()
        self.options = {
            'servers': [memcached.address],
            'encryption_keys': [secrets.token_hex(32)],
        }
        super().setUp()
        self.addCleanup(memcached.cleanUp)


class TestProcess(conformance.TransportCacheSuite, testtools.TestCase):
    driver = 'process'


class TestLRU(conformance.TransportCacheSuite, testtools.TestCase):
    driver = 'lru'


class TestSmallLRU(conformance.TransportCacheSuite, testtools.TestCase):
    driver = 'lru'
    options = {'max_transports': 4, 'idle_timeout': 1}  # noqa: RUF012


class TestNone(conformance.TransportCacheSuite, testtools.TestCase):
    driver = 'none'


class TestDatabaseQuota(conformance.QuotaSuite, testtools.TestCase):
    driver = 'database'


class TestNoop(conformance.QuotaSuite, testtools.TestCase):
    driver = 'noop'


class TestSpread(conformance.PlacementSuite, testtools.TestCase):
    driver = 'spread'


class TestWeighted(conformance.PlacementSuite, testtools.TestCase):
    driver = 'weighted'


class TestWeightedUnevenly(conformance.PlacementSuite, testtools.TestCase):
    driver = 'weighted'
    # The suite's cells are called suite1 and so on.
    options = {  # noqa: RUF012 (read only)
        'weights': {'suite1': '3', 'suite2': '0.5', 'suite3': '0'}
    }


class TestProjectAffinity(conformance.PlacementSuite, testtools.TestCase):
    driver = 'project_affinity'


class TestAffinityByWeight(conformance.PlacementSuite, testtools.TestCase):
    driver = 'project_affinity'
    options = {'backend': 'weighted'}  # noqa: RUF012


class TestPinned(conformance.PlacementSuite, testtools.TestCase):
    driver = 'pinned'


class TestPinnedProject(conformance.PlacementSuite, testtools.TestCase):
    driver = 'pinned'
    options = {  # noqa: RUF012
        'projects': {'suite-project': 'suite2'},
        'reserved': True,
        'backend': 'project_affinity',
    }


class TestOnlyPinned(conformance.PlacementSuite, testtools.TestCase):
    driver = 'pinned'
    options = {'only_pinned': True}  # noqa: RUF012


class TestAll(unittest.TestCase):
    def test_every_shipped_driver_is_bound_here(self) -> None:
        bound = {
            (one.interface, one.driver)
            for one in globals().values()
            if isinstance(one, type) and hasattr(one, 'interface')
        }
        shipped_ones = {
            (one.interface, one.name)
            for one in loader.installed()
            if one.target.startswith('cellplug_drivers.')
        }
        self.assertLessEqual(shipped_ones, bound)
