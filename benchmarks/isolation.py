"""What one cell that never answers costs the requests to the others.

Sixteen cells, each with a database of its own on one server. Two routers work
with them, in one process. For the first all is well. For the second the
database of the last cell is a port that accepts connections and never says a
word. They take turns: in each slice, threads make requests to the fifteen
others as fast as they can (an instance is found, and read in its cell), and
beside them, at a fixed pace, others make requests to the last cell and ask all
cells at once. The figure is the 99th percentile of the time of the former, of
the second router over the first, per round.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import measuring
import sqlalchemy as sa

import cellplug
from cellplug import exception
from cellplug.db.api import cells as cell_queries
from cellplug.testing import deployment

CELLS = 16
THREADS = 4
INSTANCES = 50
PACE = 0.05
"""Seconds between two requests of those that are not measured."""

METADATA = sa.MetaData()
SERVER = sa.Table(
    'servers',
    METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('uuid', sa.String(36), unique=True),
)


def read(context: Any, key: str) -> Any:
    return context.session.execute(
        sa.select(SERVER).where(SERVER.c.uuid == key)
    ).one()


def count(context: Any) -> Any:
    return context.session.scalar(
        sa.select(sa.func.count()).select_from(SERVER)
    )


class Hole:
    """A port that accepts connections and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._accepted: list[Any] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._accepted.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.close()
        for one in self._accepted:
            one.close()


class Side:
    """One router, and what a service does with it.

    :ivar others: the uuids of instances in the fifteen cells.
    :ivar last: of those in the last cell.
    """

    def __init__(
        self, deployed: Any, rows: dict[str, list[str]], last: str
    ) -> None:
        self.database = cellplug.Database()
        began = time.perf_counter()
        self.router = cellplug.CellRouter.from_conf(
            deployed.conf, database=self.database
        )
        self.started_in = time.perf_counter() - began
        self.context = deployed.context()
        self.last = rows[last]
        self.others = [
            key for name, keys in rows.items() if name != last for key in keys
        ]
        random.shuffle(self.others)
        self.read = self.database.reader.single(read)
        self.count = self.database.reader.single(count)
        self.refused: dict[str, int] = {}

    def request(self, key: str) -> None:
        with self.router.target_instance(self.context, key) as cctxt:
            self.read(cctxt, key)

    def to_last(self) -> None:
        try:
            self.request(random.choice(self.last))
        except exception.CellUnavailable as exc:
            kind = 'refused' if 'refused' in str(exc) else 'unavailable'
            self.refused[kind] = self.refused.get(kind, 0) + 1

    def ask_all(self) -> None:
        found = self.router.scatter_gather(self.context, self.count, timeout=1)
        values = found.partial(min_cells=CELLS - 1)
        if set(values.values()) != {INSTANCES}:
            raise AssertionError(values)


def run(side: Side, seconds: float) -> list[float]:
    """One slice: how long each request to the fifteen cells took."""
    stop, took = threading.Event(), [[] for _ in range(THREADS)]

    def measured(number: int) -> None:
        keys = itertools.cycle(side.others[number::THREADS])
        while not stop.is_set():
            began = time.perf_counter()
            side.request(next(keys))
            took[number].append(time.perf_counter() - began)

    def paced(call: Any) -> None:
        while not stop.wait(PACE):
            call()

    threads = [
        threading.Thread(target=measuring._guarded, args=args, daemon=True)
        for args in [
            *((measured, number) for number in range(THREADS)),
            *((paced, side.to_last) for _ in range(2)),
            (paced, side.ask_all),
        ]
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    # Those that wait for the cell that hangs end by themselves, later.
    for thread in threads[:THREADS]:
        thread.join()
    return [one for part in took for one in part]


def percentile(values: list[float], number: int) -> float:
    return statistics.quantiles(values, n=100)[number - 1]


def deploy(
    backend: str, stack: contextlib.ExitStack, hole: Hole
) -> tuple[Any, Any, dict[str, list[str]], str]:
    """Two deployments on the same cells; for one, the last is a hole."""
    well = stack.enter_context(deployment.DeploymentFixture(backend, cells=0))
    ill = stack.enter_context(deployment.DeploymentFixture(backend, cells=0))
    rows: dict[str, list[str]] = {}
    for number in range(CELLS):
        cell = well.add_cell(f'cell{number + 1}')
        values = dataclasses.asdict(cell)
        ill.router.cells.create(
            **{
                name: values[name]
                for name in (
                    'uuid', 'name', 'database_connection', 'transport_url'
                )
            }
        )  # fmt: skip
        rows[cell.name] = fill(cell.database_connection)
        for made in (well, ill):
            made.router.instances.map_many(
                made.context(), dict.fromkeys(rows[cell.name], cell)
            )
    url = f'mysql+pymysql://u:p@127.0.0.1:{hole.port}/hole'
    if backend == 'postgresql':
        url = f'postgresql+psycopg://u:p@127.0.0.1:{hole.port}/hole'
    # Not by cells.update, which would look before it writes.
    with ill.database.api.writer.using(ill.context()) as session:
        cell_queries.update(session, cell.uuid, {'database_connection': url})
    return well, ill, rows, cell.name


def fill(url: str) -> list[str]:
    keys = [str(uuid.uuid4()) for _ in range(INSTANCES)]
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(SERVER), [{'uuid': key} for key in keys])
    engine.dispose()
    return keys


START = """
import sys, time
from oslo_config import cfg
import cellplug
conf = cfg.ConfigOpts()
cellplug.register_opts(conf)
conf([], project='cellplug', default_config_files=[])
conf.set_override('connection', sys.argv[1], 'api_database')
began, busy = time.perf_counter(), time.process_time()
router = cellplug.CellRouter.from_conf(conf)
print(time.perf_counter() - began, time.process_time() - busy)
router.close()
"""


def start_up(api_url: str) -> tuple[float, float]:
    """Seconds of from_conf, and of its processor, in a fresh process.

    The best of three: most of it is importing.
    """
    return min(_start_up(api_url) for _ in range(3))


def _start_up(api_url: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, '-c', START, api_url],
        check=True,
        capture_output=True,
        text=True,
    )
    elapsed, busy = map(float, done.stdout.split())
    return elapsed, busy


def sockets() -> int:
    return sum(
        1
        for entry in Path('/proc/self/fd').iterdir()
        if entry.is_symlink() and str(entry.readlink()).startswith('socket:')
    )


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    measuring.use_server(arguments)
    title = f'{CELLS} cells, one of which never answers, {arguments.backend}'
    report = measuring.Report(title, arguments)
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(contextlib.closing(Hole()))
        well, ill, rows, last = deploy(arguments.backend, stack, hole)
        sides = {
            'all well': Side(well, rows, last),
            'one hangs': Side(ill, rows, last),
        }
        for side in sides.values():
            stack.callback(side.router.close)
            run(side, arguments.seconds)
        measure(report, sides, arguments)
        started, busy = start_up(ill.api_url)
        report.note(
            f'CellRouter.from_conf: {started * 1000:.0f} ms, of which the '
            f'processor worked {busy * 1000:.0f} ms'
        )
        report.target('CellRouter.from_conf', started, 1.0, 's')
    return report.finish()


def measure(
    report: measuring.Report,
    sides: dict[str, Side],
    arguments: argparse.Namespace,
) -> None:
    found: dict[str, dict[str, list[float]]] = {
        name: {'p50': [], 'p99': []} for name in sides
    }
    totals = dict.fromkeys(sides, 0)
    order = list(sides)
    for _ in range(arguments.rounds):
        order.reverse()
        for name in order:
            took = run(sides[name], arguments.seconds)
            totals[name] += len(took)
            found[name]['p50'].append(percentile(took, 50))
            found[name]['p99'].append(percentile(took, 99))
    for kind in ('p50', 'p99'):
        report.table(
            f'{kind} of requests to the others, us',
            measuring.related(
                {name: one[kind] for name, one in found.items()},
                'all well',
                'us',
            ),
        )
    ratio = statistics.median(
        ill / well
        for ill, well in zip(
            found['one hangs']['p99'], found['all well']['p99'], strict=True
        )
    )
    report.target('p99 while one hangs', ratio, 1.15, 'x all well')
    hung = sides['one hangs']
    report.note(
        f'requests: {totals}; to the cell that hangs: {hung.refused}; '
        f'{threading.active_count()} threads, {sockets()} sockets'
    )


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    measuring.add_database(parser)
    parser.add_argument(
        '--seconds',
        type=float,
        default=3.0,
        help='of each slice (default: %(default)s)',
    )
    parser.set_defaults(rounds=11)
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
