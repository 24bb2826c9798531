"""What reading one row costs, routed to its cell.

The row is found by a unique key, through the ORM where nothing else is said.
The baseline (1.00) is what a service does without cells: oslo.db's
enginefacade with its defaults, on one database. The cells' databases, the API
database and the baseline's are on one server.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import operator
import sys
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import measuring
import sqlalchemy as sa
from oslo_context import context as oslo_context
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import orm

import cellplug
from cellplug.testing import deployment

CELLS = 16
THREADS = 16
ROWS = 100
BASELINE = 'oslo.db reader'
db = cellplug.Database()


class Base(orm.DeclarativeBase):
    pass


class Server(Base):
    """A table as services have it."""

    __tablename__ = 'servers'

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    uuid: orm.Mapped[str] = orm.mapped_column(sa.String(36), unique=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    host: orm.Mapped[str] = orm.mapped_column(sa.String(255))


def by_orm(session: Any, key: str) -> Any:
    return session.execute(
        sa.select(Server).where(Server.uuid == key)
    ).scalar_one()


def by_core(session: Any, key: str) -> Any:
    table = Server.__table__
    return session.execute(sa.select(table).where(table.c.uuid == key)).one()


@db.reader
def read(context: Any, key: str) -> Any:
    return by_orm(context.session, key)


@db.reader.single
def read_single(context: Any, key: str) -> Any:
    return by_orm(context.session, key)


@db.reader.single
def read_single_core(context: Any, key: str) -> Any:
    return by_core(context.session, key)


@enginefacade.transaction_context_provider
class PlainContext(oslo_context.RequestContext):
    """A context as services without cells have it."""


class Plain:
    """oslo.db on one database, as a service without cells uses it.

    :param options: beyond the defaults.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.manager = enginefacade.transaction_context()
        self.manager.configure(connection=url, **options)
        self.read = self.manager.reader(
            lambda context, key: by_orm(context.session, key)
        )

    def close(self) -> None:
        self.manager.dispose_pool()


class Setting:
    """A deployment with rows in every cell, and what is compared with it."""

    def __init__(self, backend: str, stack: contextlib.ExitStack) -> None:
        deployed = stack.enter_context(
            deployment.DeploymentFixture(
                backend,
                cells=0,
                options={'api_database.max_pool_size': THREADS},
            )
        )
        self.router: Any = stack.enter_context(
            contextlib.closing(
                cellplug.CellRouter.from_conf(deployed.conf, database=db)
            )
        )
        self.deployed = deployed
        self.context = deployed.context()
        self.url = deployed.fresh_database()
        self.keys = fill(self.url)
        self.cells = [
            deployed.add_cell(f'cell{number}') for number in range(CELLS)
        ]
        self.rows = [
            (cell, key)
            for cell in self.cells
            for key in fill(cell.database_connection)
        ]
        # So that neighbours are in different cells.
        self.rows.sort(key=operator.itemgetter(1))
        self.router.instances.map_many(
            self.context, {key: cell for cell, key in self.rows}
        )


def fill(url: str) -> list[str]:
    """Make the table with its rows; the rows' uuids."""
    keys = [str(uuid.uuid4()) for _ in range(ROWS)]
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(Server),
            [{'uuid': key, 'name': 'a name', 'host': 'host1'} for key in keys],
        )
    engine.dispose()
    return keys


def raw_driver(url: str, stack: contextlib.ExitStack) -> Any:
    """A function that reads through the driver alone."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    connection: Any = stack.enter_context(
        contextlib.closing(engine.raw_connection())
    ).driver_connection
    engine.dialect.set_isolation_level(connection, 'AUTOCOMMIT')

    def read(key: str) -> Any:
        cursor = connection.cursor()
        cursor.execute(
            'SELECT id, uuid, name, host FROM servers WHERE uuid = %s', (key,)
        )
        row = cursor.fetchone()
        cursor.close()
        return row

    return read


def core(url: str, stack: contextlib.ExitStack) -> Any:
    """A function that reads through SQLAlchemy Core with its defaults."""
    engine = sa.create_engine(url)
    stack.callback(engine.dispose)

    def read(key: str) -> Any:
        with engine.connect() as connection:
            return by_core(connection, key)

    return read


def autocommit(url: str, stack: contextlib.ExitStack) -> Any:
    """A function that reads through a bare Session in autocommit.

    The fewest round trips there can be: what is above it is not SQLAlchemy's.
    """
    engine = sa.create_engine(
        url, isolation_level='AUTOCOMMIT', skip_autocommit_rollback=True
    )
    stack.callback(engine.dispose)
    make = orm.sessionmaker(engine, expire_on_commit=False)

    def read(key: str) -> Any:
        with make() as session:
            return by_orm(session, key)

    return read


def one_thread(
    setting: Setting, stack: contextlib.ExitStack
) -> dict[str, Callable[[], Any]]:
    """The cases that one thread goes through, by name."""
    keys, rows = itertools.cycle(setting.keys), itertools.cycle(setting.rows)
    first = [key for cell, key in setting.rows if cell is setting.cells[0]]
    in_first = itertools.cycle(first)
    router, context = setting.router, setting.context
    plain = stack.enter_context(contextlib.closing(Plain(setting.url)))
    plain_context = PlainContext()
    raw, by_engine, by_session = (
        make(setting.url, stack) for make in (raw_driver, core, autocommit)
    )
    targeted = stack.enter_context(
        router.target_cell(context, setting.cells[0])
    )

    def per_cell(function: Callable[..., Any]) -> Callable[[], Any]:
        def case() -> None:
            cell, key = next(rows)
            with router.target_cell(context, cell) as cctxt:
                function(cctxt, key)

        return case

    def per_instance(function: Callable[..., Any]) -> Callable[[], Any]:
        def case() -> None:
            _, key = next(rows)
            with router.target_instance(context, key) as cctxt:
                function(cctxt, key)

        return case

    return {
        'driver alone': lambda: raw(next(keys)),
        'SQLAlchemy Core': lambda: by_engine(next(keys)),
        'SQLAlchemy Session, autocommit': lambda: by_session(next(keys)),
        BASELINE: lambda: plain.read(plain_context, next(keys)),
        'targeted once': lambda: read(targeted, next(in_first)),
        'target_cell': per_cell(read),
        'target_cell, single': per_cell(read_single),
        'target_cell, single, Core rows': per_cell(read_single_core),
        'target_instance': per_instance(read),
        'target_instance, single': per_instance(read_single),
    }


def many_threads(
    setting: Setting, stack: contextlib.ExitStack, calls: int
) -> dict[str, Callable[[], Any]]:
    """The cases of all threads together, by name."""
    by_cell = {
        cell.uuid: [key for one, key in setting.rows if one is cell]
        for cell in setting.cells
    }
    plain = stack.enter_context(
        contextlib.closing(Plain(setting.url, max_pool_size=THREADS))
    )
    router = setting.router
    contexts = [cellplug.RequestContext() for _ in range(THREADS)]
    plain_contexts = [PlainContext() for _ in range(THREADS)]

    def in_plain(number: int, call: int) -> None:
        key = setting.keys[(number + call) % ROWS]
        plain.read(plain_contexts[number], key)

    def routed(function: Callable[..., Any]) -> Callable[[int, int], Any]:
        def case(number: int, call: int) -> None:
            cell = setting.cells[(number + call) % CELLS]
            key = by_cell[cell.uuid][call % ROWS]
            with router.target_cell(contexts[number], cell) as cctxt:
                function(cctxt, key)

        return case

    def by_instance(number: int, call: int) -> None:
        _, key = setting.rows[(number * ROWS + call) % len(setting.rows)]
        with router.target_instance(contexts[number], key) as cctxt:
            read_single(cctxt, key)

    cases = {
        BASELINE: in_plain,
        'target_cell': routed(read),
        'target_cell, single': routed(read_single),
        'target_instance, single': by_instance,
    }
    return {
        name: measuring.in_threads(case, THREADS, calls)
        for name, case in cases.items()
    }


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    measuring.use_server(arguments)
    title = f'One row by unique key, {arguments.backend}'
    report = measuring.Report(title, arguments)
    with contextlib.ExitStack() as stack:
        setting = Setting(arguments.backend, stack)
        alone = measuring.take_turns(
            one_thread(setting, stack),
            rounds=arguments.rounds,
            calls=arguments.calls,
            baseline=BASELINE,
        )
        report.table(f'One thread, {CELLS} cells, us per read', alone)
        together = measuring.take_turns(
            many_threads(setting, stack, arguments.calls),
            rounds=max(9, arguments.rounds // 3),
            calls=1,
            baseline=BASELINE,
        )
        report.table(
            f'{THREADS} threads, {CELLS} cells, us per read of them all',
            dict(per_read(together, THREADS * arguments.calls)),
        )
    if arguments.backend == 'mariadb':
        set_targets(report, alone, together)
    return report.finish()


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    measuring.add_database(parser)
    parser.add_argument(
        '--calls',
        type=int,
        default=240,
        help='reads of each case in each round (default: %(default)s)',
    )
    # Long enough that a case is warm again after its neighbours' turns: with
    # 16 cells, 20 reads would measure the processor's caches.
    parser.set_defaults(rounds=25)
    return parser.parse_args()


def per_read(
    samples: dict[str, measuring.Samples], reads: int
) -> Iterator[tuple[str, measuring.Samples]]:
    for name, one in samples.items():
        values, cpu = (
            tuple(value / reads for value in values)
            for values in (one.values, one.cpu)
        )
        yield name, dataclasses.replace(one, values=values, cpu=cpu)


def set_targets(
    report: measuring.Report,
    alone: dict[str, measuring.Samples],
    together: dict[str, measuring.Samples],
) -> None:
    unit = f'x {BASELINE}'
    for name, limit in (
        ('target_cell', 0.85),
        ('target_cell, single', 0.6),
        ('target_instance', 1.35),
        ('target_instance, single', 1.0),
    ):
        report.target(name, alone[name].ratio, limit, unit)
    report.target(
        f'{THREADS} threads, target_cell',
        together['target_cell'].ratio,
        1.0,
        unit,
    )


if __name__ == '__main__':
    sys.exit(main())
