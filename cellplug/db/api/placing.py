"""Queries that place new instances: counts, and a mapping made once.

Every function works in the caller's transaction, as those of
:mod:`.instances` do, and keeps to their lock order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import tables
from cellplug.db.api import cells
from cellplug.db.api import instances
from cellplug.db.api import models
from cellplug.objects import CellMapping
from cellplug.objects import InstanceMapping

_instance = models.instance_mapping

_ATTEMPTS = 5
"""How often in a row somebody may unmap what was in the way."""

_INSERTS = tables.insert_absent(
    _instance, _instance.c.id, generation=tables.clock()
)
_COUNT = sa.select(_instance.c.cell_uuid, sa.func.count()).group_by(
    _instance.c.cell_uuid
)
_COUNT_PROJECT = _COUNT.where(
    _instance.c.project_id == sa.bindparam('project')
)


def count(session: tables.Handle) -> dict[str, int]:
    """How many instances are mapped to each cell that has any.

    One query, which reads one index entry for each instance there is.
    """
    return _numbers(session.execute(_COUNT))


def count_project(session: tables.Handle, project_id: str) -> dict[str, int]:
    """How many instances of the project each cell has that has any.

    One query, which reads one index entry for each instance of the project.
    """
    return _numbers(session.execute(_COUNT_PROJECT, {'project': project_id}))


def _numbers(rows: Iterable[Any]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows}


def all_cells(session: tables.Handle) -> list[CellMapping]:
    """Every cell, in the order in which they were created."""
    return cells.get_all(session)


def find(session: tables.Handle, instance_uuid: str) -> InstanceMapping | None:
    """Where the instance lives; None if it is not mapped."""
    return instances.get_many(session, [instance_uuid]).get(instance_uuid)


def lock_cell(session: tables.Handle, cell_uuid: str) -> CellMapping | None:
    """The cell as it is, which stays so until the transaction ends.

    Waits for one that changes it. None if it was deleted.
    """
    try:
        return cells.lock(session, cell_uuid)
    except exception.CellMappingNotFound:
        return None


def place(session: tables.Handle, wanted: InstanceMapping) -> InstanceMapping:
    """Map the instance, unless it is mapped; where it lives now.

    Of several transactions that place one instance at once, one wins; the
    others wait for it, and get its mapping, whichever cell that names.

    :param wanted: its cell's row is locked, where it has one.
    """
    row = {
        'instance_uuid': wanted.instance_uuid,
        'cell_uuid': wanted.cell_uuid,
        'project_id': wanted.project_id,
        'user_id': wanted.user_id,
    }
    dialect = tables.connection(session).dialect
    for _ in range(_ATTEMPTS):
        session.execute(_INSERTS[dialect.name], row)
        found = find(session, wanted.instance_uuid)
        if found is not None:
            return found
    raise exception.InstanceMappingNotFound(wanted.instance_uuid)
