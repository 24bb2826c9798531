"""The ``database`` resolver: every look-up asks the API database."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import interfaces
from cellplug import objects

R = TypeVar('R')
_Query = Callable[..., R]
_Context = cellplug_context.InternalContext


def _cell(context: _Context, cell: str) -> objects.CellMapping:
    return db.cell_queries.get(context.session, cell)


def _cells(context: _Context) -> list[objects.CellMapping]:
    return db.cell_queries.get_all(context.session)


def _instance(
    context: _Context, uuid: str, known: dict[str, objects.CellMapping]
) -> objects.InstanceMapping:
    return db.instance_queries.get(context.session, uuid, known)


def _instances(
    context: _Context, uuids: list[str]
) -> dict[str, objects.InstanceMapping]:
    return db.instance_queries.get_many(context.session, uuids)


class DatabaseResolver(interfaces.Resolver):
    """Reads cells and instance mappings from the API database's primary.

    *When it is right.* Always: it is the default. Every answer is the truth
    of the moment; a look-up costs one query. What it remembers is the rows of
    the cells whose instances it looked up, and it uses one only where that
    query names the same generation of the cell.

    *Needs* ``[api_database] connection``. Without it every method raises
    NotSupported; while the database is down, DatabaseUnavailable.
    """

    capabilities = frozenset({interfaces.ResolverCapability.INSTANCES})

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        # Decorated, so that a pooled connection that had died is replaced
        # without a word.
        reader = host.database.api.reader.primary.single.connection
        self._query_cell: _Query[objects.CellMapping] = reader(_cell)
        self._query_cells: _Query[list[objects.CellMapping]] = reader(_cells)
        self._query_instance: _Query[objects.InstanceMapping] = reader(
            _instance
        )
        self._query_instances: _Query[dict[str, objects.InstanceMapping]] = (
            reader(_instances)
        )
        self._known: dict[str, objects.CellMapping] = {}
        self._context = _Context(request_id=f'req-resolver-{os.getpid()}')

    def get_cell(self, cell: str) -> objects.CellMapping:
        """The cell of this uuid or name: one query."""
        return self._query_cell(self._context, cell)

    def list_cells(self) -> list[objects.CellMapping]:
        """All cells: one query."""
        return self._query_cells(self._context)

    def get_instance(self, instance_uuid: str) -> objects.InstanceMapping:
        """The mapping and its cell: one query, two for a cell that is new."""
        found = self._query_instance(self._context, instance_uuid, self._known)
        if found.cell is not None:
            self._known[found.cell_uuid] = found.cell
        return found

    def get_instances(
        self, instance_uuids: Iterable[str]
    ) -> dict[str, objects.InstanceMapping]:
        """The mappings and their cells: one query for some hundred."""
        return self._query_instances(self._context, list(instance_uuids))

    def forget_cell(self, cell_uuid: str) -> None:
        """Forget the cell's row: it may be gone."""
        self._known.pop(cell_uuid, None)

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to close: the engines are the router's."""
