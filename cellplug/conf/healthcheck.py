"""Options of the health check ``cellplug_cells``, ``[healthcheck]``.

The group is oslo.middleware's, whose own options stand beside these.
"""

from __future__ import annotations

from oslo_config import cfg


def opts() -> list[cfg.Opt]:
    """When a service says that it is not ready."""
    return [
        cfg.IntOpt(
            'cellplug_min_cells',
            default=0,
            min=0,
            help='How many cells have to answer for the service to be ready, '
            'cell0 left out. The default 0 leaves the cells out of it: while '
            'one is down, or all are, the service answers for the others, or '
            'says so itself, and a load balancer that takes it away helps '
            'nobody. Raise it where a service without cells is of no use.',
        ),
        cfg.FloatOpt(
            'cellplug_timeout',
            default=5,
            min=0.1,
            help='Seconds that a health check may take. Keep it below the '
            "load balancer's own timeout.",
        ),
    ]
