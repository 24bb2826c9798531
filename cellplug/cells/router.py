"""The router: the one owner of all that lives long, wired by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from typing import Concatenate
from typing import ParamSpec
from typing import Self
from typing import TypeVar

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import loader as cellplug_loader
from cellplug import objects
from cellplug.cells import building
from cellplug.cells import checking
from cellplug.cells import collection
from cellplug.cells import following
from cellplug.cells import instances
from cellplug.cells import serving
from cellplug.cells import targets
from cellplug.db import registry as db_registry
from cellplug.objects import identifiers
from cellplug.rpc import client as rpc_client

Context = cellplug_context.RequestContext
P = ParamSpec('P')
R = TypeVar('R')


class CellRouter:
    """Finds the cell of a request, and points the request at it.

    Made by :meth:`from_conf`; it owns the drivers, engines, transports and
    threads, and :meth:`close` ends them all. It is a context manager, safe
    for any number of threads, and may be used in a child after a fork.

    :ivar cells: the cells, see :class:`.collection.CellCollection`.
    :ivar instances: the instance mappings, see
        :class:`.instances.InstanceCollection`.
    :ivar database: the Database that the router bound.
    """

    def __init__(self, parts: building.Parts) -> None:
        self._parts = parts
        self._registry: db_registry.EngineRegistry = parts.registry
        self._resolver = parts.resolver
        self._closed = False
        self._servers = serving.Servers(parts)
        self.database: db.Database = parts.database
        self.cells: collection.CellCollection = parts.cells
        self.instances: instances.InstanceCollection = parts.instances
        parts.host.target_cell = self.target_cell

    @classmethod
    def from_conf(
        cls,
        conf: cfg.ConfigOpts,
        *,
        database: db.Database | None = None,
        context_class: type[Context] = Context,
        resolver: Any = None,
        transport_cache: Any = None,
        allowed_remote_exmods: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Load the drivers and wire everything; contacts nothing.

        :param conf: parsed, with cellplug's options registered.
        :param database: the service's Database; it is bound until the
            router is closed. By default the router makes one.
        :param context_class: what workers' contexts are made of.
        :param resolver: a driver to use instead of the configured one; the
            router closes it too. Likewise ``transport_cache``.
        :param allowed_remote_exmods: modules, beside cellplug's own, whose
            exceptions a worker may send back.
        :param clock: seconds since the epoch.
        :raises DriverError: if a driver cannot be loaded.
        :raises DatabaseAlreadyBound: if the Database has an open router.
        :raises InvalidURL: if a URL of the configuration cannot be used.
        """
        parts = building.build(
            conf,
            database if database is not None else db.Database(),
            context_class=context_class,
            resolver=resolver,
            transport_cache=transport_cache,
            allowed_remote_exmods=allowed_remote_exmods,
            clock=clock,
        )
        return cls(parts)

    @property
    def drivers(self) -> cellplug_loader.Loader:
        """The loader of this router's drivers."""
        return self._parts.loader

    # -- targeting ---------------------------------------------------------

    def target_cell(
        self, context: Context, cell: checking.Cell | None
    ) -> AbstractContextManager[Any]:
        """A block with a copy of the context that is aimed at the cell.

        The context itself is not touched. A CellMapping is used as it is, or
        the newest one this process has seen; a uuid or name is looked up.

        :param cell: CellMapping, uuid or name; None aims at no cell.
        :raises CellMappingNotFound: if there is no such cell.
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
        """
        targets.checked(context)
        if cell is None:
            target: tuple[Any, Any, Any] = (None, None, None)
        else:
            entry = self._registry.attach(self._mapping(cell, context))
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
        anything: no statement answered, no message sent. ``fn`` has to bear
        that: where a worker refused a stale route, what ``fn`` did before
        stays done.
        """
        state = targets.checked(context)._request_state
        acted = state.acted
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)
        try:
            with self.target_instance(context, uuid) as cctxt:
                return fn(cctxt, *args, **kwargs)
        except exception.StaleRoute as exc:
            if exc.instance_uuid != uuid:
                raise
        except exception.CellUnavailable as exc:
            if not exc.before_first_statement or state.acted != acted:
                raise
        self._resolver.forget_instance(uuid)
        with self.target_instance(context, uuid) as cctxt:
            return fn(cctxt, *args, **kwargs)

    def _mapping(
        self, cell: checking.Cell, context: Context | None = None
    ) -> objects.CellMapping:
        if isinstance(cell, objects.CellMapping):
            return cell
        name = checking.named(cell)
        return self._parts.asking.cell(name, context)

    # -- messaging ---------------------------------------------------------

    def rpc_client(
        self, context: Context, target: Any, **options: Any
    ) -> rpc_client.RPCClient:
        """An RPC client on the queue the context is aimed at.

        Untargeted, that is ``[DEFAULT] transport_url``. Nothing is connected
        before the first message.

        :param target: an ``oslo_messaging.Target``.
        :param options: timeout (seconds), version_cap, call_monitor_timeout.
        """
        queue = targets.checked(context).mq_connection
        if queue is None:
            if context.cell_uuid is not None:
                raise exception.NotTargeted(
                    'the context came over RPC and is aimed at no queue'
                )
            queue = self._parts.own_queue
        client = rpc_client.RPCClient(queue, target, self._parts.rpc_settings)
        return client.prepare(**options) if options else client

    def rpc_server(
        self, cell: checking.Cell | None, target: Any, endpoints: Any
    ) -> Any:
        """An RPC server on a cell's queue; ``start()`` and ``stop()`` it.

        Each message's context is aimed at that cell, whatever the message
        says.

        :param cell: None for the process's own cell: ``[database]`` and
            ``[DEFAULT] transport_url``; no API database is needed.
        :param target: an ``oslo_messaging.Target`` with topic and server.
        :param endpoints: one object, or a list of objects, with methods.
        :raises CellHasNoQueue: for cell0.
        """
        entry = None
        if cell is not None:
            entry = self._registry.attach(self._mapping(cell))
        return self._servers.make(entry, target, endpoints)

    # -- life --------------------------------------------------------------

    def reload(self) -> None:
        """Have the drivers take up what changed in the configuration files.

        What a service calls at SIGHUP, in a thread and not in the signal's
        handler. Each driver follows wholly or not at all.

        Where the resolver has cells of its own, their engines and transports
        follow at once, also those of contexts that are targeted already. A
        cell that is gone raises CellMappingNotFound from then on; transactions
        and calls that are under way finish. An RPC server goes on listening to
        the queue it was started on.

        :raises ConfigurationError: if a file or what it says cannot be used;
            the driver that refused it goes on as it was.
        """
        cells = following.Cells(self._parts)
        try:
            self._parts.loader.reload(self._parts.injected)
        finally:
            cells.follow()

    def close(self) -> None:
        """End everything the router owns, in bounded time. Idempotent.

        RPC servers that still run are stopped first. Transactions and calls
        in flight finish; what they use closes with them.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._servers.stop()
        finally:
            self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
