"""Correct drivers in memory pass everything."""

from __future__ import annotations

import unittest

import testtools

from cellplug.testing import conformance
from tests.conformance import helpers
from tests.conformance import memory_placement
from tests.conformance import memory_quota
from tests.conformance import memory_resolver
from tests.conformance import memory_transport_cache
from tests.conformance import test_broken_placement
from tests.conformance import test_broken_resolver


class TestResolver(conformance.ResolverSuite, testtools.TestCase):
    driver = memory_resolver.MemoryResolver
    harness = helpers.ResolverHarness


class TestResolverWithoutMemory(conformance.ResolverSuite, unittest.TestCase):
    driver = test_broken_resolver.Direct
    harness = helpers.ResolverHarness


class TestResolverOfCells(conformance.ResolverSuite, unittest.TestCase):
    driver = test_broken_resolver.Plain
    harness = helpers.ResolverHarness


class TestResolverByProject(conformance.ResolverSuite, unittest.TestCase):
    driver = test_broken_resolver.ByProject
    harness = helpers.ResolverHarness


class TestTransportCache(conformance.TransportCacheSuite, unittest.TestCase):
    driver = memory_transport_cache.MemoryCache


class TestQuota(conformance.QuotaSuite, unittest.TestCase):
    driver = memory_quota.MemoryQuota
    harness = helpers.QuotaHarness


class TestPlacement(conformance.PlacementSuite, testtools.TestCase):
    driver = memory_placement.MemoryPlacement
    harness = memory_placement.PlacementHarness


class TestPlacementWithoutSource(
    conformance.PlacementSuite, unittest.TestCase
):
    driver = test_broken_placement.ByInstances
