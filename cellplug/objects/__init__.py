"""Frozen records that every layer shares; no repr shows a URL's secret."""

from cellplug.objects.identifiers import CELL0_UUID
from cellplug.objects.mappings import CellMapping
from cellplug.objects.mappings import CellState
from cellplug.objects.mappings import InstanceMapping
from cellplug.objects.mappings import Route

__all__ = [
    'CELL0_UUID',
    'CellMapping',
    'CellState',
    'InstanceMapping',
    'Route',
]
