"""Rows of instance mappings as objects, their cells read once for many."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cellplug.db import tables
from cellplug.db.api import cells
from cellplug.db.api import models
from cellplug.objects import CellMapping
from cellplug.objects import InstanceMapping

_instance = models.instance_mapping
_cell = models.cell_mapping

COLUMNS = (
    _instance.c.instance_uuid,
    _instance.c.cell_uuid,
    _instance.c.project_id,
    _instance.c.user_id,
    _instance.c.generation,
    _instance.c.created_at,
    _instance.c.updated_at,
)
SELECT = sa.select(*COLUMNS)
"""Mappings alone; :func:`with_cells` finds their cells."""

_CELLS = sa.select(*cells.COLUMNS).where(
    _cell.c.uuid.in_(sa.bindparam('cells', expanding=True))
)


def from_row(row: Any, cell: CellMapping | None) -> InstanceMapping:
    """The mapping whose :data:`COLUMNS` a row begins with."""
    return InstanceMapping(
        instance_uuid=row[0],
        cell_uuid=row[1],
        project_id=row[2],
        user_id=row[3],
        generation=row[4],
        cell=cell,
        created_at=row[5],
        updated_at=row[6],
    )


def find_cells(
    session: tables.Handle, rows: Iterable[Any], known: dict[str, CellMapping]
) -> None:
    """Read the cells that the rows name and that are not known yet.

    Of many rows, a few columns each: their cells' URLs in every one of them
    would be most of what is read.
    """
    missing = {row[1] for row in rows} - known.keys()
    if missing:
        for row in session.execute(_CELLS, {'cells': sorted(missing)}):
            known[row[0]] = cells.from_columns(*row)


def with_cells(
    session: tables.Handle,
    rows: list[Any],
    known: Mapping[str, CellMapping] | None = None,
) -> list[InstanceMapping]:
    """Rows of :data:`SELECT`, with their cells: one query more.

    ``cell`` is None where a mapping names none that exists.

    :param known: cells by uuid that need not be read.
    """
    seen = dict(known or {})
    find_cells(session, rows, seen)
    return [from_row(row, seen.get(row[1])) for row in rows]
