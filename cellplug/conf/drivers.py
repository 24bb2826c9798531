"""The options that choose a driver for each interface."""

from __future__ import annotations

import types
from collections.abc import Mapping

from oslo_config import cfg

DEFAULTS: Mapping[str, str] = types.MappingProxyType(
    {
        'resolver': 'database',
        'transport_cache': 'process',
        'quota': 'database',
        'placement': 'spread',
    }
)
"""Each interface and the driver that fills it by default."""

_WHAT = types.MappingProxyType(
    {
        'resolver': 'finds cells, and the cell of an instance',
        'transport_cache': "keeps the transports to the cells' queues",
        'quota': 'keeps limits, usages and reservations',
        'placement': 'chooses the cell of a new instance',
    }
)


def opts(interface: str) -> list[cfg.Opt]:
    """``[<interface>]``: which driver fills it."""
    return [
        cfg.StrOpt(
            'driver',
            default=DEFAULTS[interface],
            help=f'The driver that {_WHAT[interface]}: a name from '
            f'"cellplug-manage driver list". Its own options stand in '
            f'[{interface}_<driver>].',
        )
    ]
