"""In which cells a project has instances."""

from __future__ import annotations

import sqlalchemy as sa

from cellplug.db import tables
from cellplug.db.api import models

_instance = models.instance_mapping

_CELLS = (
    sa.select(_instance.c.cell_uuid)
    .where(_instance.c.project_id == sa.bindparam('project'))
    .distinct()
)


def cells(session: tables.Handle, project_id: str) -> set[str]:
    """The uuids of the cells in which the project has instances.

    One query, answered by the index on (project_id, cell_uuid) alone.
    """
    return set(session.execute(_CELLS, {'project': project_id}).scalars())
