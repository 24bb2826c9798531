"""The options of cellplug, one module for each group.

The configuration object is always passed in; cellplug never reads the global
``cfg.CONF``.
"""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from cellplug.conf import cells
from cellplug.conf import database
from cellplug.conf import drivers
from cellplug.conf import healthcheck
from cellplug.conf import instances
from cellplug.conf import placement
from cellplug.conf import quota
from cellplug.conf import rpc


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Every group of cellplug with its options, drivers' own left out."""
    return [
        ('api_database', database.api_opts()),
        ('cell_database', database.engine_opts()),
        ('cells', cells.opts()),
        ('resolver', drivers.opts('resolver')),
        ('transport_cache', drivers.opts('transport_cache')),
        ('quota', quota.opts()),
        ('placement', placement.opts()),
        ('instances', instances.opts()),
        ('rpc', rpc.opts()),
        ('healthcheck', healthcheck.opts()),
    ]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register all options on ``conf``; may be called again.

    ``[database]`` is oslo.db's own group, and registered as oslo.db does, so
    that a service which uses it too meets no duplicate.
    """
    for group, opts in list_opts():
        conf.register_opts(opts, group)
    conf.register_opts(database.main_opts(), 'database')
