"""Databases: the dispatching facade, engines, schemas and mapping queries.

What ``__all__`` names is public to drivers; everything else here is not.
"""

from cellplug.db import limit_tables
from cellplug.db.api import cells as cell_queries
from cellplug.db.api import instances as instance_queries
from cellplug.db.api import migration_states as migration_queries
from cellplug.db.api import quota_limits as limit_queries
from cellplug.db.api import quota_usages as quota_queries
from cellplug.db.cell import legacy_quotas as legacy_quota_queries
from cellplug.db.facade import Database

__all__ = [
    'Database',
    'cell_queries',
    'instance_queries',
    'legacy_quota_queries',
    'limit_queries',
    'limit_tables',
    'migration_queries',
    'quota_queries',
]
