"""Which drivers are installed, and of which interfaces."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import types
from collections.abc import Mapping
from typing import Any

from cellplug import interfaces

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
