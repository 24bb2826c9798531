"""``driver``: what is installed and configured."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cellplug import exception
from cellplug.cmd import base
from cellplug.objects import urls

INTERFACES = ('resolver', 'quota', 'transport_cache', 'placement')
"""As in :mod:`cellplug.loader`, which is too heavy for ``--help``."""


COLUMNS = (
    'interface',
    'name',
    'origin',
    'in_use',
    'loads',
    'error',
    'namespace',
)


def add_driver(
    parser: argparse.ArgumentParser, name_help: str = 'the driver'
) -> None:
    """The arguments INTERFACE and NAME."""
    parser.add_argument(
        'interface',
        metavar='INTERFACE',
        choices=INTERFACES,
        help=f'what it does: {", ".join(INTERFACES)}',
    )
    parser.add_argument('name', metavar='NAME', help=name_help)


def origin(interface: str, name: str) -> str | None:
    """The distribution that offers a driver, and its version."""
    from cellplug import loader

    origins = [
        one.origin for one in loader.installed(interface) if one.name == name
    ]
    return ', '.join(origins) or None


class List(base.Lister):
    """List the drivers that are installed, and whether they load.

    Asks no database.
    """

    notes = """\
columns: interface, name, origin (the distribution and its version), in_use
  (true if the configuration names it), loads (true or false), error (why it
  does not load), namespace (of the entry points)"""

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """List them; one that is broken leaves the others listed."""
        from cellplug import loader

        used = {
            (interface, self.conf[interface].driver)
            for interface in loader.INTERFACES
        }
        known = [(d.interface, d.name, d.origin) for d in loader.installed()]
        offered = {interface for interface, _, _ in known}
        absent = {
            (interface, name)
            for interface, name in used
            # An interface that nobody fills yet has nothing to list.
            if interface in offered or not self._is_default(interface)
        } - {(interface, name) for interface, name, _ in known}
        rows = [
            self._row(used, interface, name, origin)
            for interface, name, origin in sorted(
                [*known, *((*one, '') for one in absent)]
            )
        ]
        return COLUMNS, rows

    def _is_default(self, interface: str) -> bool:
        from cellplug.conf import drivers

        default = drivers.DEFAULTS[interface]
        return bool(self.conf[interface].driver == default)

    def _row(
        self,
        used: set[tuple[str, str]],
        interface: str,
        name: str,
        origin: str,
    ) -> base.Row:
        from cellplug import loader

        error = None
        try:
            loader.load_options(interface, name)
        except exception.DriverError as exc:
            error = self.app.hider.hide(' '.join(exc.reason.split()))
        return base.row(
            (
                interface,
                urls.mask_name(name),
                origin or None,
                (interface, name) in used,
                error is None,
                error,
                loader.namespace(interface),
            )
        )
