"""How much of a resource may be used: an expression of SQL.

It looks the limit up where it is used, so that it is the one in force then.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cellplug.db.api import models
from cellplug.db.api.quota_limits import DEFAULT_CLASS
from cellplug.objects import quota


def room(user: bool, named: bool) -> sa.ColumnElement[int]:
    """The most that may be used for what is ``held`` to be admitted.

    Its parameters: ``project``, ``owner``, ``name`` (of the resource),
    ``held``, and ``default``, the limit where none is set.

    :param user: whether a limit of the user's own comes first.
    :param named: whether there is a ``quota_class`` beside ``default``.
    """
    project: Any = sa.bindparam('project')
    levels: list[tuple[sa.Table, dict[str, Any]]] = [
        (models.quotas, {'project_id': project}),
        (
            models.quota_classes,
            {'class_name': sa.literal_column(f"'{DEFAULT_CLASS}'")},
        ),
    ]
    if named:
        of_class: Any = {'class_name': sa.bindparam('quota_class')}
        levels.insert(1, (models.quota_classes, of_class))
    if user:
        own = {'project_id': project, 'user_id': sa.bindparam('owner')}
        levels.insert(0, (models.project_user_quotas, own))
    found = [
        sa.select(table.c.hard_limit)
        .where(
            *(table.c[name] == value for name, value in key.items()),
            table.c.resource == sa.bindparam('name'),
        )
        .scalar_subquery()
        for table, key in levels
    ]
    default = sa.bindparam('default', type_=sa.BigInteger())
    limit = sa.func.coalesce(*found, default)
    bounded = sa.func.coalesce(
        sa.func.nullif(limit, sa.literal_column('-1')),
        sa.literal_column(str(quota.MAX_LIMIT)),
    )
    return bounded - sa.bindparam('held', type_=sa.BigInteger())
