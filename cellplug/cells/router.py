"""The router: the one owner of all that lives long, wired by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from typing import Self

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug import loader as cellplug_loader
from cellplug import quota as cellplug_quota
from cellplug.cells import across
from cellplug.cells import building
from cellplug.cells import checking
from cellplug.cells import following
from cellplug.cells import quotas
from cellplug.cells import serving
from cellplug.cells import targets
from cellplug.rpc import client as rpc_client

Context = cellplug_context.RequestContext


class CellRouter(across.Across):
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
        super().__init__(parts)
        self._closed = False
        self._servers = serving.Servers(parts)
        parts.follower.then = self._servers.follow
        self.database: db.Database = parts.database
        parts.host.target_cell = self.target_cell
        self._quotas = quotas.LazyQuotas(parts, self, self._gathering)

    @classmethod
    def from_conf(
        cls,
        conf: cfg.ConfigOpts,
        *,
        database: db.Database | None = None,
        context_class: type[Context] = Context,
        resolver: Any = None,
        transport_cache: Any = None,
        quota: Any = None,
        placement: Any = None,
        allowed_remote_exmods: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Load the drivers and wire everything; contacts nothing.

        :param conf: parsed, with cellplug's options registered.
        :param database: the service's Database; it is bound until the
            router is closed. By default the router makes one.
        :param context_class: what workers' contexts are made of.
        :param resolver: a driver to use instead of the configured one; the
            router closes it too. Likewise ``transport_cache``, ``quota`` and
            ``placement``.
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
            quota=quota,
            placement=placement,
            allowed_remote_exmods=allowed_remote_exmods,
            clock=clock,
        )
        return cls(parts)

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration it was made from.

        What a service offers by entry points registers its options here:
        another program, such as cellplug-manage, does not know them.
        """
        return self._parts.conf

    @property
    def drivers(self) -> cellplug_loader.Loader:
        """The loader of this router's drivers."""
        return self._parts.loader

    # -- quotas ------------------------------------------------------------

    @property
    def quotas(self) -> cellplug_quota.QuotaEngine:
        """What may be used, and by whom, across all cells.

        The driver and the resources that services offer by the entry points
        ``cellplug.quota_resource`` are loaded when this is first asked for.

        :raises DriverError: if the driver cannot be loaded.
        :raises PluginError: if an entry point cannot be used.
        """
        if self._closed:
            raise exception.RouterClosed('the router was closed')
        return self._quotas.get()

    @property
    def quota_driver(self) -> interfaces.QuotaDriver:
        """What keeps quotas, without the resources that services register.

        For tools that have to work while a service's package is broken.

        :raises DriverError: if the driver cannot be loaded.
        """
        if self._closed:
            raise exception.RouterClosed('the router was closed')
        return self._quotas.driver()

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
        return self._servers.client(targets.checked(context), target, options)

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
        and calls that are under way finish. RPC servers go over to the new
        queue in the background.

        :raises ConfigurationError: if a file or what it says cannot be used;
            the driver that refused it goes on as it was.
        """
        cells = following.Cells(self._parts)
        try:
            self._parts.loader.reload(self._parts.injected)
        finally:
            cells.follow()
            self._servers.follow()

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
