"""The quota engine of one router, made when it is first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug import quota
from cellplug.cells import building
from cellplug.cells import results
from cellplug.cells import targets

GROUP = 'cellplug.quota_resource'
"""The entry points of services that say what can be limited.

Each leads to a resource, to an iterable of resources, or to a function that
gives either when it is called with the router.
"""


class LazyQuotas:
    """Makes the engine once: a process without quotas needs no driver.

    :param router: what the entry points' functions are called with.
    :param gather: ``router.scatter_gather``.
    """

    def __init__(
        self,
        parts: building.Parts,
        router: Any,
        gather: Callable[..., results.ScatterResult[Any]],
    ) -> None:
        self._parts = parts
        self._router = router
        self._gather = gather
        self._engine: quota.QuotaEngine | None = None
        self._driver: Any = parts.quota
        # By process: a child cannot wait for a thread of its parent's.
        self._locks: dict[int, threading.RLock] = {}
        self._unfinished: dict[int, quota.QuotaEngine] = {}

    def get(self) -> quota.QuotaEngine:
        """The engine, with the driver and the entry points' resources.

        What fails is tried again at the next call.
        """
        if self._engine is None:
            pid = os.getpid()
            with self._locks.setdefault(pid, threading.RLock()):
                if self._engine is None:
                    return self._make(pid)
        return self._engine

    def driver(self) -> interfaces.QuotaDriver:
        """The driver alone: no entry point of a service is loaded."""
        with self._locks.setdefault(os.getpid(), threading.RLock()):
            if self._driver is None:
                name = self._parts.conf.quota.driver
                self._driver = self._parts.loader.load('quota', name)
            found: interfaces.QuotaDriver = self._driver
            return found

    def _make(self, pid: int) -> quota.QuotaEngine:
        if pid in self._unfinished:
            # A function of an entry point asks for what it is called for.
            return self._unfinished[pid]
        parts = self._parts
        engine = quota.QuotaEngine(
            parts.conf,
            self.driver(),
            scatter=self._outcomes,
            clock=parts.host.clock,
        )
        self._unfinished[pid] = engine
        try:
            for plugin in self._plugins():
                self._register(engine, plugin)
        finally:
            del self._unfinished[pid]
        self._engine = engine
        return engine

    def _plugins(self) -> list[loader.Plugin]:
        """The entry points that are configured, or else all of them."""
        names = self._parts.conf.quota.resource_plugins
        plugins = loader.load_plugins(GROUP, names)
        missing = set(names) - {plugin.name for plugin in plugins}
        if missing:
            raise exception.ConfigurationError(
                '[quota] resource_plugins: no installed package offers '
                f'{", ".join(sorted(missing))}'
            )
        return plugins

    def _register(
        self, engine: quota.QuotaEngine, plugin: loader.Plugin
    ) -> None:
        try:
            found = plugin.loaded
            if callable(found):
                found = found(self._router)
            if isinstance(found, quota.Resource):
                found = [found]
            engine.register_resources(found, origin=str(plugin))
        except (Exception, SystemExit) as exc:
            raise plugin.failed(exc) from exc

    def _outcomes(self, context: Any, *args: Any, **options: Any) -> Any:
        """For counts: see :data:`cellplug.quota.counting.Scatter`."""
        apart = cellplug_context.apart(targets.checked(context))
        return self._gather(apart, *args, **options).outcomes
