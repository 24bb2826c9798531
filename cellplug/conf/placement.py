"""Options of placing new instances, ``[placement]``."""

from __future__ import annotations

from oslo_config import cfg

from cellplug.conf import drivers


def opts() -> list[cfg.Opt]:
    """Who chooses, and how fresh what it knows has to be."""
    return [
        *drivers.opts('placement'),
        cfg.FloatOpt(
            'count_max_age',
            default=0.0,
            min=0,
            max=3600,
            help='For how many seconds a process may go by its last count of '
            "the cells' instances, to which it adds what it places itself. "
            '0 counts anew for each placement: then cells stay as even as can '
            'be. A count reads one index entry for each instance; raise it '
            'to some seconds where there are hundreds of thousands. What '
            'other processes place meanwhile is seen that much later.',
        ),
    ]
