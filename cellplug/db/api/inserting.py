"""Insert instance mappings where there are none, many at a time."""

from __future__ import annotations

import types
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cellplug.db import tables
from cellplug.db.api import models
from cellplug.objects import InstanceMapping

_table = models.instance_mapping

_INSERTS = tables.insert_absent(_table, _table.c.id, generation=tables.clock())
_AT_ONCE: Mapping[str, Any] = types.MappingProxyType(
    {name: one.returning(_table.c.id) for name, one in _INSERTS.items()}
)
"""MariaDB answers these once for all rows, instead of once for each."""


def insert_missing(
    session: tables.Handle, mappings: Sequence[InstanceMapping]
) -> None:
    """Insert the instances that are not mapped, and leave the others alone.

    Waits for transactions that are inserting one of them.

    :param mappings: in the order in which their rows are to be locked.
    """
    dialect = tables.connection(session).dialect
    rows = [_row(one) for one in mappings]
    if len(rows) > 1 and dialect.insert_executemany_returning:
        session.execute(_AT_ONCE[dialect.name], rows).close()
    else:
        session.execute(_INSERTS[dialect.name], rows)


def _row(mapping: InstanceMapping) -> dict[str, Any]:
    return {
        'instance_uuid': mapping.instance_uuid,
        'cell_uuid': mapping.cell_uuid,
        'project_id': mapping.project_id,
        'user_id': mapping.user_id,
    }
