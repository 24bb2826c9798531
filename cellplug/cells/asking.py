"""What to ask of the resolver, and what of the API database.

Resolvers differ in what they own, see
:class:`cellplug.interfaces.ResolverCapability`: the cells, and where
instances live, may be rows in the API database or the driver's own business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug.objects import identifiers
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
Capability = interfaces.ResolverCapability


class Asking:
    """The resolver and the API database as one source.

    A request that has the API database open here has to see what it wrote
    and has not committed, and whoever holds a connection must not wait for
    another: then what stands in the API database is read there, in that
    transaction.
    """

    def __init__(self, database: db.Database, resolver: Any) -> None:
        self._database = database
        self._resolver = resolver
        declared: frozenset[Any] = getattr(
            resolver, 'capabilities', frozenset()
        )
        self._by_project = Capability.BY_PROJECT in declared
        self._own_instances = Capability.OWN_INSTANCES in declared
        self.own_cells = Capability.OWN_CELLS in declared

    def cell(
        self, cell: str, context: Context | None = None
    ) -> mappings.CellMapping:
        """The cell of this uuid or name.

        :param context: the request's, if there is one.
        :raises CellMappingNotFound: if there is none.
        """
        if context is None or self.own_cells or not self._joins(context):
            found: mappings.CellMapping = self._resolver.get_cell(cell)
            return found
        with self._database.api.reader.using(context) as session:
            return db.cell_queries.get(session, cell)

    def cell_uuid(self, session: Any, cell: str) -> str:
        """The uuid of a cell that a writer is going to name.

        Where the cells are rows, the query that writes finds out whether it
        exists.

        :raises CellMappingNotFound: if there is none.
        """
        if self.own_cells:
            return self.cell(cell).uuid
        if identifiers.is_uuid_like(cell):
            return cell
        return db.cell_queries.get(session, cell).uuid

    def instance(
        self, context: Context, uuid: str, project_id: str | None = None
    ) -> mappings.InstanceMapping:
        """The mapping of an instance, with its cell.

        :param project_id: the instance's; the context's by default.
        :raises InstanceMappingNotFound: if it is not mapped.
        """
        if self._own_instances or not self._joins(context):
            found: mappings.InstanceMapping = self._resolver.get_instance(
                uuid, **self._hint(context, project_id)
            )
            return found
        with self._database.api.reader.primary.using(context) as session:
            if not self.own_cells:
                return db.instance_queries.get(session, uuid)
            rows = db.instance_queries.get_unjoined(session, [uuid])
        if uuid not in rows:
            raise exception.InstanceMappingNotFound(uuid)
        cell = self._resolver.get_cell(rows[uuid].cell_uuid)
        return dataclasses.replace(rows[uuid], cell=cell)

    def instances(
        self,
        context: Context,
        uuids: Iterable[str],
        project_id: str | None = None,
    ) -> dict[str, mappings.InstanceMapping]:
        """The mappings of those that have one, by instance uuid."""
        if self._own_instances or not self._joins(context):
            found: dict[str, mappings.InstanceMapping]
            found = self._resolver.get_instances(
                uuids, **self._hint(context, project_id)
            )
            return found
        with self._database.api.reader.primary.using(context) as session:
            rows = db.instance_queries.get_many(session, uuids)
        return {row.instance_uuid: row for row in self.filled(rows.values())}

    def filled(
        self, rows: Iterable[mappings.InstanceMapping]
    ) -> list[mappings.InstanceMapping]:
        """Rows of the API database, with the resolver's cells if it has own.

        ``cell`` is None where there is no such cell.
        """
        if not self.own_cells:
            return list(rows)
        cells = {cell.uuid: cell for cell in self._resolver.list_cells()}
        return [
            dataclasses.replace(row, cell=cells.get(row.cell_uuid))
            for row in rows
        ]

    def refuse_cell_writes(self) -> None:
        """Raise NotSupported where the cells are no rows."""
        if self.own_cells:
            raise exception.NotSupported(
                'the cells of this deployment come from the resolver '
                f'{type(self._resolver).__name__}; change them there'
            )

    def need_mappings(self) -> None:
        """Raise NotSupported where the mappings are no rows."""
        if self._own_instances:
            raise exception.NotSupported(
                'where instances live is decided by the resolver '
                f'{type(self._resolver).__name__}; it keeps no mappings'
            )

    def _joins(self, context: Context) -> bool:
        return self._database.has_open_api_transaction(context)

    def _hint(
        self, context: Context, project_id: str | None
    ) -> dict[str, str | None]:
        if not self._by_project:
            return {}
        if project_id is not None:
            identifiers.check_id('project_id', project_id)
            return {'project_id': project_id}
        return {'project_id': context.project_id}
