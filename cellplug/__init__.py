"""cellplug: cells for any Python service.

A deployment is partitioned into cells, each with a database and a message
queue of its own; one global API database knows which instance lives where.
The public names load when they are first used.
"""

import importlib
from typing import Any
from typing import TYPE_CHECKING

__version__ = '0.1.0'

_HOMES = {
    'AbsoluteResource': 'cellplug.quota.resources',
    'CELL0_UUID': 'cellplug.objects',
    'CellMapping': 'cellplug.objects',
    'CellRouter': 'cellplug.cells.router',
    'CellState': 'cellplug.objects',
    'CountableResource': 'cellplug.quota.resources',
    'Database': 'cellplug.db',
    'InstanceMapping': 'cellplug.objects',
    'RequestContext': 'cellplug.context',
    'ReservableResource': 'cellplug.quota.resources',
    'Route': 'cellplug.objects',
    'register_opts': 'cellplug.conf',
    'sorted_select': 'cellplug.db.listing',
    'sync_api_database': 'cellplug.cells.schemas',
}

__all__ = [
    'AbsoluteResource',
    'CELL0_UUID',
    'CellMapping',
    'CellRouter',
    'CellState',
    'CountableResource',
    'Database',
    'InstanceMapping',
    'RequestContext',
    'ReservableResource',
    'Route',
    'register_opts',
    'sorted_select',
    'sync_api_database',
]

if TYPE_CHECKING:
    from cellplug.cells.router import CellRouter
    from cellplug.cells.schemas import sync_api_database
    from cellplug.conf import register_opts
    from cellplug.context import RequestContext
    from cellplug.db import Database
    from cellplug.db.listing import sorted_select
    from cellplug.objects import CELL0_UUID
    from cellplug.objects import CellMapping
    from cellplug.objects import CellState
    from cellplug.objects import InstanceMapping
    from cellplug.objects import Route
    from cellplug.quota.resources import AbsoluteResource
    from cellplug.quota.resources import CountableResource
    from cellplug.quota.resources import ReservableResource
else:

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f'module {__name__!r} has no {name!r}')
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)
