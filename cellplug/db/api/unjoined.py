"""Queries of instance mappings alone, their cells' rows left aside."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from collections.abc import Iterator

import sqlalchemy as sa

from cellplug.db import tables
from cellplug.db.api import models
from cellplug.objects import InstanceMapping

_instance = models.instance_mapping

BATCH = 500
"""How many instances one statement names."""

_ROWS = sa.select(
    _instance.c.instance_uuid,
    _instance.c.cell_uuid,
    _instance.c.project_id,
    _instance.c.user_id,
    _instance.c.generation,
).where(
    _instance.c.instance_uuid.in_(sa.bindparam('instances', expanding=True))
)


def get_unjoined(
    session: tables.Handle, uuids: Iterable[str]
) -> dict[str, InstanceMapping]:
    """Where these instances live, for resolvers that know the cells.

    The mappings have no ``cell`` and no times; instances that are not mapped
    are left out. One query per :data:`BATCH` instances.
    """
    return {
        row[0]: InstanceMapping(
            instance_uuid=row[0],
            cell_uuid=row[1],
            project_id=row[2],
            user_id=row[3],
            generation=row[4],
        )
        for batch in batches(uuids)
        for row in session.execute(_ROWS, {'instances': batch})
    }


def batches(uuids: Iterable[str]) -> Iterator[list[str]]:
    """The uuids, each once, sorted: the order in which rows are locked."""
    rest = iter(sorted(set(uuids)))
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch
