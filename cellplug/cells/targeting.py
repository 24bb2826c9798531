"""Aiming requests at cells: the first thing that a router does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from typing import Concatenate
from typing import ParamSpec
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import objects
from cellplug.cells import building
from cellplug.cells import checking
from cellplug.cells import collection
from cellplug.cells import instances
from cellplug.cells import rerunning
from cellplug.cells import targets
from cellplug.db import registry as db_registry
from cellplug.objects import identifiers

Context = cellplug_context.RequestContext
P = ParamSpec('P')
R = TypeVar('R')


class Targeting:
    """The part of the router that hands out targeted contexts.

    :ivar cells: the cells, see :class:`.collection.CellCollection`.
    :ivar instances: the instance mappings, see
        :class:`.instances.InstanceCollection`.
    """

    def __init__(self, parts: building.Parts) -> None:
        self._parts = parts
        self._registry: db_registry.EngineRegistry = parts.registry
        self._resolver = parts.resolver
        self.cells: collection.CellCollection = parts.cells
        self.instances: instances.InstanceCollection = parts.instances

    def target_cell(
        self, context: Context, cell: checking.Cell | None
    ) -> AbstractContextManager[Any]:
        """A block with a copy of the context that is aimed at the cell.

        The context itself is not touched. A CellMapping is used as it is, or
        the newest one this process has seen; a uuid or name is looked up.

        :param cell: CellMapping, uuid or name; None aims at no cell.
        :raises CellMappingNotFound: if there is no such cell.
        :raises CellStateForbids: if the cell is disabled.
        """
        targets.checked(context)
        if cell is None:
            return cellplug_context.Block(context.untargeted())
        entry = self._registry.attach(self._mapping(cell, context))
        return cellplug_context.Block(targets.aimed(context, entry, None))

    def target_instance(
        self,
        context: Context,
        instance_uuid: str,
        *,
        project_id: str | None = None,
    ) -> AbstractContextManager[Any]:
        """A block with a copy that is aimed at the instance's cell.

        The copy carries its route: by which version of the instance's
        mapping it was aimed.

        :param project_id: the instance's, the context's by default: for
            resolvers that find instances by their project.
        :raises InstanceMappingNotFound: if the instance is not mapped.
        :raises CellStateForbids: if its cell is disabled.
        """
        found = self.instances.get(
            targets.checked(context), instance_uuid, project_id=project_id
        )
        if found.cell is None:
            raise exception.CellMappingNotFound(found.cell_uuid)
        entry = self._registry.attach(found.cell)
        route = objects.Route(found.instance_uuid, found.generation)
        return cellplug_context.Block(targets.aimed(context, entry, route))

    def set_target_cell(
        self, context: Context, cell: checking.Cell | None
    ) -> None:
        """Aim the context itself at the cell, for good.

        For a context that the caller owns alone. All or nothing.

        :raises CellMappingNotFound: if there is no such cell; the context
            stays as it was.
        :raises CellStateForbids: if the cell is disabled; likewise.
        """
        targets.checked(context)
        if cell is None:
            target: tuple[Any, Any, Any] = (None, None, None)
        else:
            entry = self._registry.attach(self._mapping(cell, context))
            entry.guard.check_target()
            target = (entry.uuid, entry.queue, entry.uuid)
        context.db_connection, context.mq_connection, context.cell_uuid = (
            target
        )
        context.route = None

    def run(
        self,
        context: Context,
        instance_uuid: str,
        fn: Callable[Concatenate[Any, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Target the instance, call ``fn(cctxt, *args)``, return its result.

        Called once more, newly targeted, if this route was stale, or if the
        cell's database could not be reached before the request had done
        anything: no statement answered, no message sent. Not while a breaker
        has the cell refused without asking. ``fn`` has to bear that: where a
        worker refused a stale route, what ``fn`` did before stays done.
        """
        targets.checked(context)
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)

        def attempt() -> R:
            with self.target_instance(context, uuid) as cctxt:
                return fn(cctxt, *args, **kwargs)

        reread = self._parts.binding.rereader.reread
        return rerunning.run(context, uuid, attempt, self._resolver, reread)

    def _mapping(
        self, cell: checking.Cell, context: Context | None = None
    ) -> objects.CellMapping:
        if isinstance(cell, objects.CellMapping):
            return cell
        name = checking.named(cell)
        return self._parts.asking.cell(name, context)
