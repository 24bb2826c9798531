"""What driver authors import: the contracts, in prose.

An *interface* is an abstract base class; a *driver* is a class that fills it,
found by its entry point in the namespace ``cellplug.<interface>`` and chosen
by ``[<interface>] driver`` in the configuration. See doc/ for a walk-through.
"""

from cellplug.interfaces.base import Driver
from cellplug.interfaces.base import DriverHost
from cellplug.interfaces.instance_source import InstanceSource
from cellplug.interfaces.instance_source import SourceInstance
from cellplug.interfaces.placement import Placement
from cellplug.interfaces.placement import PlacementCapability
from cellplug.interfaces.quota import QuotaCapability
from cellplug.interfaces.quota import QuotaDriver
from cellplug.interfaces.resolver import Resolver
from cellplug.interfaces.resolver import ResolverCapability
from cellplug.interfaces.transport_cache import Transport
from cellplug.interfaces.transport_cache import TransportCache
from cellplug.interfaces.transport_cache import TransportCacheCapability

__all__ = [
    'Driver',
    'DriverHost',
    'InstanceSource',
    'Placement',
    'PlacementCapability',
    'QuotaCapability',
    'QuotaDriver',
    'Resolver',
    'ResolverCapability',
    'SourceInstance',
    'Transport',
    'TransportCache',
    'TransportCacheCapability',
]
