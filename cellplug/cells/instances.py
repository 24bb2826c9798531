"""``router.instances``: which instance lives in which cell."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug import db
from cellplug.cells import asking
from cellplug.cells import checking
from cellplug.cells import instance_lookups
from cellplug.cells import mapping_input
from cellplug.cells import targets
from cellplug.objects import identifiers
from cellplug.objects import mappings

Context = cellplug_context.RequestContext
Cell = checking.Cell

R = TypeVar('R')
Found = dict[str, mappings.InstanceMapping]

CHUNK = 5000
"""How many instances are mapped or unmapped at a time."""


class InstanceCollection(instance_lookups.InstanceLookups):
    """Maps instances to cells, and finds them again.

    Everything works on the API database in a transaction of its own, or
    joins the API transaction that the request has open; then other processes
    see it when that one commits. Where there is no API database, or where
    the resolver knows by itself where instances live, writing and listing
    raise NotSupported.

    A cell that is not ``enabled`` takes no new instances: to map or move one
    there raises CellStateForbids, unless ``existing=True`` says that the
    instance lives there already, as for imports.
    """

    def __init__(
        self, database: db.Database, resolver: Any, asking: asking.Asking
    ) -> None:
        super().__init__(database, asking)
        self._resolver = resolver

    def map(
        self,
        context: Context,
        instance_uuid: str,
        cell: Cell,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
        existing: bool = False,
    ) -> mappings.InstanceMapping:
        """Say in which cell an instance lives.

        Mapping it to the same cell again changes nothing, whatever the
        cell's state.

        :param project_id: the instance's project; the context's by default.
        :param user_id: the instance's user; the context's by default.
        :param existing: it lives there already; whatever the cell's state.
        :raises InstanceAlreadyMapped: if it is mapped to another cell.
        :raises CellMappingNotFound: if there is no such cell.
        :raises CellStateForbids: if the cell takes no new instances.
        :raises InvalidInput: for a uuid that is none, or without a project.
        """
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)
        targets.checked(context)
        project, user = checking.owner(context, project_id, user_id)
        rows = mapping_input.Rows(self._asking, context)
        with self._writing(context) as session:
            made = db.instance_queries.map(
                session,
                uuid,
                rows.cell_uuid(session, cell),
                project,
                user,
                existing=existing,
                own_cells=rows.own_cells,
            )
            self._forget_mapped(context, [made])
        return self._asking.filled([made])[0]

    def map_many(
        self,
        context: Context,
        mappings: Mapping[str, Cell] | Iterable[Any],
        *,
        existing: bool = False,
    ) -> builtins.list[mappings.InstanceMapping]:
        """Map many instances in one transaction, all or none.

        What is returned, and all there is to it meanwhile, is in memory: for
        more than some hundred thousand see :meth:`map_stream`.

        :param mappings: ``{instance_uuid: cell}``, or an iterable of
            ``(instance_uuid, cell)``, of InstanceMapping, or of dictionaries
            with ``instance_uuid``, ``cell`` and optionally ``project_id``
            and ``user_id``; the context's project and user by default.
        :param existing: as for :meth:`map`, of all of them.
        :returns: the mappings, as they are now, in the order given.
        :raises InstanceAlreadyMapped: if one is mapped to another cell.
        :raises CellStateForbids: if a cell takes no new instances.
        """
        targets.checked(context)
        with self._writing(context) as session:
            made = self._map(
                context, session, mapping_input.items(mappings), existing
            )
        return self._asking.filled(made)

    def map_stream(
        self,
        context: Context,
        mappings: Mapping[str, Cell] | Iterable[Any],
        *,
        existing: bool = False,
        chunk: int = CHUNK,
    ) -> int:
        """Map any number of instances, in constant memory; how many.

        Some at a time: each chunk in a transaction of its own, all or none,
        which is repeated if it loses a conflict. What was mapped before an
        error stays mapped; as mapping again changes nothing, the whole may be
        done again. Inside ``database.api.writer.using(context)`` all chunks
        are one transaction, which is all or none.

        :param mappings: as for :meth:`map_many`. Its items are taken from it
            while no transaction is open for them.
        :param existing: as for :meth:`map`, of all of them.
        :param chunk: how many at a time; 1 or more.
        :raises InstanceAlreadyMapped: also CellStateForbids, as map_many.
        """
        targets.checked(context)
        size = mapping_input.check_size('chunk', chunk)
        count = 0
        for items in mapping_input.chunked(
            mapping_input.items(mappings), size
        ):
            self._repeated(context, self._map, items, existing)
            count += len(items)
        return count

    def take_in(
        self,
        context: Context,
        cell: mappings.CellMapping,
        rows: builtins.list[mapping_input.Row],
        beside: Callable[[Any, Found, Found], None],
    ) -> tuple[Found, Found]:
        """Map what was found in a cell, for :mod:`.mapping_all`, at once.

        :param rows: all of them of this cell.
        :param beside: writes more, called with the session and the result.
        :returns: by instance, what was mapped before, and what was not;
            either may be mapped to another cell.
        """
        own = {cell.uuid: cell} if self._asking.own_cells else None

        def write(context: Context, session: Any) -> tuple[Found, Found]:
            there, made = db.instance_queries.take_in(
                session, rows, own_cells=own
            )
            beside(session, there, made)
            self._forget_mapped(context, made.values())
            return there, made

        return self._repeated(context, write)

    def _map(
        self,
        context: Context,
        session: Any,
        items: Iterable[Any],
        existing: bool,
    ) -> builtins.list[mappings.InstanceMapping]:
        rows = mapping_input.Rows(self._asking, context)
        made = db.instance_queries.map_many(
            session,
            [rows.row(session, item) for item in items],
            existing=existing,
            own_cells=rows.own_cells,
        )
        self._forget_mapped(context, made)
        return made

    def _forget_mapped(
        self, context: Context, made: Iterable[mappings.InstanceMapping]
    ) -> None:
        known = {one.instance_uuid: one.generation for one in made}
        self._forget(context, known)

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

    def unmap(
        self,
        context: Context,
        uuids: str | Iterable[str],
        *,
        chunk: int | None = None,
    ) -> int:
        """Forget where instances live; how many of them were mapped.

        For instances whose rows were purged: the mapping of a deleted
        instance is still needed to list it.

        :param chunk: None: all of them in one transaction. Else so many at a
            time, in constant memory: each chunk in a transaction of its own,
            as in :meth:`map_stream`. What was unmapped before an error stays
            so, and may be named again.
        """
        targets.checked(context)
        wanted = [uuids] if isinstance(uuids, str) else uuids
        if chunk is None:
            checked = mapping_input.uuids(wanted)
            with self._writing(context) as session:
                return self._unmap(context, session, checked)
        size = mapping_input.check_size('chunk', chunk)
        count = 0
        for some in mapping_input.chunked(wanted, size):
            checked = mapping_input.uuids(some)
            count += self._repeated(context, self._unmap, checked)
        return count

    def _unmap(
        self, context: Context, session: Any, uuids: builtins.list[str]
    ) -> int:
        count = db.instance_queries.unmap(session, uuids)
        self._forget(context, dict.fromkeys(uuids))
        return count

    def move(
        self,
        context: Context,
        instance_uuid: str,
        cell: Cell,
        *,
        expected_generation: int,
        existing: bool = False,
    ) -> mappings.InstanceMapping:
        """Point the mapping at another cell: compare and set.

        The mapping alone changes; the instance's rows are the service's.

        :param existing: as for :meth:`map`: its rows are there already.
        :raises StaleRoute: unless the mapping has the expected generation.
        :raises InstanceMappingNotFound: if the instance is not mapped.
        :raises CellStateForbids: if the cell takes no new instances.
        """
        targets.checked(context)
        checking.number('expected_generation', expected_generation)
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)
        rows = mapping_input.Rows(self._asking, context)
        with self._writing(context) as session:
            moved = db.instance_queries.move(
                session,
                uuid,
                rows.cell_uuid(session, cell),
                expected_generation,
                existing=existing,
                own_cells=rows.own_cells,
            )
            self._forget_mapped(context, [moved])
        return self._asking.filled([moved])[0]

    def _repeated(
        self, context: Context, write: Callable[..., R], *args: Any
    ) -> R:
        """Write; again if it loses a conflict and is the outermost."""

        def run(context: Context) -> R:
            return write(context, context.session, *args)

        self._asking.need_mappings()
        run = self._database.api.writer(run)
        if not context._request_state.open.stack:
            run = self._database.retrying(run)
        return run(context)

    def _writing(self, context: Context) -> Any:
        self._asking.need_mappings()
        return self._database.api.writer.using(context)
