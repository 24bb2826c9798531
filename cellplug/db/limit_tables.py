"""Where limits stand, in the API database and in cells from before it."""

from __future__ import annotations

import types
from collections.abc import Mapping

PROJECTS = 'quotas'
USERS = 'project_user_quotas'
CLASSES = 'quota_classes'

OWNERS: Mapping[str, tuple[str, ...]] = types.MappingProxyType(
    {
        PROJECTS: ('project_id',),
        USERS: ('project_id', 'user_id'),
        CLASSES: ('class_name',),
    }
)
"""The columns that say whose limits they are, by table."""

EMPTY = 'empty'
"""The mark, in migration_state, of a table that is empty in a cell."""
