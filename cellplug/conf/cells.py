"""Options of work that spans cells, ``[cells]``."""

from __future__ import annotations

from oslo_config import cfg


def opts() -> list[cfg.Opt]:
    """How long it may take, and how much of it happens at a time."""
    return [
        cfg.FloatOpt(
            'follow_interval',
            default=10,
            min=0,
            help='Seconds until a running process has taken up what changed '
            'about the cells that it works with: URLs, credentials, states, '
            'cells that were deleted. So often each process asks for the '
            'list of cells, one query to the API database; its RPC servers '
            'follow too. Every process that shares the cells, and '
            'cellplug-manage, which waits so long after a "cell rotate", '
            'should have the same value. 0 never asks: then a process follows '
            'when it looks a cell up, when it cannot reach one, or when it '
            'is restarted.',
        ),
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
