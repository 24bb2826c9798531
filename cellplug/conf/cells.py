"""Options of work that spans cells, ``[cells]``."""

from __future__ import annotations

from oslo_config import cfg


def opts() -> list[cfg.Opt]:
    """How long it may take, and how much of it happens at a time."""
    return [
        cfg.FloatOpt(
            'scatter_timeout',
            default=60,
            min=0.1,
            help='Seconds that asking many cells may take in all, where the '
            'caller names no timeout. Cells that have not answered then are '
            'reported as missing. Keep it below the time after which the '
            "service's own clients give up.",
        ),
        cfg.IntOpt(
            'scatter_threads',
            default=32,
            min=1,
            help='Cells that one request asks at the same time, a thread for '
            'each. While a cell hangs it occupies one of them, so keep this '
            'well above the number of cells that may hang at once; with more '
            'cells than this, those that are left begin as others end. Lower '
            'it where many requests ask all cells at once and threads or '
            'connections become scarce.',
        ),
    ]
