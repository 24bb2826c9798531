"""Frozen records that every layer shares; no repr shows a URL's secret.

And what a driver with cells of its own needs to check them as they are
checked everywhere.
"""

from cellplug.objects.health import CellHealth
from cellplug.objects.health import CircuitHealth
from cellplug.objects.health import CircuitState
from cellplug.objects.identifiers import canonical_uuid
from cellplug.objects.identifiers import CELL0_UUID
from cellplug.objects.identifiers import check_cell_name
from cellplug.objects.identifiers import check_id
from cellplug.objects.mappings import CellMapping
from cellplug.objects.mappings import CellState
from cellplug.objects.mappings import check_state
from cellplug.objects.mappings import InstanceMapping
from cellplug.objects.mappings import Route
from cellplug.objects.placement import Candidate
from cellplug.objects.placement import PlacementRequest
from cellplug.objects.urls import check_database
from cellplug.objects.urls import check_transport
from cellplug.objects.urls import database_digest
from cellplug.objects.urls import mask
from cellplug.objects.urls import mask_name
from cellplug.objects.urls import same_queue
from cellplug.objects.urls import transport_digest

__all__ = [
    'CELL0_UUID',
    'Candidate',
    'CellHealth',
    'CellMapping',
    'CellState',
    'CircuitHealth',
    'CircuitState',
    'InstanceMapping',
    'PlacementRequest',
    'Route',
    'canonical_uuid',
    'check_cell_name',
    'check_database',
    'check_id',
    'check_state',
    'check_transport',
    'database_digest',
    'mask',
    'mask_name',
    'same_queue',
    'transport_digest',
]
