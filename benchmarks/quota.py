"""What a reservation and its commit cost, and looking up and counting.

The baselines are written by hand (``quota_baselines.py``): the same guarded
UPDATEs, in the same order, through the database's driver alone, and through
oslo.db's enginefacade with SQLAlchemy Core. They know the limit, where
cellplug looks it up at each reservation; further columns show them with one
look-up of the limits written by hand, and with SELECT ... FOR UPDATE instead
of the guard. A commit is on the disk before it is answered.

All have a connection of their own in each process, kept open. The cases take
turns in short slices; a ratio is that of two slices of one round, of which
the median is shown.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import statistics
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from unittest import mock

import measuring
import quota_baselines
import quota_workers
import sqlalchemy as sa

import cellplug
from cellplug.db.api import models
from cellplug.testing import deployment
from cellplug.testing import services

PROJECTS = 64
USER = 'u'
LIMIT = 10**9
DELTAS = {'cores': 2, 'instances': 1, 'ram': 512}
LIMITS = dict.fromkeys(DELTAS, LIMIT)
AMOUNTS = {1: {'instances': 1}, 3: DELTAS}
PROCESSES = (1, 4, 16)
CELLS = (1, 4, 16)
INSTANCES = 100
"""How many instances a cell holds where they are counted."""

DRIVER, OSLO, OURS = 'driver', 'oslo.db', 'cellplug'
DRIVER_LOOKS, OSLO_LOOKS = 'driver, looks up', 'oslo.db, looks up'
LOCKING = 'FOR UPDATE'
SCHEMES = (DRIVER, OSLO, OURS, DRIVER_LOOKS, OSLO_LOOKS, LOCKING)
BOUNDS = {DRIVER: 0.5, OSLO: 0.85}

INSTANCE_TABLE = sa.Table(
    'instances',
    sa.MetaData(),
    sa.Column('uuid', sa.String(36), primary_key=True),
    sa.Column('project_id', sa.String(255), index=True),
    sa.Column('user_id', sa.String(255)),
    sa.Column('cores', sa.Integer),
    sa.Column('ram', sa.Integer),
)
db = cellplug.Database()


# -- what is measured --------------------------------------------------------


def project(scheme: str, number: int) -> str:
    """The id of a scheme's project; nobody shares rows with another."""
    return f'{scheme}-{number}'


def nothing_exists(
    context: Any, project_id: str, user_id: str | None
) -> dict[str, int]:
    """Count the truth; asked once for each project."""
    return dict.fromkeys(DELTAS, 0)


def register(router: Any) -> Any:
    """The router's quotas, with the resources of the benchmark."""
    for name in DELTAS:
        router.quotas.register_resource(
            cellplug.ReservableResource(name, sync=nothing_exists)
        )
    return router.quotas


def by_hand(scheme: str, url: str) -> Any:
    """One of the baselines, connected."""
    if scheme == LOCKING:
        return quota_baselines.LockingDriver(url)
    kind = (
        quota_baselines.Driver
        if scheme in (DRIVER, DRIVER_LOOKS)
        else quota_baselines.Oslo
    )
    return kind(url, looks_up=scheme in (DRIVER_LOOKS, OSLO_LOOKS))


def pair_by_hand(
    scheme: str, url: str
) -> Callable[[str, Mapping[str, int]], object]:
    """Reserves and commits, as a baseline does it."""
    hand = by_hand(scheme, url)

    def pair(project_id: str, deltas: Mapping[str, int]) -> None:
        hand.commit(hand.reserve(project_id, USER, deltas, LIMITS))

    return pair


def pair_by_quotas(
    api_url: str,
) -> Callable[[str, Mapping[str, int]], object]:
    """Reserves and commits, as cellplug does it."""
    fixture = deployment.ConfFixture({'api_database.connection': api_url})
    fixture.setUp()
    router = cellplug.CellRouter.from_conf(fixture.conf, database=db)
    quotas = register(router)
    contexts = {
        name: cellplug.RequestContext(user_id=USER, project_id=name)
        for name in (project(OURS, number) for number in range(PROJECTS + 1))
    }

    def pair(project_id: str, deltas: Mapping[str, int]) -> None:
        context = contexts[project_id]
        quotas.commit(context, quotas.reserve(context, deltas))

    return pair


def case_name(scheme: str, resources: int, many: bool) -> str:
    """What the processes call a case."""
    return f'{scheme}, {resources}, {"many" if many else "one"}'


def make_cases(
    number: int, schemes: tuple[str, ...], hand_url: str, api_url: str
) -> dict[str, quota_workers.Case]:
    """All cases, in one of the processes."""
    cases: dict[str, quota_workers.Case] = {}
    for scheme in schemes:
        pair = (
            pair_by_quotas(api_url)
            if scheme == OURS
            else pair_by_hand(scheme, hand_url)
        )
        for resources, many in itertools.product(AMOUNTS, (False, True)):
            cases[case_name(scheme, resources, many)] = make_case(
                pair, scheme, AMOUNTS[resources], number if many else None
            )
    return cases


def make_case(
    pair: Callable[..., object],
    scheme: str,
    deltas: Mapping[str, int],
    number: int | None,
) -> quota_workers.Case:
    """One case; of many projects, each process begins at another."""
    if number is None:
        hot = project(scheme, PROJECTS)
        return lambda call: pair(hot, deltas)
    names = [project(scheme, one) for one in range(PROJECTS)]
    return lambda call: pair(names[(number * 7 + call) % PROJECTS], deltas)


# -- the tables --------------------------------------------------------------


def fill(url: str, schemes: tuple[str, ...]) -> None:
    """Usages and limits of the schemes' projects."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    names = [
        project(scheme, number)
        for scheme in schemes
        for number in range(PROJECTS + 1)
    ]
    with engine.begin() as connection:
        connection.execute(
            sa.insert(models.quotas),
            [
                {'project_id': name, 'resource': resource, 'hard_limit': LIMIT}
                for name in names
                for resource in DELTAS
            ],
        )
        connection.execute(
            sa.insert(models.quota_usages),
            [
                {'project_id': name, 'user_id': user, 'resource': resource}
                for name in names
                for resource in sorted(DELTAS)
                for user in ('', USER)
            ],
        )
    engine.dispose()


def check_books(url: str, scheme: str, pairs: int) -> None:
    """What was done is what was measured."""
    usages = models.quota_usages.c
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(
                usages.user_id,
                sa.func.sum(usages.in_use),
                sa.func.sum(usages.reserved),
            )
            .where(
                usages.project_id.like(f'{scheme}-%'),
                usages.resource == 'instances',
            )
            .group_by(usages.user_id)
        )
        for user, in_use, reserved in rows:
            if (in_use, reserved) != (pairs, 0):
                sys.exit(
                    f'{scheme}: {pairs} reservations were committed, but'
                    f' {in_use} are in use of {user or "the project"!r}, and'
                    f' {reserved} are reserved'
                )
    engine.dispose()


class Setting:
    """Two equal databases on one server, and the processes' cases."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        workers: quota_workers.Workers,
        stack: contextlib.ExitStack,
    ) -> None:
        self.deployed = stack.enter_context(
            deployment.DeploymentFixture(arguments.backend, cells=0)
        )
        self.api_url = self.deployed.api_url
        self.hand_url = self.deployed.fresh_database()
        conf = stack.enter_context(
            deployment.ConfFixture({'api_database.connection': self.hand_url})
        ).conf
        cellplug.sync_api_database(conf)
        self.schemes: tuple[str, ...] = SCHEMES
        fill(self.hand_url, tuple(set(SCHEMES) - {OURS}))
        self.pairs: Counter[str] = Counter()
        self._workers = workers
        self._open_project()
        workers.set_up(make_cases, self.schemes, self.hand_url, self.api_url)

    def _open_project(self) -> None:
        """Have cellplug know its projects' usages."""
        quotas = self.quotas = register(self.deployed.router)
        for number in range(PROJECTS + 1):
            name = project(OURS, number)
            context = cellplug.RequestContext(user_id=USER, project_id=name)
            quotas.set_limits(context, LIMITS, project_id=name)
            quotas.rollback(context, quotas.reserve(context, DELTAS))

    def run(
        self, scheme: str, resources: int, many: bool, processes: int, t: float
    ) -> quota_workers.Slice:
        """One slice of a case."""
        name = case_name(scheme, resources, many)
        found = self._workers.run(name, processes, t)
        self.pairs[scheme] += found.calls
        return found

    def check_books(self) -> None:
        """See to it that all did what they say."""
        for scheme in self.schemes:
            url = self.api_url if scheme == OURS else self.hand_url
            check_books(url, scheme, self.pairs[scheme])


# -- measuring ---------------------------------------------------------------


def throughput(
    setting: Setting, arguments: argparse.Namespace, report: measuring.Report
) -> None:
    """Pairs of reserve and commit per second, and the issue's ratios."""
    rows: dict[str, list[str]] = {}
    data: list[dict[str, Any]] = []
    pure = 'PyMySQL' if arguments.backend == 'mariadb' else 'psycopg'
    for resources, many, processes in itertools.product(
        AMOUNTS, (False, True), arguments.processes
    ):
        what = (
            f'{resources} resource{"s" * (resources > 1)}, '
            f'{"many projects" if many else "one project"}, '
            f'{processes} process{"es" * (processes > 1)}'
        )
        slices = measure(setting, arguments, resources, many, processes)
        row, found = describe(slices)
        rows[what] = row
        data.append({'name': what, **found})
        for baseline, bound in BOUNDS.items():
            report.target(
                what,
                found['ratios'][f'{OURS} / {baseline}'][0],
                bound,
                f'x {pure if baseline == DRIVER else baseline}',
                at_least=True,
            )
    head = [
        pure, OSLO, OURS,
        f'/ {pure}', f'/ {OSLO}', 'quartiles',
        'CPU us', f'/ {pure}', f'/ {OSLO}',
        f'looks up: / {pure}', f'/ {OSLO}',
        f'{LOCKING} / {pure}',
    ]  # fmt: skip
    report.grid(
        'Pairs of reserve and commit per second; ratios of cellplug', head,
        rows, data,
    )  # fmt: skip


def measure(
    setting: Setting,
    arguments: argparse.Namespace,
    resources: int,
    many: bool,
    processes: int,
) -> dict[str, list[quota_workers.Slice]]:
    """The slices of each scheme, by round."""
    # Some dozen calls of each process, however many share the machine.
    seconds = arguments.seconds * max(1.0, processes / 4)
    order = list(setting.schemes)
    slices: dict[str, list[quota_workers.Slice]] = {one: [] for one in order}
    for scheme in order:
        # The first call of all connects.
        setting.run(scheme, resources, many, processes, 0.05)
    for _ in range(arguments.rounds):
        order.append(order.pop(0))
        for scheme in order:
            slices[scheme].append(
                setting.run(scheme, resources, many, processes, seconds)
            )
    return slices


def describe(
    slices: Mapping[str, list[quota_workers.Slice]],
) -> tuple[list[str], dict[str, Any]]:
    """A row of the table, and what stands for it in the JSON."""

    def ratio(one: str, other: str) -> tuple[float, float, float]:
        ratios = [
            a.rate / b.rate
            for a, b in zip(slices[one], slices[other], strict=True)
            # A disk that stands still for a slice lets nothing end in it.
            if b.rate
        ]
        return statistics.median(ratios), *measuring.quartiles(ratios)

    rates = {
        name: statistics.median(one.rate for one in found)
        for name, found in slices.items()
    }
    cpu = {
        name: statistics.median(one.cpu for one in found) * 1e6
        for name, found in slices.items()
    }
    pairs = [
        (OURS, DRIVER), (OURS, OSLO),
        (OURS, DRIVER_LOOKS), (OURS, OSLO_LOOKS), (LOCKING, DRIVER),
    ]  # fmt: skip
    ratios = {f'{a} / {b}': ratio(a, b) for a, b in pairs}
    driver, oslo, *others = ratios.values()
    row = [
        *(f'{rates[name]:.0f}' for name in (DRIVER, OSLO, OURS)),
        f'{driver[0]:.2f}',
        f'{oslo[0]:.2f}',
        f'({driver[1]:.2f} {driver[2]:.2f}; {oslo[1]:.2f} {oslo[2]:.2f})',
        f'{cpu[OURS]:.0f}',
        *(f'{cpu[OURS] / cpu[name]:.2f}' for name in (DRIVER, OSLO)),
        *(f'{other[0]:.2f}' for other in others),
    ]
    return row, {'per_second': rates, 'cpu_us': cpu, 'ratios': ratios}


def limits(
    setting: Setting, arguments: argparse.Namespace, report: measuring.Report
) -> None:
    """What looking up a project's limits costs, and in how many queries."""
    name = project(OURS, 0)
    context = cellplug.RequestContext(user_id=USER, project_id=name)
    hand = quota_baselines.Driver(setting.hand_url)
    quotas, theirs = setting.quotas, project(DRIVER, 0)
    cases: dict[str, Callable[[], Any]] = {
        'three guarded UPDATEs': lambda: hand.update(theirs, DELTAS, LIMITS),
        'limits by hand': lambda: hand.limits(theirs, USER),
        'limit_check of a value': lambda: quotas.limit_check(
            context, {'instances': 1}
        ),
        'get_project_quotas': lambda: quotas.get_project_quotas(context, name),
        'get_user_quotas': lambda: quotas.get_user_quotas(context, name, USER),
    }
    samples = measuring.take_turns(
        cases,
        rounds=max(9, arguments.rounds),
        calls=60,
        baseline='three guarded UPDATEs',
    )
    report.table(
        "A project's limits, us; baseline: the guarded UPDATEs of three "
        'resources by the driver alone, rolled back',
        samples,
    )
    for what, case in cases.items():
        statements = count_statements(arguments.backend, case)
        report.note(f'  {what}: {statements} statements')
        if what.startswith('get_'):
            report.target(f'{what}, statements', statements, 2)
    hand.close()


def count_statements(backend: str, case: Callable[[], Any]) -> int:
    """How many statements reach the database's driver in this process."""
    if backend == 'mariadb':
        import pymysql  # noqa: PLC0415 (not needed on PostgreSQL)

        owner, method = pymysql.connections.Connection, 'query'
    else:
        import psycopg  # noqa: PLC0415 (an optional dependency)

        owner, method = psycopg.Cursor, 'execute'
    with mock.patch.object(
        owner, method, autospec=True, side_effect=getattr(owner, method)
    ) as counted:
        case()
    found: int = counted.call_count
    return found


def count_here(
    context: Any, project_id: str, user_id: str | None
) -> dict[str, int]:
    """What a service's sync does in each cell, within a reader."""
    table = INSTANCE_TABLE.c
    query = sa.select(
        sa.func.count(), sa.func.sum(table.cores), sa.func.sum(table.ram)
    ).where(table.project_id == project_id)
    if user_id is not None:
        query = query.where(table.user_id == user_id)
    instances, cores, ram = context.session.execute(query).one()
    return {'instances': instances, 'cores': int(cores), 'ram': int(ram)}


def fill_cell(url: str) -> None:
    """Some instances in a cell."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    INSTANCE_TABLE.create(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(INSTANCE_TABLE),
            [
                {'uuid': str(uuid.uuid4()), 'project_id': 'p', 'user_id': 'u',
                 'cores': 2, 'ram': 512}
                for _ in range(INSTANCES)
            ],
        )  # fmt: skip
    engine.dispose()


def counting(
    arguments: argparse.Namespace,
    report: measuring.Report,
    stack: contextlib.ExitStack,
) -> None:
    """What counting in several cells costs, at once and one by one."""
    cases: dict[str, Callable[[], Any]] = {}
    for number in CELLS:
        cases.update(counting_cases(arguments.backend, number, stack))
    samples = measuring.take_turns(
        cases,
        rounds=max(9, arguments.rounds),
        calls=20,
        baseline='1 cell, one by one',
    )
    report.table("Counting a project's instances, us", samples)


def counting_cases(
    backend: str, number: int, stack: contextlib.ExitStack
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The cases of one deployment with so many cells."""
    deployed: Any = stack.enter_context(
        deployment.DeploymentFixture(backend, cells=number)
    )
    router, context = deployed.router, deployed.context()
    count = deployed.database.reader(count_here)
    for cell in deployed.cells:
        fill_cell(cell.database_connection)

    def one_by_one() -> dict[str, int]:
        found: Counter[str] = Counter()
        for cell in deployed.cells:
            with router.target_cell(context, cell) as cctxt:
                found.update(count(cctxt, 'p', None))
        return dict(found)

    def at_once() -> dict[str, int]:
        counts = router.quotas.count_in_cells(context, count, 'p', None)
        return dict(counts.values)

    expected = {
        name: number * INSTANCES * delta for name, delta in DELTAS.items()
    }
    for what, case in (
        ('one by one', one_by_one),
        ('count_in_cells', at_once),
    ):
        if case() != expected:
            sys.exit(f'{what}: {case()} was counted instead of {expected}')
        yield f'{number} cell{"s" * (number > 1)}, {what}', case


# -- the server --------------------------------------------------------------


def start_server(arguments: argparse.Namespace) -> str:
    """The server's URL; a private one gets durable commits."""
    kinds: dict[str, Any] = {
        'mariadb': services.MariaDB,
        'postgresql': services.PostgreSQL,
    }
    measuring.use_server(arguments)
    kind = kinds[arguments.backend]
    private = not os.environ.get(kind.variable)
    url = services.shared_url(kind)
    if private:
        make_durable(url, durable=not arguments.relaxed)
    return url


def make_durable(url: str, *, durable: bool) -> None:
    """Have a commit answered only when it is on the disk, or not so."""
    commands = (
        ['ALTER SYSTEM SET fsync = {}', 'SELECT pg_reload_conf()']
        if url.startswith('postgresql')
        else ['SET GLOBAL innodb_flush_log_at_trx_commit = {}']
    )
    values = ('off', 'on') if url.startswith('postgresql') else ('2', '1')
    engine = sa.create_engine(
        url, poolclass=sa.NullPool, isolation_level='AUTOCOMMIT'
    )
    with engine.connect() as connection:
        for command in commands:
            connection.exec_driver_sql(command.format(values[durable]))
    engine.dispose()


def durability(url: str) -> str:
    """What the server says of its commits."""
    name = (
        'fsync'
        if url.startswith('postgresql')
        else '@@GLOBAL.innodb_flush_log_at_trx_commit'
    )
    query = f'SHOW {name}' if name == 'fsync' else f'SELECT {name}'
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        value = str(connection.exec_driver_sql(query).scalar_one())
    engine.dispose()
    durable = value in ('on', '1')
    return (
        f'commits are {"" if durable else "NOT "}durable'
        f' ({name.lower()} = {value})'
    )


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    with (
        quota_workers.Workers(max(arguments.processes)) as workers,
        contextlib.ExitStack() as stack,
    ):
        url = start_server(arguments)
        report = measuring.Report(f'Quotas, {arguments.backend}', arguments)
        report.note(durability(url))
        setting = Setting(arguments, workers, stack)
        throughput(setting, arguments, report)
        setting.check_books()
        limits(setting, arguments, report)
        counting(arguments, report, stack)
    return report.finish()


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    measuring.add_database(parser)
    parser.add_argument(
        '--seconds',
        type=float,
        default=0.2,
        help='of each slice; with many processes it is longer '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--processes',
        type=int,
        nargs='+',
        metavar='N',
        default=PROCESSES,
        help='how many reserve at once (default: each of 1, 4 and 16)',
    )
    parser.add_argument(
        '--relaxed',
        action='store_true',
        help='leave the private server as tests have it, without waiting for '
        'the disk at a commit: what is left of the time is work',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='a short run that shows little but that it works',
    )
    parser.set_defaults(rounds=5)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 3, 0.1
    return arguments


if __name__ == '__main__':
    sys.exit(main())
