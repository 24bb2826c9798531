"""The drivers of one router: built once, reloaded, closed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg

from cellplug import exception
from cellplug.interfaces import base
from cellplug.loader import checking
from cellplug.loader import finding


class Loader:
    """Builds and keeps the drivers of one router.

    Drivers load while a router is built, when something is first used, and
    while a driver's constructor asks for another: one thread at a time.
    """

    def __init__(self, conf: cfg.ConfigOpts, host: base.DriverHost) -> None:
        self._conf = conf
        self._host = host
        self._scan = finding.Scan()
        self._drivers: dict[tuple[str, str], Any] = {}
        # By process: a child of a fork cannot wait for a thread of its
        # parent's, and what that one was about to build is not its own.
        self._loading: dict[int, list[tuple[str, str]]] = {}
        self._builds: dict[int, threading.RLock] = {}
        self._turns: dict[int, threading.Lock] = {}

    def load(self, interface: str, name: str) -> Any:
        """The driver, built at the first call.

        :raises DriverError: if it cannot be loaded, or asks for itself.
        """
        with self._builds.setdefault(os.getpid(), threading.RLock()):
            return self._load((interface, name))

    def _load(self, key: tuple[str, str]) -> Any:
        if key in self._drivers:
            return self._drivers[key]
        loading = self._loading.setdefault(os.getpid(), [])
        if key in loading:
            chain = ' -> '.join(n for _, n in [*loading, key])
            raise exception.DriverLoadError(
                *key, f'stands in front of itself: {chain}'
            )
        loading.append(key)
        try:
            driver = self._build(*key)
        finally:
            loading.pop()
        self._drivers[key] = driver
        return driver

    def _build(self, interface: str, name: str) -> Any:
        found = checking.load_class(interface, name, self._scan)
        group = f'{interface}_{name}'
        options = checking.options_of(interface, name, found)
        try:
            self._conf.register_opts(options, group)
            return found(getattr(self._conf, group, None), self._host)
        except exception.CellplugError:
            raise
        except (Exception, SystemExit) as exc:
            raise exception.DriverLoadError(
                interface,
                name,
                f'it cannot be built: {type(exc).__name__}: {exc}',
            ) from exc

    def reload(self, others: Iterable[Any] = ()) -> None:
        """Have each driver take up what changed in the configuration files.

        One that refuses goes on as it was, and stops none of the others. Of
        several threads, one works at a time.

        :param others: drivers that somebody else built; they come last.
        :raises ConfigurationError: what the first one raised that refused.
        :raises DriverError: for a driver that fails in another way.
        """
        # A child of a fork cannot wait for a thread of its parent's.
        with self._turns.setdefault(os.getpid(), threading.Lock()):
            refused = self._reload(others)
        if refused:
            raise refused[0]

    def _reload(self, others: Iterable[Any]) -> list[exception.CellplugError]:
        refused: list[exception.CellplugError] = []
        drivers = [*self._drivers.items()]
        drivers += [(('given', type(one).__name__), one) for one in others]
        for (interface, name), driver in drivers:
            try:
                driver.reload()
            except exception.CellplugError as exc:
                refused.append(exc)
            except Exception as exc:  # noqa: BLE001 (a stranger's code)
                failure = f'its reload failed: {type(exc).__name__}: {exc}'
                error = exception.DriverError(interface, name, failure)
                error.__cause__ = exc
                refused.append(error)
        return refused

    def close(self) -> None:
        """Close all drivers, the last one first; one that fails stops none.

        :raises ExceptionGroup: of what they raised.
        """
        failed = []
        while self._drivers:
            _, driver = self._drivers.popitem()
            try:
                driver.close()
            except Exception as exc:  # noqa: BLE001 (raised below)
                failed.append(exc)
        if failed:
            raise ExceptionGroup('drivers failed to close', failed)
