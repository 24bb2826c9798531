"""Quotas: resources and the engine that services call; drivers keep them."""

from cellplug.quota.engine import QuotaEngine
from cellplug.quota.resources import AbsoluteResource
from cellplug.quota.resources import CountableResource
from cellplug.quota.resources import ReservableResource
from cellplug.quota.resources import Resource

__all__ = [
    'AbsoluteResource',
    'CountableResource',
    'QuotaEngine',
    'ReservableResource',
    'Resource',
]
