"""Finding out where instances live, one, some, or all of them."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug.cells import asking
from cellplug.cells import checking
from cellplug.cells import mapping_input
from cellplug.cells import targets
from cellplug.objects import identifiers
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
Cell = checking.Cell

PAGE = 1000
"""How many mappings are read at a time."""


class InstanceLookups:
    """The part of ``router.instances`` that reads."""

    def __init__(self, database: db.Database, asking: asking.Asking) -> None:
        self._database = database
        self._asking = asking

    def get(
        self,
        context: Context,
        instance_uuid: str,
        *,
        project_id: str | None = None,
    ) -> mappings.InstanceMapping:
        """The mapping of an instance, with its cell, as the source has it.

        :param project_id: the instance's, the context's by default; for
            resolvers that find instances by their project.
        :raises InstanceMappingNotFound: if it is not mapped.
        """
        targets.checked(context)
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)
        return self._asking.instance(context, uuid, project_id)

    def get_many(
        self,
        context: Context,
        instance_uuids: Iterable[str],
        *,
        project_id: str | None = None,
    ) -> dict[str, mappings.InstanceMapping]:
        """The mappings of those instances that are mapped, by uuid.

        :param project_id: of all of them, as for :meth:`get`.
        """
        targets.checked(context)
        uuids = mapping_input.uuids(instance_uuids)
        return self._asking.instances(context, uuids, project_id)

    def list(
        self,
        context: Context,
        *,
        project_id: str | None = None,
        cell: Cell | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> builtins.list[mappings.InstanceMapping]:
        """Mappings in the order of their instance uuids.

        Of very many, see :meth:`iterate`.

        :param limit: at most so many; 0 or more.
        :param marker: an instance uuid; only those after it. It need not be
            mapped any more.
        """
        targets.checked(context)
        if limit is not None:
            checking.number('limit', limit)
        project_id, marker = _checked(project_id, marker)
        cell_uuid = self._known(context, cell)
        return self._list(context, project_id, cell_uuid, limit, marker)

    def iterate(
        self,
        context: Context,
        *,
        project_id: str | None = None,
        cell: Cell | None = None,
        marker: str | None = None,
        page: int = PAGE,
    ) -> Iterator[mappings.InstanceMapping]:
        """All of them, in the order of their instance uuids, page by page.

        In memory there is one page, however many there are. Each page is
        read in a transaction of its own, or in the API transaction that the
        request has open: what is mapped, moved or unmapped meanwhile is seen
        if it lies behind the page that was read last. Each mapping that is
        there all the time comes exactly once.

        The arguments are checked at once; a cell that is deleted on the way
        has no mappings left.

        :param marker: an instance uuid; only those after it, as for one who
            goes on where an earlier iteration ended.
        :param page: how many are read at a time; 1 or more.
        """
        targets.checked(context)
        size = mapping_input.check_size('page', page)
        project_id, marker = _checked(project_id, marker)
        cell_uuid = self._known(context, cell)
        return self._pages(context, project_id, cell_uuid, size, marker)

    def _pages(
        self,
        context: Context,
        project_id: str | None,
        cell_uuid: str | None,
        size: int,
        marker: str | None,
    ) -> Iterator[mappings.InstanceMapping]:
        while True:
            found = self._list(context, project_id, cell_uuid, size, marker)
            yield from found
            if len(found) < size:
                return
            marker = found[-1].instance_uuid

    def _list(
        self,
        context: Context,
        project_id: str | None,
        cell_uuid: str | None,
        limit: int | None,
        marker: str | None,
    ) -> builtins.list[mappings.InstanceMapping]:
        with self._reading(context) as session:
            rows = db.instance_queries.list_(
                session,
                project_id=project_id,
                cell_uuid=cell_uuid,
                limit=limit,
                marker=marker,
            )
        return self._asking.filled(rows)

    def _known(self, context: Context, cell: Cell | None) -> str | None:
        """The uuid of a cell that is to be listed.

        :raises CellMappingNotFound: if there is none.
        """
        self._asking.need_mappings()
        if cell is None:
            return None
        return self._asking.cell(checking.named(cell), context).uuid

    def _reading(self, context: Context) -> Any:
        return self._database.api.reader.primary.using(context)


def _checked(
    project_id: str | None, marker: str | None
) -> tuple[str | None, str | None]:
    if project_id is not None:
        identifiers.check_id('project_id', project_id)
    if marker is not None:
        marker = identifiers.canonical_uuid('marker', marker)
    return project_id, marker
