"""What asking many cells at once costs: one small query in each.

Each cell has a database of its own, all on one server. The baseline (1.00) is
what a service would write without cellplug: a thread pool that it keeps, and
oslo.db's enginefacade with its defaults, one for each database. The cells are
mappings that the caller has; where it says "all", cellplug looks the list of
them up in the API database first, which the baseline never does. "Driver
alone" has a connection for each cell and a thread pool, and nothing else.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import measuring
import sqlalchemy as sa
from oslo_context import context as oslo_context
from oslo_db.sqlalchemy import enginefacade

import cellplug
from cellplug.testing import deployment

SIZES = (1, 16, 64)
BASELINE = 'thread pool, oslo.db'
ROWS = 100
db = cellplug.Database()

METADATA = sa.MetaData()
SERVER = sa.Table(
    'servers',
    METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('project_id', sa.String(64), index=True),
    sa.Column('name', sa.String(255)),
)
COUNT = sa.select(sa.func.count()).where(SERVER.c.project_id == 'p')
TEXT = "SELECT count(*) FROM servers WHERE project_id = 'p'"


def query(session: Any) -> int:
    found: int = session.execute(COUNT).scalar_one()
    return found


@db.reader
def count(context: Any) -> int:
    return query(context.session)


@db.reader.single
def count_single(context: Any) -> int:
    return query(context.session)


@enginefacade.transaction_context_provider
class PlainContext(oslo_context.RequestContext):
    """A context as services without cells have it."""


class Plain:
    """A thread pool and oslo.db, as a service would write it."""

    def __init__(self, urls: list[str], stack: contextlib.ExitStack) -> None:
        self.pool = stack.enter_context(
            concurrent.futures.ThreadPoolExecutor(len(urls))
        )
        self.managers = []
        for url in urls:
            manager = enginefacade.transaction_context()
            manager.configure(connection=url)
            stack.callback(manager.dispose_pool)
            self.managers.append(manager)

    def __call__(self) -> dict[int, int]:
        futures = [
            self.pool.submit(self._one, manager) for manager in self.managers
        ]
        return {
            number: future.result(timeout=60)
            for number, future in enumerate(futures)
        }

    def _one(self, manager: Any) -> int:
        context = PlainContext(overwrite=False)
        with manager.reader.using(context) as session:
            return query(session)


class Raw:
    """A thread pool and the driver."""

    def __init__(self, urls: list[str], stack: contextlib.ExitStack) -> None:
        self.pool = stack.enter_context(
            concurrent.futures.ThreadPoolExecutor(len(urls))
        )
        self.connections = []
        for url in urls:
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            connection: Any = stack.enter_context(
                contextlib.closing(engine.raw_connection())
            ).driver_connection
            engine.dialect.set_isolation_level(connection, 'AUTOCOMMIT')
            self.connections.append(connection)

    def __call__(self) -> list[int]:
        return list(self.pool.map(self._one, self.connections))

    def _one(self, connection: Any) -> int:
        cursor = connection.cursor()
        cursor.execute(TEXT)
        found: int = cursor.fetchone()[0]
        cursor.close()
        return found


class Setting:
    """A deployment with rows in every cell."""

    def __init__(self, backend: str, stack: contextlib.ExitStack) -> None:
        self.deployed = stack.enter_context(
            deployment.DeploymentFixture(backend, cells=0)
        )
        self.router: Any = stack.enter_context(
            contextlib.closing(
                cellplug.CellRouter.from_conf(self.deployed.conf, database=db)
            )
        )
        self.context = self.deployed.context()
        self.cells: list[Any] = []

    def grow(self, size: int) -> list[Any]:
        """So many cells."""
        while len(self.cells) < size:
            cell = self.deployed.add_cell(f'cell{len(self.cells) + 1}')
            fill(cell.database_connection)
            self.cells.append(cell)
        return self.cells


def fill(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(SERVER),
            [
                {'project_id': 'p' if number % 2 else 'q', 'name': 'a name'}
                for number in range(ROWS)
            ],
        )
    engine.dispose()


def cases(
    setting: Setting, size: int, stack: contextlib.ExitStack
) -> dict[str, Callable[[], Any]]:
    """The cases over so many cells, by name."""
    cells = list(setting.grow(size))
    router, context = setting.router, setting.context
    urls = [cell.database_connection for cell in cells]
    want = ROWS // 2

    def scatter(function: Any, named: Any) -> Callable[[], None]:
        def case() -> None:
            found = router.scatter_gather(context, function, cells=named)
            if set(found.complete().values()) != {want}:
                raise AssertionError(found)

        return case

    def stream() -> None:
        outcomes = router.scatter_stream(context, count_single, cells=cells)
        if {one.value for one in outcomes} != {want}:
            raise AssertionError(outcomes)

    return {
        'thread pool, driver alone': Raw(urls, stack),
        BASELINE: Plain(urls, stack),
        'scatter': scatter(count, cells),
        'scatter, single': scatter(count_single, cells),
        'scatter, single, all': scatter(count_single, None),
        'stream, single': stream,
    }


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    measuring.use_server(arguments)
    title = f'One small query in each cell, {arguments.backend}'
    report = measuring.Report(title, arguments)
    with contextlib.ExitStack() as stack:
        setting = Setting(arguments.backend, stack)
        for size in SIZES:
            with contextlib.ExitStack() as inner:
                found = measuring.take_turns(
                    cases(setting, size, inner),
                    rounds=arguments.rounds,
                    calls=max(2, arguments.calls // size),
                    baseline=BASELINE,
                )
            report.table(f'{size} cells, us per scatter', found)
            set_targets(report, size, found, arguments.backend)
    return report.finish()


def set_targets(
    report: measuring.Report,
    size: int,
    found: dict[str, measuring.Samples],
    backend: str,
) -> None:
    raw = found['thread pool, driver alone'].median
    report.note(
        f'{size} cells: scatter, single is '
        f'{found["scatter, single"].median / raw:.1f} x the driver alone; '
        f'{BASELINE} is {found[BASELINE].median / raw:.1f} x'
    )
    if backend != 'mariadb':
        return
    limit = 1.0 if size == 1 else 0.85
    for name in ('scatter', 'scatter, single'):
        report.target(
            f'{size} cells, {name}',
            found[name].ratio,
            limit,
            f'x {BASELINE}',
        )


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    measuring.add_database(parser)
    parser.add_argument(
        '--calls',
        type=int,
        default=320,
        help='queries of each case in each round (default: %(default)s)',
    )
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
