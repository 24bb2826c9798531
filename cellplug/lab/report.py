"""What a run did, as one document for machines; people get ``screen``."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import cellplug
from cellplug.lab import breakroom
from cellplug.lab import check as lab_check
from cellplug.lab import crash as lab_crash
from cellplug.lab import people
from cellplug.lab import quotas as lab_quotas
from cellplug.lab import report_break
from cellplug.lab import settling
from cellplug.lab import traffic as lab_traffic
from cellplug.objects import urls


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Everything there is to say about a run.

    :ivar kind: on what it ran.
    :ivar drivers: the chain of drivers in use, by interface.
    :ivar directory: where it was kept, None if it was not.
    :ivar own_servers: whether the servers, and what is there, are the user's.
    :ivar cells: all cells, cell0 first.
    :ivar quotas: limits and usages in the end; none without limits.
    :ivar refused: what was over quota.
    :ivar left: what a former run had left behind.
    :ivar crash: what came of killing processes, None if none were.
    :ivar story: what came of breaking cells, None if none were.
    :ivar seconds: how long the run took, start and end of servers included.
    :ivar warnings: what cellplug and its drivers logged as a warning.
    """

    kind: str
    drivers: dict[str, list[str]]
    directory: str | None
    own_servers: bool
    cells: list[cellplug.CellMapping]
    placed: list[lab_traffic.Placed]
    listed: int
    latencies: list[lab_traffic.Latency]
    quotas: list[lab_quotas.Row]
    refused: list[lab_traffic.Refused]
    left: settling.Settled
    crash: lab_crash.Crash | None
    check: lab_check.Outcome
    story: breakroom.Story | None = None
    seconds: float = 0.0
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def sent(self) -> int:
        """How many requests had an answer."""
        if self.crash:
            return self.crash.requests.total()
        if self.story:
            return self.story.ledger.total
        return sum(one.count for one in self.latencies)

    def booted(self) -> collections.Counter[str]:
        """How many instances of this run each cell got, by its uuid."""
        return collections.Counter(one.cell_uuid for one in self.placed)

    def name_of(self, cell_uuid: str) -> str:
        """A cell's name."""
        return {cell.uuid: cell.name for cell in self.cells}[cell_uuid]

    def counted(self) -> dict[tuple[str, str], int]:
        """What the cells hold, by user and resource; '' for all users."""
        return {
            (one.user, one.resource): one.counted
            for one in self.check.books or ()
            if one.project == people.PROJECT
        }

    def document(self) -> dict[str, Any]:
        """The report for ``-f json``; times in milliseconds."""
        return {
            'deployment': self.kind,
            'drivers': self.drivers,
            'directory': self.directory,
            'seconds': round(self.seconds, 3),
            'warnings': self.warnings,
            'cells': [self._cell(cell) for cell in self.cells],
            'instances': [self._instance(one) for one in self.placed],
            'listed': self.listed,
            'requests': {
                one.request: {
                    'count': one.count,
                    'median_ms': round(one.median * 1000, 2),
                    'p95_ms': round(one.p95 * 1000, 2),
                    'max_ms': round(one.longest * 1000, 2),
                }
                for one in self.latencies
            },
            'quotas': self._quotas() if self.quotas else None,
            'left_behind': _settled(self.left),
            'crash': self._crash(self.crash) if self.crash else None,
            'break': report_break.document(self.story) if self.story else None,
            'check': check_document(self.check),
        }

    def _quotas(self) -> dict[str, Any]:
        """Null in their place where the driver has no limits."""
        counted = self.counted()
        return {
            'usages': [
                {
                    'user': row.user or None,
                    'resource': row.resource,
                    **dataclasses.asdict(row.usage),
                    'free': row.free,
                    'counted': counted.get((row.user, row.resource)),
                }
                for row in self.quotas
            ],
            'refused': [dataclasses.asdict(one) for one in self.refused],
        }

    def _crash(self, crash: lab_crash.Crash) -> dict[str, Any]:
        return {
            'seed': crash.seed,
            'kills': [dataclasses.asdict(one) for one in crash.kills],
            'requests': dict(sorted(crash.requests.items())),
            'samples': crash.samples,
            'left_behind': _settled(crash.settled),
            'before': check_document(crash.before),
        }

    def _cell(self, cell: cellplug.CellMapping) -> dict[str, Any]:
        return {
            'name': cell.name,
            'uuid': cell.uuid,
            'database_connection': urls.mask(cell.database_connection),
            'transport_url': urls.mask(cell.transport_url),
            'booted': self.booted()[cell.uuid],
            'instances': self.check.rows.get(cell.name),
        }

    def _instance(self, one: lab_traffic.Placed) -> dict[str, Any]:
        return {
            'name': one.name,
            'uuid': one.uuid,
            'cell': self.name_of(one.cell_uuid),
            'cell_uuid': one.cell_uuid,
            'host': one.host,
            'state': one.state,
            'requests': one.requests,
        }


def _settled(settled: settling.Settled) -> dict[str, Any]:
    return {
        'expired': settled.expired,
        'forgotten': list(settled.forgotten),
    }


def check_document(outcome: lab_check.Outcome) -> dict[str, Any]:
    """The check alone."""
    return {
        'holds': outcome.holds,
        'mappings': outcome.mappings,
        'rows': outcome.rows,
        'deleted': outcome.deleted,
        'reservations': outcome.reservations,
        'books': outcome.books
        and [dataclasses.asdict(one) for one in outcome.books],
        'problems': outcome.problems,
    }
