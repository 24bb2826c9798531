"""Mapping, looking up, listing and unmapping by the hundred thousand.

The baseline of mapping is the driver's own executemany with the same columns,
in as many transactions: it checks nothing, tells no conflict, and does not
know what it has written. Beside it stand SQLAlchemy's, and a row at a time
with a look at each before, as the system that invented cells did it. Each
run maps other instances, in two cells and 100 projects; the table keeps
100,000 that were there before, and what a run adds is taken away behind it.

Rows come in random order and go in sorted, where they are sorted: that is
cellplug's part, and part of what it costs. In turns; the ratios are of one
round. Memory is what Python allocates on top, at its peak.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import random
import statistics
import sys
import time
import tracemalloc
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import measuring
import sqlalchemy as sa

from cellplug.cells import instances
from cellplug.db import tables
from cellplug.db.api import models
from cellplug.testing import deployment

ALREADY = 100_000
PROJECTS = 100
FEW = 500
"""How many are mapped one by one, which takes long."""

DRIVER, SQLALCHEMY, ONE_BY_ONE = 'executemany', 'SQLAlchemy', 'one by one'
MANY, STREAM, AGAIN = 'map_many', 'map_stream', 'map_many, again'
CHUNKED = 'executemany, in chunks'
CHUNK = instances.CHUNK

Item = tuple[str, str, str, str]
COLUMNS = (
    'instance_uuid', 'cell_uuid', 'project_id', 'user_id', 'generation',
    'created_at',
)  # fmt: skip
INSERT = (
    f'INSERT INTO instance_mapping ({", ".join(COLUMNS)}) VALUES '
    f'({", ".join(["%s"] * len(COLUMNS))})'
)


class Bench:
    """A deployment with two cells, and instances to map."""

    def __init__(self, deployed: Any, count: int) -> None:
        self.deployed = deployed
        self.instances = deployed.router.instances
        self.context = deployed.context()
        self.count = count
        self.cells = [cell.uuid for cell in deployed.cells]
        with deployed.database.api.writer.using(self.context) as session:
            self.engine = tables.connection(session).engine

    def items(self, count: int) -> list[Item]:
        """New instances."""
        return [
            (
                str(uuid.uuid4()),
                self.cells[number % 2],
                f'project-{number % PROJECTS}',
                f'user-{number % 7}',
            )
            for number in range(count)
        ]

    @contextlib.contextmanager
    def driver(self) -> Iterator[Any]:
        """The driver's own connection, of the engine that cellplug uses."""
        connection = self.engine.raw_connection()
        try:
            yield connection
        finally:
            connection.close()

    def stamped(self, items: Sequence[Item]) -> list[tuple[Any, ...]]:
        """With a generation and a time, as the table has them."""
        now, generation = tables.utcnow(), time.time_ns() // 1000
        return [(*item, generation, now) for item in items]

    def empty(self, items: Sequence[Item]) -> None:
        """Take them away again."""
        self.instances.unmap(self.context, [item[0] for item in items])

    # -- the ways ----------------------------------------------------------

    def by_driver(self, items: Sequence[Item]) -> None:
        """In one transaction."""
        with self.driver() as connection:
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.executemany(INSERT, self.stamped(items))
            connection.commit()

    def by_driver_in_chunks(self, items: Sequence[Item]) -> None:
        """A transaction for each chunk."""
        rest = iter(items)
        with self.driver() as connection:
            while chunk := list(itertools.islice(rest, CHUNK)):
                with contextlib.closing(connection.cursor()) as cursor:
                    cursor.executemany(INSERT, self.stamped(chunk))
                connection.commit()

    def by_sqlalchemy(self, items: Sequence[Item]) -> None:
        """In one transaction."""
        rows = [
            dict(zip(COLUMNS, row, strict=True)) for row in self.stamped(items)
        ]
        with self.engine.begin() as connection:
            connection.execute(sa.insert(models.instance_mapping), rows)

    def by_map_many(self, items: Sequence[Item]) -> None:
        """In one transaction."""
        self.instances.map_many(self.context, items)

    def by_map_stream(self, items: Sequence[Item]) -> None:
        """A transaction for each chunk."""
        self.instances.map_stream(self.context, iter(items), chunk=CHUNK)

    def one_by_one(self, items: Sequence[Item]) -> None:
        """A transaction and a look for each."""
        for instance, cell, project, user in items:
            self.instances.map(
                self.context, instance, cell, project_id=project, user_id=user
            )


def mapping(bench: Bench, rounds: int, report: measuring.Report) -> None:
    """Map many, each way in turn."""
    ways: dict[str, Callable[[Sequence[Item]], None]] = {
        DRIVER: bench.by_driver,
        MANY: bench.by_map_many,
        CHUNKED: bench.by_driver_in_chunks,
        STREAM: bench.by_map_stream,
        SQLALCHEMY: bench.by_sqlalchemy,
    }
    order = list(ways)
    seconds: dict[str, list[float]] = {name: [] for name in (*ways, AGAIN)}
    for _ in range(rounds):
        order.append(order.pop(0))
        for name in order:
            items = bench.items(bench.count)
            seconds[name].append(timed(ways[name], items) / bench.count)
            if name == MANY:
                again = timed(bench.by_map_many, items) / bench.count
                seconds[AGAIN].append(again)
            bench.empty(items)
    few = bench.items(FEW)
    alone = timed(bench.one_by_one, few) / FEW
    bench.empty(few)
    seconds[ONE_BY_ONE] = [alone] * rounds
    samples = measuring.related(seconds, DRIVER, 'us')
    report.table(f'Mapping {bench.count:,} instances, us each', samples)
    for name, baseline in ((MANY, DRIVER), (STREAM, CHUNKED)):
        speed = statistics.median(
            theirs / ours
            for theirs, ours in zip(
                seconds[baseline], seconds[name], strict=True
            )
        )
        report.target(
            f'speed of {name} against {baseline}', speed, 0.75, 'x',
            at_least=True,
        )  # fmt: skip


def reading(bench: Bench, rounds: int, report: measuring.Report) -> None:
    """Look up, list and unmap as many, and read them by the driver."""
    items = bench.items(bench.count)
    bench.instances.map_stream(bench.context, items)
    uuids = [item[0] for item in items]
    random.shuffle(uuids)
    cell, project = bench.cells[0], 'project-1'
    mapped, context = bench.instances, bench.context
    ways: dict[str, Callable[[], int]] = {
        'by the driver, all at once': lambda: by_driver_read(bench),
        'get_many': lambda: len(mapped.get_many(context, uuids)),
        'iterate': lambda: length(mapped.iterate(context)),
        'iterate, a cell': lambda: length(mapped.iterate(context, cell=cell)),
        'iterate, a project': lambda: length(
            mapped.iterate(context, project_id=project)
        ),
        'unmap and map_stream': lambda: unmap(bench, items),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            count = way()
            seconds[name].append((time.perf_counter() - began) / count)
    report.table(
        f'Reading and unmapping {bench.count:,} of '
        f'{bench.count + ALREADY:,}, us each that was found',
        measuring.related(seconds, None, 'us'),
    )
    bench.empty(items)


def memory(bench: Bench, report: measuring.Report) -> None:
    """The peak of a tenth, and of all."""
    found: dict[str, dict[int, float]] = {}
    for count in (bench.count // 10, bench.count):
        items = bench.items(count)
        ways: dict[str, Callable[[], Any]] = {
            'map_many': lambda items=items: bench.by_map_many(items),
            'unmap': lambda items=items: bench.empty(items),
            'map_stream': lambda items=items: bench.by_map_stream(items),
            'iterate': lambda: length(bench.instances.iterate(bench.context)),
            'unmap, in chunks': lambda items=items: bench.instances.unmap(
                bench.context, (item[0] for item in items), chunk=CHUNK
            ),
        }
        for name, way in ways.items():
            tracemalloc.start()
            way()
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            found.setdefault(name, {})[count] = peak
    report.grid(
        'Memory at its peak, MB',
        [f'{count:,}' for count in (bench.count // 10, bench.count)],
        {
            name: [f'{peak:.1f}' for peak in peaks.values()]
            for name, peaks in found.items()
        },
        found,
    )
    for name in ('map_stream', 'iterate', 'unmap, in chunks'):
        small, large = found[name].values()
        report.target(
            f'memory of {name}, ten times as many', large / small, 1.2, 'x'
        )


def by_driver_read(bench: Bench) -> int:
    """Every column of every row, in one query."""
    query = (
        'SELECT instance_uuid, cell_uuid, project_id, user_id, generation, '
        'created_at, updated_at FROM instance_mapping ORDER BY instance_uuid'
    )
    with (
        bench.driver() as connection,
        contextlib.closing(connection.cursor()) as cursor,
    ):
        cursor.execute(query)
        return len(cursor.fetchall())


def unmap(bench: Bench, items: Sequence[Item]) -> int:
    """Take all away and put them back."""
    bench.instances.unmap(
        bench.context, (item[0] for item in items), chunk=CHUNK
    )
    return bench.instances.map_stream(bench.context, items)


def length(found: Iterator[Any]) -> int:
    """How many there are."""
    return sum(1 for _ in found)


def timed(way: Callable[[Sequence[Item]], None], items: list[Item]) -> float:
    """Seconds that it takes."""
    gc.collect()
    began = time.perf_counter()
    way(items)
    return time.perf_counter() - began


def main() -> int:
    """Measure, and print."""
    parser = measuring.parser(__doc__)
    parser.set_defaults(rounds=5)
    measuring.add_database(parser)
    parser.add_argument(
        '--instances',
        type=int,
        default=200_000,
        help='how many (default: %(default)s)',
    )
    parser.add_argument(
        '--part',
        choices=['mapping', 'reading', 'memory'],
        help='measure this alone',
    )
    arguments: argparse.Namespace = parser.parse_args()
    measuring.use_server(arguments)
    report = measuring.Report('bulk', arguments)
    with deployment.DeploymentFixture(arguments.backend, 2) as deployed:
        bench = Bench(deployed, arguments.instances)
        bench.instances.map_stream(bench.context, bench.items(ALREADY))
        if arguments.part in (None, 'mapping'):
            mapping(bench, arguments.rounds, report)
        if arguments.part in (None, 'reading'):
            reading(bench, min(arguments.rounds, 3), report)
        if arguments.part in (None, 'memory'):
            memory(bench, report)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
