"""What a sorted list over many cells costs: 1000 rows of 16 x 5000.

Each cell has a database of its own, all on one server; an index serves the
order. The baseline (1.00) is parallel SQL written by hand: a thread pool that
is kept, a connection of the driver for each cell, LIMIT 1000 in each (a cell
may have them all), and heapq.merge. "Sized" asks each cell for as many rows
as cellplug does at first, and would be wrong where one has more; it is there
to show what the merge costs. Page 2 begins after the last row of page 1.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import datetime
import heapq
import itertools
import random
import statistics
import sys
import tracemalloc
import uuid
from collections.abc import Callable
from typing import Any

import measuring
import sqlalchemy as sa

import cellplug
from cellplug.cells import listing_streams
from cellplug.testing import deployment

CELLS = 16
ROWS = 5000
LIMIT = 1000
BASELINE = 'driver, by hand'
KEYS = ['created_at']
DIRECTIONS = ['desc']
db = cellplug.Database()

METADATA = sa.MetaData()
SERVER = sa.Table(
    'servers',
    METADATA,
    sa.Column('uuid', sa.String(36), primary_key=True),
    sa.Column('number', sa.Integer, nullable=False),
    sa.Column('created_at', sa.DateTime, nullable=False),
    sa.Column('name', sa.String(255)),
    sa.Column('host', sa.String(255)),
    sa.Column('state', sa.String(32)),
    sa.Index('ix_servers_created_at', 'created_at', 'uuid'),
    mysql_charset='utf8mb4',
)
SELECT = sa.select(SERVER)
TEXT = 'SELECT uuid, number, created_at, name, host, state FROM servers'
ORDER = ' ORDER BY created_at DESC, uuid DESC LIMIT '
AFTER = (
    ' WHERE created_at <= %s AND (created_at < %s OR created_at = %s '
    'AND uuid < %s)'
)
NAMES = ('uuid', 'number', 'created_at', 'name', 'host', 'state')

servers = db.reader.single(cellplug.sorted_select(SELECT, as_stored=['uuid']))
servers_collated = db.reader.single(cellplug.sorted_select(SELECT))


class ByHand:
    """A thread pool and connections, as somebody would write it."""

    def __init__(self, urls: list[str], stack: contextlib.ExitStack) -> None:
        self.pool = stack.enter_context(
            concurrent.futures.ThreadPoolExecutor(len(urls))
        )
        self.connections = [self._connection(url, stack) for url in urls]

    def _connection(self, url: str, stack: contextlib.ExitStack) -> Any:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        connection: Any = stack.enter_context(
            contextlib.closing(engine.raw_connection())
        ).driver_connection
        engine.dialect.set_isolation_level(connection, 'AUTOCOMMIT')
        return connection

    def __call__(
        self, limit: int, after: dict[str, Any] | None = None
    ) -> list[Any]:
        def read(connection: Any) -> list[dict[str, Any]]:
            cursor = connection.cursor()
            if after is None:
                cursor.execute(f'{TEXT}{ORDER}{limit}')
            else:
                at, last = after['created_at'], after['uuid']
                cursor.execute(
                    f'{TEXT}{AFTER}{ORDER}{limit}', (at, at, at, last)
                )
            found = [
                dict(zip(NAMES, row, strict=True)) for row in cursor.fetchall()
            ]
            cursor.close()
            return found

        found = list(self.pool.map(read, self.connections))
        merged = heapq.merge(
            *found,
            key=lambda row: (row['created_at'], row['uuid']),
            reverse=True,
        )
        return list(itertools.islice(merged, LIMIT))


class Core:
    """The same by SQLAlchemy Core, with its pools."""

    def __init__(self, urls: list[str], stack: contextlib.ExitStack) -> None:
        self.pool = stack.enter_context(
            concurrent.futures.ThreadPoolExecutor(len(urls))
        )
        self.engines = [sa.create_engine(url) for url in urls]
        for engine in self.engines:
            stack.callback(engine.dispose)

    def __call__(self) -> list[Any]:
        columns = SERVER.c
        query = SELECT.order_by(
            columns.created_at.desc(), columns.uuid.desc()
        ).limit(LIMIT)

        def read(engine: sa.Engine) -> list[dict[str, Any]]:
            with engine.connect() as connection:
                found = connection.execute(query).mappings()
                return [dict(row) for row in found]

        found = list(self.pool.map(read, self.engines))
        merged = heapq.merge(
            *found,
            key=lambda row: (row['created_at'], row['uuid']),
            reverse=True,
        )
        return list(itertools.islice(merged, LIMIT))


class Setting:
    """A deployment with rows in every cell."""

    def __init__(self, backend: str, stack: contextlib.ExitStack) -> None:
        self.deployed = stack.enter_context(
            deployment.DeploymentFixture(backend, cells=CELLS)
        )
        self.router: Any = stack.enter_context(
            contextlib.closing(
                cellplug.CellRouter.from_conf(self.deployed.conf, database=db)
            )
        )
        self.context = self.deployed.context()
        self.cells = self.deployed.cells
        self.urls = [cell.database_connection for cell in self.cells]
        for number, url in enumerate(self.urls):
            fill(url, random.Random(number))

    def page(self, function: Any = servers, marker: str | None = None) -> Any:
        return self.router.list_sorted(
            self.context,
            function,
            sort_keys=KEYS,
            sort_dirs=DIRECTIONS,
            limit=LIMIT,
            marker=marker,
            cells=self.cells,
        )


def fill(url: str, dice: random.Random) -> None:
    epoch = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 (as databases do)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(SERVER),
            [
                {
                    'uuid': str(uuid.UUID(int=dice.getrandbits(128))),
                    'number': number,
                    'created_at': epoch
                    + datetime.timedelta(seconds=dice.randrange(10**6)),
                    'name': f'server {number}',
                    'host': f'host{number % 50}',
                    'state': 'active',
                }
                for number in range(ROWS)
            ],
        )
    with engine.connect() as connection:
        analyze = {'postgresql': 'ANALYZE servers'}
        connection.exec_driver_sql(
            analyze.get(connection.dialect.name, 'ANALYZE TABLE servers')
        )
    engine.dispose()


def cases(
    setting: Setting, stack: contextlib.ExitStack
) -> dict[str, Callable[[], Any]]:
    """The cases, by name; all give the same rows."""
    by_hand = ByHand(setting.urls, stack)
    core = Core(setting.urls, stack)
    sized = listing_streams.Sizes(CELLS, LIMIT, None).first()
    first = by_hand(LIMIT)
    second = by_hand(LIMIT, first[-1])
    marker = setting.page().marker

    def checked(wanted: list[Any], call: Callable[[], Any]) -> Any:
        uuids = [row['uuid'] for row in wanted]

        def case() -> None:
            found = call()
            rows = getattr(found, 'rows', found)
            if [row['uuid'] for row in rows] != uuids:
                raise AssertionError('these are other rows')

        return case

    def page(function: Any, marker: str | None) -> Callable[[], Any]:
        return lambda: setting.page(function, marker)

    return {
        BASELINE: checked(first, lambda: by_hand(LIMIT)),
        'driver, by hand, page 2': checked(
            second, lambda: by_hand(LIMIT, first[-1])
        ),
        'driver, by hand, sized': checked(first, lambda: by_hand(sized)),
        'SQLAlchemy Core, by hand': checked(first, core),
        'list_sorted, page 1': checked(first, page(servers, None)),
        'list_sorted, page 2': checked(second, page(servers, marker)),
        'list_sorted, no index': checked(first, page(servers_collated, None)),
    }


def memory(setting: Setting, report: measuring.Report) -> None:
    """What going through all rows takes at most."""
    peaks = []
    # The first is for what is kept anyway, and is not counted.
    for rows in (ROWS // 4, ROWS // 4, ROWS):
        function = db.reader.single(
            cellplug.sorted_select(
                SELECT.where(SERVER.c.number < rows), as_stored=['uuid']
            )
        )
        tracemalloc.start()
        with setting.router.iter_sorted(
            setting.context, function, sort_keys=KEYS, cells=setting.cells
        ) as every:
            count = sum(1 for _ in every)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
        report.note(
            f'iter_sorted over {count} rows: {peaks[-1]:.1f} MB at most'
        )
    report.target('memory of 4 x as many rows', peaks[2] / peaks[1], 1.25, 'x')


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    measuring.use_server(arguments)
    title = (
        f'A sorted list: {LIMIT} rows of {CELLS} x {ROWS}, {arguments.backend}'
    )
    report = measuring.Report(title, arguments)
    with contextlib.ExitStack() as stack:
        setting = Setting(arguments.backend, stack)
        found = measuring.take_turns(
            cases(setting, stack),
            rounds=arguments.rounds,
            calls=arguments.calls,
            baseline=BASELINE,
            unit='ms',
        )
        report.table('ms per page', found)
        memory(setting, report)
    one, two = found['list_sorted, page 1'], found['list_sorted, page 2']
    report.target('page 1', one.ratio, 2.5, f'x {BASELINE}')
    report.target('page 2', two.ratio, 2.5, f'x {BASELINE}')
    pairs = zip(two.values, one.values, strict=True)
    dearer = statistics.median(second / first for second, first in pairs)
    report.target('page 2', dearer, 1.1, 'x page 1: no dearer, but for noise')
    return report.finish()


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    measuring.add_database(parser)
    parser.add_argument(
        '--calls',
        type=int,
        default=5,
        help='pages of each case in each round (default: %(default)s)',
    )
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
