"""Building a router's parts, in the order in which they need each other."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import loader as cellplug_loader
from cellplug.cells import asking
from cellplug.cells import breaker
from cellplug.cells import bulkhead
from cellplug.cells import collection
from cellplug.cells import guard as cells_guard
from cellplug.cells import host as cells_host
from cellplug.cells import instances
from cellplug.cells import janitor as cells_janitor
from cellplug.cells import prober as cells_prober
from cellplug.cells import probes as cells_probes
from cellplug.cells import refreshing
from cellplug.cells import rereading
from cellplug.cells import schemas
from cellplug.db import opening
from cellplug.db import registry as db_registry
from cellplug.db import settings as db_settings
from cellplug.db import sources
from cellplug.objects import urls
from cellplug.rpc import queues
from cellplug.rpc import settings as rpc_settings

_SWEEP_EVERY = 15.0
"""Seconds between looks for idle connections; well below idle_timeout."""


@dataclasses.dataclass(slots=True)
class Parts:
    """What a router owns."""

    conf: cfg.ConfigOpts
    context_class: type[cellplug_context.RequestContext]
    database: db.Database
    binding: opening.Binding
    registry: db_registry.EngineRegistry
    loader: cellplug_loader.Loader
    host: cells_host.Host
    resolver: Any
    asking: asking.Asking
    transport_cache: Any
    quota: Any
    placement: Any
    injected: list[Any]
    own_queue: queues.OwnQueue
    rpc_settings: rpc_settings.RPCSettings
    alarm: cells_janitor.Alarm
    follower: refreshing.Follower
    bulkhead: bulkhead.Bulkhead
    prober: cells_prober.Prober
    cells: collection.CellCollection
    instances: instances.InstanceCollection

    def close(self) -> None:
        """End all, what was built last first."""
        self.database.unbind(self.binding)
        self.alarm.stop()
        self.prober.stop()
        with contextlib.ExitStack() as rest:
            # Each is closed, whatever the others raise; the last one first.
            rest.callback(self.registry.close)
            rest.callback(self.host.wait_closed)
            rest.callback(self.loader.close)
            for driver in self.injected:
                rest.callback(driver.close)
            rest.callback(self.bulkhead.close)


def build(
    conf: cfg.ConfigOpts,
    database: db.Database,
    *,
    context_class: type[cellplug_context.RequestContext],
    resolver: Any,
    transport_cache: Any,
    quota: Any,
    placement: Any,
    allowed_remote_exmods: tuple[str, ...],
    clock: Callable[[], float],
) -> Parts:
    """The parts of one router; see CellRouter.from_conf."""
    # 1. The host, which the drivers are built with, and the loader.
    messaging = _messaging(conf, allowed_remote_exmods)
    host = cells_host.Host(conf, database, messaging, clock)
    loader = _lending_loader(conf, host)
    given = (resolver, transport_cache, quota, placement)
    injected = [d for d in given if d is not None]
    with contextlib.ExitStack() as undo:
        undo.callback(loader.close)
        parts = Parts(
            conf=conf,
            context_class=context_class,
            database=database,
            loader=loader,
            host=host,
            quota=quota,
            placement=placement,
            injected=injected,
            rpc_settings=messaging,
            **_wired(conf, database, loader, transport_cache, resolver),
        )
        # 5. Last, when nothing else can fail any more: the Database works.
        database.bind(parts.binding)
        undo.pop_all()
    return parts


def _wired(
    conf: cfg.ConfigOpts,
    database: db.Database,
    loader: cellplug_loader.Loader,
    cache: Any,
    resolver: Any,
) -> dict[str, Any]:
    """Those parts that hold on to each other."""
    # 2. Transports, since each cell's entry holds a handle on one.
    cache = cache or _chosen(conf, loader, 'transport_cache')
    # 3. Engines.
    rereader = rereading.Rereading()
    admission = queues.Admission(cache, rereader.reread)
    registry = _registry(conf, admission)
    # 4. The resolver, which will read the API database; and who asks it.
    resolver = resolver or _chosen(conf, loader, 'resolver')
    source = asking.Asking(database, resolver)
    rereader.resolver, rereader.registry = resolver, registry
    follower = refreshing.Follower(resolver, registry)
    rereader.found = follower.found
    alarm = _alarm(conf, registry, follower)
    hooks = (opening.LEASE, alarm)
    return {
        'transport_cache': cache,
        'own_queue': queues.OwnQueue(cache, _own_url(conf)),
        'registry': registry,
        'binding': opening.Binding(registry, hooks, rereader),
        'resolver': resolver,
        'asking': source,
        'alarm': alarm,
        'follower': follower,
        'bulkhead': _bulkhead(conf, registry),
        'prober': _prober(conf, registry, resolver, follower),
        'cells': _cells(conf, database, registry, resolver, source),
        'instances': instances.InstanceCollection(database, resolver, source),
    }


def _messaging(
    conf: cfg.ConfigOpts, allowed: tuple[str, ...]
) -> rpc_settings.RPCSettings:
    return rpc_settings.RPCSettings.from_group(conf.rpc, allowed)


def _lending_loader(
    conf: cfg.ConfigOpts, host: cells_host.Host
) -> cellplug_loader.Loader:
    """The loader of drivers that this host lends to, and it to the host."""
    loader = cellplug_loader.Loader(conf, host)
    host.load = loader.load
    return loader


def _chosen(
    conf: cfg.ConfigOpts, loader: cellplug_loader.Loader, interface: str
) -> Any:
    """The driver that the configuration names."""
    return loader.load(interface, conf[interface].driver)


def _registry(
    conf: cfg.ConfigOpts, queue_admission: queues.Admission
) -> db_registry.EngineRegistry:
    settings = db_settings.EngineSettings.from_group(conf.cell_database)
    guards = cells_guard.Guards(
        breaker.Settings.from_group(conf.cells),
        connections=settings.connections,
        total=conf.cells.max_connections,
    )
    return db_registry.EngineRegistry(
        _fixed(conf, settings), settings, queue_admission, guards
    )


def _prober(
    conf: cfg.ConfigOpts,
    registry: db_registry.EngineRegistry,
    resolver: Any,
    follower: refreshing.Follower,
) -> cells_prober.Prober:
    """Who asks what requests do not ask any more."""
    probes = cells_probes.Probes(conf, registry, resolver, follower)
    prober = cells_prober.Prober(probes.refresh, probes.ask)
    registry.guards.opened = prober.watch
    return prober


def _bulkhead(
    conf: cfg.ConfigOpts, registry: db_registry.EngineRegistry
) -> bulkhead.Bulkhead:
    """The threads of scatters, of which none is started yet."""
    return bulkhead.Bulkhead(
        total=lambda: conf.cells.scatter_threads,
        cells=lambda: len(registry.all_newest()),
    )


def _cells(
    conf: cfg.ConfigOpts,
    database: db.Database,
    registry: db_registry.EngineRegistry,
    resolver: Any,
    source: asking.Asking,
) -> collection.CellCollection:
    settings = db_settings.EngineSettings.from_group(conf.cell_database)
    claims = schemas.Claims(database, settings)
    return collection.CellCollection(
        database, registry, resolver, claims, source
    )


def _alarm(
    conf: cfg.ConfigOpts,
    registry: db_registry.EngineRegistry,
    follower: refreshing.Follower,
) -> cells_janitor.Alarm:
    """What wakes those who work in the background."""
    return cells_janitor.Alarm(
        cells_janitor.Janitor(
            _SWEEP_EVERY, registry.drop_idle, 'closing idle connections'
        ),
        cells_janitor.Janitor(
            conf.cells.follow_interval,
            follower.follow,
            'following the cells',
            jitter=0.25,
        ),
    )


def _fixed(
    conf: cfg.ConfigOpts, cell_settings: db_settings.EngineSettings
) -> dict[str | None, tuple[sources.Source, db_settings.EngineSettings]]:
    """The databases that are configured, not mapped."""
    fixed: dict[
        str | None, tuple[sources.Source, db_settings.EngineSettings]
    ] = {}
    api = conf.api_database
    if api.connection:
        fixed[db_registry.API_DATABASE] = (
            _source('API database', '[api_database]', api),
            db_settings.EngineSettings.from_group(api),
        )
    if conf.database.connection:
        fixed[None] = (
            _source('own database, [database]', '[database]', conf.database),
            cell_settings,
        )
    return fixed


def _source(label: str, group: str, options: Any) -> sources.Source:
    urls.check_database(f'{group} connection', options.connection)
    slave = options.slave_connection or None
    if slave:
        urls.check_database(f'{group} slave_connection', slave)
    # What is configured may still be empty, and is made up to date from there.
    return sources.Source(
        sources.Label(label), options.connection, slave, may_create=True
    )


def _own_url(conf: cfg.ConfigOpts) -> Callable[[], str]:
    def find() -> str:
        # Imported with the first message: oslo.messaging is slow to import.
        from cellplug.rpc import messaging  # noqa: PLC0415

        return messaging.own_url(conf)

    return find
