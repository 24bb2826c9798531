"""Drivers by name: found by stevedore, checked, built, closed.

The only module that knows stevedore. A loader belongs to one router; it
builds each driver once, and closes all in the reverse order of loading.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import os
import threading
import types
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import stevedore.driver
from oslo_config import cfg

from cellplug import exception
from cellplug import interfaces
from cellplug.interfaces import base

INTERFACES: Mapping[str, Any] = types.MappingProxyType(
    {
        'resolver': interfaces.Resolver,
        'transport_cache': interfaces.TransportCache,
        'quota': interfaces.QuotaDriver,
    }
)
"""Each interface's abstract base class, by its name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A driver that some installed distribution offers.

    :ivar target: ``module:Class``.
    :ivar origin: the distribution and its version.
    """

    interface: str
    name: str
    target: str
    origin: str


def namespace(interface: str) -> str:
    """The entry-point namespace of an interface."""
    return f'cellplug.{interface}'


def installed(interface: str | None = None) -> list[Installed]:
    """What is installed, by interface and name; imports no driver."""
    found = set()
    for one in INTERFACES if interface is None else (interface,):
        for point in importlib.metadata.entry_points(group=namespace(one)):
            found.add(Installed(one, point.name, point.value, _origin(point)))
    return sorted(found, key=dataclasses.astuple)


def _origin(point: importlib.metadata.EntryPoint) -> str:
    if point.dist is None:
        return 'unknown'
    return f'{point.dist.name} {point.dist.version}'


def load_class(interface: str, name: str) -> type[Any]:
    """The class behind a driver's name, checked.

    :raises UnknownDriver: if nothing of this name is installed.
    :raises DuplicateDriver: if more than one distribution offers it.
    :raises DriverLoadError: if it cannot be imported, or was written for
        other contracts.
    :raises WrongDriverType: if it does not fill the interface.
    """
    known = installed(interface)
    offers = [one for one in known if one.name == name]
    if len(offers) > 1:
        raise exception.DuplicateDriver(
            interface, name, (f'{o.origin} ({o.target})' for o in offers)
        )
    if not offers:
        raise exception.UnknownDriver(
            interface, name, {one.name for one in known}
        )
    found: type[Any] = _checked(
        interface, name, _import(interface, name, offers[0])
    )
    return found


def _import(interface: str, name: str, offer: Installed) -> Any:
    failures: list[BaseException] = []

    def note(manager: Any, point: Any, error: BaseException) -> None:
        failures.append(error)

    try:
        return stevedore.driver.DriverManager(
            namespace(interface),
            name,
            invoke_on_load=False,
            on_load_failure_callback=note,
        ).driver
    except RuntimeError as exc:  # stevedore's NoMatches
        cause = failures[0] if failures else exc
        raise exception.DriverLoadError(
            interface,
            name,
            f'{offer.target} of {offer.origin} cannot be imported: '
            f'{type(cause).__name__}: {cause}',
        ) from cause


def _checked(interface: str, name: str, found: Any) -> Any:
    wanted: Any = INTERFACES[interface]
    if not inspect.isclass(found) or not issubclass(found, wanted):
        raise exception.WrongDriverType(
            interface,
            name,
            f'{found!r} is no subclass of cellplug.interfaces.'
            f'{wanted.__name__}',
        )
    driver: Any = found
    missing = sorted(getattr(found, '__abstractmethods__', ()))
    if missing:
        raise exception.WrongDriverType(
            interface, name, f'{found.__name__} lacks {", ".join(missing)}'
        )
    _check_version(interface, name, driver.api_version)
    return found


def _check_version(interface: str, name: str, version: Any) -> None:
    oldest, newest = base.OLDEST_API_VERSION, base.API_VERSION
    # True would pass for 1.
    if isinstance(version, bool) or not isinstance(version, int):
        raise exception.DriverLoadError(
            interface,
            name,
            f'its api_version is {version!r}: set it to the integer {newest}, '
            'the version of cellplug.interfaces that this cellplug has',
        )
    if oldest <= version <= newest:
        return
    known = str(newest) if oldest == newest else f'{oldest} to {newest}'
    remedy = (
        'install a newer release of the driver'
        if version < oldest
        else 'upgrade cellplug, or install an older release of the driver'
    )
    raise exception.DriverLoadError(
        interface,
        name,
        f'was written for version {version} of the driver contracts; this '
        f'cellplug has {known}: {remedy}',
    )


def load_options(interface: str, name: str) -> list[cfg.Opt]:
    """The driver's own options.

    :raises DriverError: if it cannot be loaded, or does not say.
    """
    found = load_class(interface, name)
    try:
        return list(found.options())
    except Exception as exc:
        raise exception.DriverLoadError(
            interface,
            name,
            f'its options() failed: {type(exc).__name__}: {exc}',
        ) from exc


def chain(conf: cfg.ConfigOpts, interface: str) -> list[str]:
    """The driver that the configuration names, and those behind it.

    Who stands behind is what the option ``backend`` says. Nothing is built.

    :param conf: with cellplug's options; those of the drivers are registered.
    :raises DriverError: if one cannot be loaded, or stands in front of
        itself.
    """
    names = [str(conf[interface].driver)]
    while True:
        last, group = names[-1], f'{interface}_{names[-1]}'
        options = load_options(interface, last)
        conf.register_opts(options, group)
        if all(option.dest != 'backend' for option in options):
            return names
        behind = str(conf[group].backend)
        if behind in names:
            line = ' -> '.join([*names, behind])
            raise exception.DriverLoadError(
                interface, last, f'stands in front of itself: {line}'
            )
        names.append(behind)


class Loader:
    """Builds and keeps the drivers of one router.

    Not for use by many threads at once: drivers load while a router is
    built, and while a driver's constructor asks for another.
    """

    def __init__(self, conf: cfg.ConfigOpts, host: base.DriverHost) -> None:
        self._conf = conf
        self._host = host
        self._drivers: dict[tuple[str, str], Any] = {}
        self._loading: list[tuple[str, str]] = []
        self._turns: dict[int, threading.Lock] = {}

    def load(self, interface: str, name: str) -> Any:
        """The driver, built at the first call.

        :raises DriverError: if it cannot be loaded, or asks for itself.
        """
        key = (interface, name)
        if key in self._drivers:
            return self._drivers[key]
        if key in self._loading:
            chain = ' -> '.join(n for _, n in [*self._loading, key])
            raise exception.DriverLoadError(
                interface, name, f'stands in front of itself: {chain}'
            )
        self._loading.append(key)
        try:
            driver = self._build(interface, name)
        finally:
            self._loading.pop()
        self._drivers[key] = driver
        return driver

    def _build(self, interface: str, name: str) -> Any:
        found = load_class(interface, name)
        group = f'{interface}_{name}'
        options = load_options(interface, name)
        try:
            self._conf.register_opts(options, group)
            return found(getattr(self._conf, group, None), self._host)
        except exception.CellplugError:
            raise
        except Exception as exc:
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
