"""All options for oslo-config-generator: ours and every driver's."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from cellplug import conf
from cellplug import exception
from cellplug import loader


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Groups and options: the framework's, then the installed drivers'.

    A driver that cannot be loaded is left out.
    """
    return [*conf.list_opts(), *_driver_options()]


def _driver_options() -> list[tuple[str, Sequence[cfg.Opt]]]:
    groups: list[tuple[str, Sequence[cfg.Opt]]] = []
    for one in loader.installed():
        try:
            options = loader.load_options(one.interface, one.name)
        except exception.DriverError:
            continue
        if options:
            groups.append((f'{one.interface}_{one.name}', options))
    return groups
