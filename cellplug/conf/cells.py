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
            default=64,
            min=1,
            help='Cells that one process asks at the same time, a thread for '
            'each: the total of all requests. It is divided among the cells, '
            'at least one each, so that a cell which hangs never takes the '
            "others' threads; what finds none waits for one, in its request's "
            'time. Raise it to the number of cells times the number of '
            'requests that ask all of them at once, where such requests '
            'report cells that were not asked. A thread costs little while '
            'it waits, and ends when it was idle for half a minute. A call '
            'that goes on when its time is over stops counting here; its cell '
            'gets no other thread until it ends.',
        ),
    ]
