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
        *_guard_opts(),
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


def _guard_opts() -> list[cfg.Opt]:
    """What keeps one bad cell from harming the others."""
    return [
        cfg.IntOpt(
            'breaker_threshold',
            default=5,
            min=0,
            help="After so many failures in a row of a cell's database, or "
            'of its message queue, requests that need it are refused at once '
            'instead of waiting for it, in this process. A failure is a '
            'server that cannot be reached, does not answer in time or is '
            "another cell's, and no connection free in time; neither an "
            "error of the service's own nor a lost conflict. Lower it where "
            'timeouts are long and threads are few. 0 never refuses.',
        ),
        cfg.FloatOpt(
            'breaker_retry',
            default=5,
            min=0.05,
            help='Seconds from the first refusal until it is asked again, in '
            'the background; what is answered then ends the refusals. The '
            'wait doubles with each time that it is not, and differs by up '
            'to a quarter between processes. Before it is asked, the cell is '
            'looked up again: a URL that was corrected is used at once.',
        ),
        cfg.FloatOpt(
            'breaker_retry_max',
            default=60,
            min=0.05,
            help='Seconds up to which that wait grows: for about so long may '
            'a cell be refused that works again.',
        ),
        cfg.IntOpt(
            'max_connections',
            default=0,
            min=0,
            help='Database connections that one process may use at a time in '
            'all cells together. They are divided among the cells that the '
            'process knows, at least one each, and at most what '
            '[cell_database] max_pool_size and max_overflow allow; what '
            'finds none free waits for [cell_database] pool_timeout. A share '
            'of one is too small for requests that use writer.independent '
            'inside another transaction: they need two. Set it where '
            'many cells are on one server whose connections are few: '
            "the server's limit, less some for others, divided by the "
            'number of processes. 0: each cell may have what '
            '[cell_database] allows.',
        ),
    ]
