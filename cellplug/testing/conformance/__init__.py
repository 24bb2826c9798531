"""Suites that say whether a driver keeps its interface's contract.

Bind one to a driver in a few lines, in the driver's own tests::

    class TestMyEtcd(conformance.ResolverSuite, unittest.TestCase):
        driver = 'my_etcd'
        options = {'endpoint': 'http://127.0.0.1:2379'}
        harness = MyHarness

or run it from a program, as ``cellplug-manage driver check`` does:
:func:`run`. Nothing here needs more than cellplug itself and unittest; a
harness or a driver may need more.
"""

from cellplug.testing.conformance.base import AREAS
from cellplug.testing.conformance.finding import DatabaseHarness
from cellplug.testing.conformance.finding import find_harness
from cellplug.testing.conformance.harnesses import Harness
from cellplug.testing.conformance.harnesses import Hold
from cellplug.testing.conformance.harnesses import ResolverHarness
from cellplug.testing.conformance.placement import PlacementSuite
from cellplug.testing.conformance.quota import QuotaSuite
from cellplug.testing.conformance.resolver import ResolverSuite
from cellplug.testing.conformance.running import Check
from cellplug.testing.conformance.running import Grade
from cellplug.testing.conformance.running import Outcome
from cellplug.testing.conformance.running import Report
from cellplug.testing.conformance.running import run
from cellplug.testing.conformance.transport_cache import TransportCacheSuite

__all__ = [
    'AREAS',
    'Check',
    'DatabaseHarness',
    'Grade',
    'Harness',
    'Hold',
    'Outcome',
    'PlacementSuite',
    'QuotaSuite',
    'Report',
    'ResolverHarness',
    'ResolverSuite',
    'TransportCacheSuite',
    'find_harness',
    'run',
]
