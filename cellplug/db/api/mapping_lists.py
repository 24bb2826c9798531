"""Lists and counts of instance mappings, page by page."""

from __future__ import annotations

import sqlalchemy as sa

from cellplug.db import tables
from cellplug.db.api import mapping_rows
from cellplug.db.api import models
from cellplug.objects import InstanceMapping

_instance = models.instance_mapping

_LIST = mapping_rows.SELECT.order_by(_instance.c.instance_uuid)
_COUNT = sa.select(sa.func.count()).where(
    _instance.c.cell_uuid == sa.bindparam('cell')
)


def list_(
    session: tables.Handle,
    *,
    project_id: str | None = None,
    cell_uuid: str | None = None,
    limit: int | None = None,
    marker: str | None = None,
) -> list[InstanceMapping]:
    """Mappings in the order of their instances' uuids.

    :param marker: an instance's uuid, mapped or not: begin behind it.
    :param limit: at most so many; None: all.
    """
    statement = _LIST
    if project_id is not None:
        statement = statement.where(_instance.c.project_id == project_id)
    if cell_uuid is not None:
        statement = statement.where(_instance.c.cell_uuid == cell_uuid)
    if marker is not None:
        statement = statement.where(_instance.c.instance_uuid > marker)
    if limit is not None:
        statement = statement.limit(limit)
    rows = list(session.execute(statement))
    return mapping_rows.with_cells(session, rows)


def count(session: tables.Handle, cell_uuid: str) -> int:
    """How many instances are mapped to a cell."""
    return session.execute(_COUNT, {'cell': cell_uuid}).scalar_one()
