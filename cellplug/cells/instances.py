"""``router.instances``: which instance lives in which cell."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug.cells import asking
from cellplug.cells import checking
from cellplug.cells import targets
from cellplug.objects import identifiers
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
Cell = checking.Cell


class InstanceCollection:
    """Maps instances to cells, and finds them again.

    Everything works on the API database in a transaction of its own, or
    joins the API transaction that the request has open; then other processes
    see it when that one commits. Where there is no API database, or where
    the resolver knows by itself where instances live, writing and listing
    raise NotSupported.
    """

    def __init__(
        self, database: db.Database, resolver: Any, asking: asking.Asking
    ) -> None:
        self._database = database
        self._resolver = resolver
        self._asking = asking

    def map(
        self,
        context: Context,
        instance_uuid: str,
        cell: Cell,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> mappings.InstanceMapping:
        """Say in which cell an instance lives.

        Mapping it to the same cell again changes nothing.

        :param project_id: the instance's project; the context's by default.
        :param user_id: the instance's user; the context's by default.
        :raises InstanceAlreadyMapped: if it is mapped to another cell.
        :raises CellMappingNotFound: if there is no such cell.
        :raises InvalidInput: for a uuid that is none, or without a project.
        """
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)
        targets.checked(context)
        project, user = checking.owner(context, project_id, user_id)
        with self._writing(context) as session:
            cell_uuid = self._cell_uuid(session, cell)
            made = db.instance_queries.map(
                session,
                uuid,
                cell_uuid,
                project,
                user,
                has_row=not self._asking.own_cells,
            )
            self._forget(context, {uuid: made.generation})
        return self._asking.filled([made])[0]

    def map_many(
        self, context: Context, mappings: Mapping[str, Cell] | Iterable[Any]
    ) -> builtins.list[mappings.InstanceMapping]:
        """Map many instances in one transaction, all or none.

        :param mappings: ``{instance_uuid: cell}``, or an iterable of
            ``(instance_uuid, cell)``, of InstanceMapping, or of dictionaries
            with ``instance_uuid``, ``cell`` and optionally ``project_id``
            and ``user_id``; the context's project and user by default.
        :returns: the mappings, as they are now, in the order given.
        :raises InstanceAlreadyMapped: if one is mapped to another cell.
        """
        targets.checked(context)
        pairs: Iterable[Any] = (
            mappings.items() if isinstance(mappings, Mapping) else mappings
        )
        with self._writing(context) as session:
            known: dict[str, str] = {}
            rows = [self._row(session, context, p, known) for p in pairs]
            made = db.instance_queries.map_many(
                session, rows, has_row=not self._asking.own_cells
            )
            self._forget(
                context, {one.instance_uuid: one.generation for one in made}
            )
        return self._asking.filled(made)

    def _row(
        self, session: Any, context: Context, item: Any, known: dict[str, str]
    ) -> mappings.InstanceMapping:
        fields = _fields(item)
        name = checking.named(fields['cell'])
        if name not in known:
            known[name] = self._cell_uuid(session, fields['cell'])
        project, user = checking.owner(
            context, fields.get('project_id'), fields.get('user_id')
        )
        return mappings.InstanceMapping(
            instance_uuid=identifiers.canonical_uuid(
                'instance_uuid', fields['instance_uuid']
            ),
            cell_uuid=known[name],
            project_id=project,
            user_id=user,
        )

    def _forget(
        self, context: Context, generations: Mapping[str, int | None]
    ) -> None:
        """Have the resolver forget, once what was written can be read.

        Before the commit it would only learn the old again. Also what is
        mapped for the first time: "there is none" may be remembered.
        """
        self._database.on_api_commit(
            context, lambda: self._resolver.forget_instances(generations)
        )

    def _cell_uuid(self, session: Any, cell: Cell) -> str:
        return self._asking.cell_uuid(session, checking.named(cell))

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
        uuids = [
            identifiers.canonical_uuid('instance_uuid', uuid)
            for uuid in instance_uuids
        ]
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

        :param limit: at most so many; 0 or more.
        :param marker: an instance uuid; only those after it. It need not be
            mapped any more.
        """
        targets.checked(context)
        if limit is not None:
            checking.number('limit', limit)
        if project_id is not None:
            identifiers.check_id('project_id', project_id)
        if marker is not None:
            marker = identifiers.canonical_uuid('marker', marker)
        with self._reading(context) as session:
            cell_uuid = None
            if cell is not None:
                name = checking.named(cell)
                cell_uuid = self._asking.cell(name, context).uuid
            rows = db.instance_queries.list_(
                session,
                project_id=project_id,
                cell_uuid=cell_uuid,
                limit=limit,
                marker=marker,
            )
        return self._asking.filled(rows)

    def unmap(self, context: Context, uuids: str | Iterable[str]) -> int:
        """Forget where instances live; how many of them were mapped.

        For instances whose rows were purged: the mapping of a deleted
        instance is still needed to list it.
        """
        targets.checked(context)
        wanted = [uuids] if isinstance(uuids, str) else uuids
        checked = [
            identifiers.canonical_uuid('instance_uuid', uuid)
            for uuid in wanted
        ]
        with self._writing(context) as session:
            count = db.instance_queries.unmap(session, checked)
            self._forget(context, dict.fromkeys(checked))
        return count

    def move(
        self,
        context: Context,
        instance_uuid: str,
        cell: Cell,
        *,
        expected_generation: int,
    ) -> mappings.InstanceMapping:
        """Point the mapping at another cell: compare and set.

        The mapping alone changes; the instance's rows are the service's.

        :raises StaleRoute: unless the mapping has the expected generation.
        :raises InstanceMappingNotFound: if the instance is not mapped.
        """
        targets.checked(context)
        checking.number('expected_generation', expected_generation)
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)
        with self._writing(context) as session:
            cell_uuid = self._cell_uuid(session, cell)
            moved = db.instance_queries.move(
                session,
                uuid,
                cell_uuid,
                expected_generation,
                has_row=not self._asking.own_cells,
            )
            self._forget(context, {uuid: moved.generation})
        return self._asking.filled([moved])[0]

    def _reading(self, context: Context) -> Any:
        self._asking.need_mappings()
        return self._database.api.reader.primary.using(context)

    def _writing(self, context: Context) -> Any:
        self._asking.need_mappings()
        return self._database.api.writer.using(context)


def _fields(item: Any) -> dict[str, Any]:
    if isinstance(item, mappings.InstanceMapping):
        return {
            'instance_uuid': item.instance_uuid,
            'cell': item.cell_uuid,
            'project_id': item.project_id,
            'user_id': item.user_id,
        }
    if isinstance(item, Mapping):
        fields = dict(item)
        fields.setdefault('cell', fields.get('cell_uuid'))
        return {'instance_uuid': None, **fields}
    try:
        names = ('instance_uuid', 'cell', 'project_id', 'user_id')
        fields = dict(zip(names, item, strict=False))
    except TypeError:
        fields = {}
    if 'cell' not in fields:
        raise exception.InvalidInput(
            'mappings', f'{item!r} names no instance and cell'
        )
    return fields
