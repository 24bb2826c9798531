"""Which drivers are installed, and of which interfaces."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import types
from collections.abc import Mapping
from typing import Any

from cellplug import interfaces

INTERFACES: Mapping[str, Any] = types.MappingProxyType(
    {
        'resolver': interfaces.Resolver,
        'transport_cache': interfaces.TransportCache,
        'quota': interfaces.QuotaDriver,
        'placement': interfaces.Placement,
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
    """What is installed, by interface and name; imports no driver.

    What a distribution offers whose entry points cannot be read is not in it:
    see :func:`unreadable`.
    """
    scan = Scan()
    found = set()
    for one in INTERFACES if interface is None else (interface,):
        found |= {described(one, point) for point in scan.of(one)}
    return sorted(found, key=dataclasses.astuple)


def described(
    interface: str, point: importlib.metadata.EntryPoint
) -> Installed:
    """What an entry point offers."""
    return Installed(interface, point.name, point.value, origin(point))


class Scan:
    """The drivers' entry points, read once, when first asked for.

    Reading them takes longer than all else in loading a driver, so who loads
    several keeps one.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[importlib.metadata.EntryPoint]] = {}

    def of(self, interface: str) -> list[importlib.metadata.EntryPoint]:
        """Those of an interface, as far as they can be read."""
        if not self._found:
            self._found = _of_all_interfaces()
        return self._found[interface]

    def forget(self) -> None:
        """Have what is installed by then be read when next asked for."""
        self._found = {}


def _of_all_interfaces() -> dict[str, list[importlib.metadata.EntryPoint]]:
    try:
        found: Any = importlib.metadata.entry_points()
        return {
            one: list(found.select(group=namespace(one))) for one in INTERFACES
        }
    except Exception:  # noqa: BLE001 (whatever the parser stumbles over)
        return {one: entry_points(namespace(one)) for one in INTERFACES}


def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
    """The entry points of a group, as far as they can be read."""
    try:
        return list(importlib.metadata.entry_points(group=group))
    except Exception:  # noqa: BLE001 (whatever the parser stumbles over)
        return [
            point
            for distribution in _distributions()
            for point in _points(distribution) or ()
            if point.group == group
        ]


def unreadable() -> list[str]:
    """The distributions whose entry points cannot be read, with versions."""
    try:
        importlib.metadata.entry_points(group=namespace('resolver'))
    except Exception:  # noqa: BLE001 (whatever the parser stumbles over)
        return sorted(
            f'{distribution.name} {distribution.version}'
            for distribution in _distributions()
            if _points(distribution) is None
        )
    return []


def _distributions() -> list[importlib.metadata.Distribution]:
    """Of several with one name, the one that Python imports."""
    found: dict[str, importlib.metadata.Distribution] = {}
    for one in importlib.metadata.distributions():
        found.setdefault(re.sub(r'[-_.]+', '-', str(one.name)).lower(), one)
    return list(found.values())


def _points(
    distribution: importlib.metadata.Distribution,
) -> list[importlib.metadata.EntryPoint] | None:
    try:
        return list(distribution.entry_points)
    except Exception:  # noqa: BLE001 (whatever the parser stumbles over)
        return None


def origin(point: importlib.metadata.EntryPoint) -> str:
    """The distribution that offers it, and its version."""
    if point.dist is None:
        return 'unknown'
    return f'{point.dist.name} {point.dist.version}'
