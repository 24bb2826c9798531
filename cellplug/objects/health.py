"""How a cell does, as one process has seen it."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence

from cellplug.objects import mappings


class CircuitState(enum.StrEnum):
    """Whether a part of a cell is asked."""

    CLOSED = 'closed'
    """It is asked."""

    OPEN = 'open'
    """It failed too often: requests are refused without asking it."""

    HALF_OPEN = 'half-open'
    """As open; a probe in the background is asking it just now."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CircuitHealth:
    """One part of a cell: its database, or its message queue.

    Counts and latencies are those of this process, since it began. A
    latency is how long a transaction was open, or a message took: a call
    until its answer came, a cast until the broker had it.

    :ivar failures: attempts that failed since the last one that did not.
    :ivar last_error: what the last failure said, on one line; None if there
        was none, and again once a newer connection of the cell is known.
        It names no password.
    :ivar last_error_at: when that was, in seconds since the epoch.
    :ivar next_probe_in: seconds until it is asked again in the background;
        0 while that happens, None while it is closed.
    :ivar requests: how many came to an end, well or not.
    :ivar latency_p50: seconds, over the last 1000 or so that went well; None
        if there are none.
    """

    state: CircuitState
    failures: int = 0
    last_error: str | None = None
    last_error_at: float | None = None
    next_probe_in: float | None = None
    requests: int = 0
    latency_p50: float | None = None
    latency_p95: float | None = None
    latency_p99: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether it is asked, and the last attempt went well."""
        return self.state is CircuitState.CLOSED and not self.failures


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CellHealth:
    """One cell.

    :ivar cell: the newest mapping that is known.
    :ivar state: what the cell is open for.
    :ivar queue: None for a cell without a message queue.
    :ivar connections: database connections that this process has open.
    :ivar connections_busy: transactions that it has open.
    :ivar connections_max: how many it may have open at a time.
    :ivar threads: threads of scatters that are busy there.
    :ivar threads_overdue: those of them whose scatter waits no more.
    :ivar generation: of the mapping.
    """

    cell: mappings.CellMapping
    state: mappings.CellState
    database: CircuitHealth
    queue: CircuitHealth | None = None
    connections: int = 0
    connections_busy: int = 0
    connections_max: int = 0
    threads: int = 0
    threads_overdue: int = 0
    generation: int = 0

    @property
    def healthy(self) -> bool:
        """Whether the cell is enabled, and its parts do well."""
        return (
            self.state is mappings.CellState.ENABLED
            and self.database.healthy
            and (self.queue is None or self.queue.healthy)
        )


def percentile(ordered: Sequence[float], part: float) -> float | None:
    """The nearest rank: the least value that so many do not exceed.

    :param ordered: the values, in ascending order; None for none.
    :param part: above 0, up to 1.
    """
    if not ordered:
        return None
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]
