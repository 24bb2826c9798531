"""Drivers and other plug-ins."""

from __future__ import annotations

from collections.abc import Iterable

from cellplug.exception.root import CellplugError


class DriverError(CellplugError):
    """A driver that cannot be used.

    :ivar interface: ``resolver``, ``quota``, ``transport_cache`` or
        ``placement``.
    :ivar driver: the driver's name in the configuration.
    """

    def __init__(self, interface: str, driver: str, reason: str) -> None:
        super().__init__(f'{interface} driver {driver!r}: {reason}')
        self.interface = interface
        self.driver = driver
        self.reason = reason


class UnknownDriver(DriverError):
    """No installed distribution offers a driver of this name.

    :ivar available: the names that are offered.
    :ivar unreadable: the distributions (name and version) that might offer
        it: their entry points cannot be read.
    """

    def __init__(
        self,
        interface: str,
        driver: str,
        available: Iterable[str],
        unreadable: Iterable[str] = (),
    ) -> None:
        self.available = sorted(available)
        self.unreadable = sorted(unreadable)
        reason = 'is not installed; installed are: '
        reason += ', '.join(self.available) or 'none'
        if self.unreadable:
            broken = ', '.join(self.unreadable)
            reason += f'; the entry points of {broken} cannot be read'
        super().__init__(interface, driver, reason)


class DuplicateDriver(DriverError):
    """Two distributions offer a driver of this name.

    :ivar origins: the distributions (name and version).
    """

    def __init__(
        self, interface: str, driver: str, origins: Iterable[str]
    ) -> None:
        self.origins = sorted(origins)
        super().__init__(
            interface,
            driver,
            'is offered by more than one distribution: '
            + ', '.join(self.origins)
            + '; uninstall all but one',
        )


class DriverLoadError(DriverError):
    """The driver's module or constructor failed; see ``__cause__``."""


class WrongDriverType(DriverError):
    """The entry point leads to something that is no driver of this kind."""


class PluginError(CellplugError):
    """What an installed distribution offers by entry point cannot be used.

    :ivar group: the entry point's group.
    :ivar name: the entry point's name.
    :ivar target: ``module:attribute``.
    :ivar origin: the distribution and its version; '' if it is not known.
    """

    def __init__(
        self, group: str, name: str, target: str, reason: str, origin: str = ''
    ) -> None:
        where = f'{target} of {origin}' if origin else target
        super().__init__(
            f'entry point {name!r} of {group} ({where}) cannot be used: '
            f'{reason}'
        )
        self.group = group
        self.name = name
        self.target = target
        self.origin = origin
        self.reason = reason
