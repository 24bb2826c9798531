"""A driver's class and options: imported, and checked against the contract.

The only module that knows stevedore.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib.metadata
import inspect
from typing import Any

import stevedore.driver
from oslo_config import cfg

from cellplug import exception
from cellplug import objects
from cellplug.interfaces import base
from cellplug.loader import finding


def load_class(
    interface: str, name: str, scan: finding.Scan | None = None
) -> type[Any]:
    """The class behind a driver's name, checked.

    :param scan: of whoever loads several drivers.
    :raises UnknownDriver: if nothing of this name is installed.
    :raises DuplicateDriver: if more than one distribution offers it.
    :raises DriverLoadError: if it cannot be imported, or was written for
        other contracts.
    :raises WrongDriverType: if it does not fill the interface.
    """
    offers = _offers(interface, name, scan or finding.Scan())
    if len(offers) > 1:
        raise exception.DuplicateDriver(
            interface, name, (f'{o.origin} ({o.target})' for o in offers)
        )
    if not offers:
        raise exception.UnknownDriver(
            interface,
            objects.mask_name(name),
            {one.name for one in finding.installed(interface)},
            finding.unreadable(),
        )
    found: type[Any] = _checked(
        interface, name, _import(interface, name, offers[0])
    )
    return found


def _offers(
    interface: str, name: str, scan: finding.Scan
) -> list[finding.Installed]:
    """The drivers of this name; one, unless something is wrong."""
    points = [one for one in scan.of(interface) if one.name == name]
    if not points:
        # It may have been installed since.
        scan.forget()
        points = [one for one in scan.of(interface) if one.name == name]
    offers = {finding.described(interface, one) for one in points}
    return sorted(offers, key=dataclasses.astuple)


class _Manager(stevedore.driver.DriverManager):  # type: ignore[type-arg]
    """Stevedore's, where the entry points of somebody cannot be read."""

    def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
        """Those of the namespace, as far as they can be read."""
        try:
            return super().list_entry_points()
        except Exception:  # noqa: BLE001 (whatever the parser stumbles over)
            return finding.entry_points(self.namespace)


def _import(interface: str, name: str, offer: finding.Installed) -> Any:
    failures: list[BaseException] = []

    def note(manager: Any, point: Any, error: BaseException) -> None:
        failures.append(error)

    try:
        return _Manager(
            finding.namespace(interface),
            name,
            invoke_on_load=False,
            on_load_failure_callback=note,
        ).driver
    # A stranger's module: stevedore says NoMatches for what fails in most
    # ways, and lets a failed assertion and sys.exit() pass.
    except (Exception, SystemExit) as exc:  # noqa: BLE001 (raised below)
        cause = failures[0] if failures else exc
        raise exception.DriverLoadError(
            interface,
            name,
            f'{offer.target} of {offer.origin} cannot be imported: '
            f'{type(cause).__name__}: {cause}',
        ) from cause


def _checked(interface: str, name: str, found: Any) -> Any:
    wanted: Any = finding.INTERFACES[interface]
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
    capabilities = driver.capabilities
    if not isinstance(capabilities, (set, frozenset)) or not all(
        isinstance(one, enum.Enum) for one in capabilities
    ):
        raise exception.DriverLoadError(
            interface,
            name,
            'its capabilities are no frozenset of members of an enum, that '
            'of its interface',
        )
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
    return options_of(interface, name, load_class(interface, name))


def options_of(interface: str, name: str, found: Any) -> list[cfg.Opt]:
    """The options of a driver's class that is loaded.

    :raises DriverLoadError: if it does not say.
    """
    try:
        options = list(found.options())
    except (Exception, SystemExit) as exc:
        raise exception.DriverLoadError(
            interface,
            name,
            f'its options() failed: {type(exc).__name__}: {exc}',
        ) from exc
    _check_options(interface, name, options)
    return options


def _check_options(interface: str, name: str, options: list[Any]) -> None:
    """Refuse what oslo.config would choke on, in whoever's hands."""
    known = set()
    for one in options:
        if not isinstance(one, cfg.Opt):
            raise exception.DriverLoadError(
                interface,
                name,
                f'its options() gave a {type(one).__name__!r}, which is no '
                'option of oslo.config',
            )
        if one.dest in known:
            raise exception.DriverLoadError(
                interface, name, f'its options() gave two options {one.dest!r}'
            )
        known.add(one.dest)


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
