"""What targeting itself costs: time, first use, memory, start-up.

The server offers no TLS, whose handshake would outweigh everything else in
the first use of a cell.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import importlib.util
import itertools
import multiprocessing
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import measuring
import sqlalchemy as sa
from oslo_context import context as oslo_context
from oslo_db.sqlalchemy import enginefacade

import cellplug
from cellplug.testing import deployment

IDLE_CELLS = 64
WARM_CELLS = 4
ONE = sa.text('SELECT 1')
db = cellplug.Database()


@db.reader
def read(context: Any) -> Any:
    return context.session.execute(ONE).scalar_one()


def in_memory(deployed: Any, rounds: int, report: measuring.Report) -> None:
    """Targeting alone, warm."""
    router, context = deployed.router, deployed.context()
    cells = itertools.cycle(deployed.cells[:16])
    owned = deployed.context()

    def target_cell() -> None:
        with router.target_cell(context, next(cells)):
            pass

    def untarget() -> None:
        with router.target_cell(context, None):
            pass

    samples = measuring.take_turns(
        {
            'target_cell, a CellMapping': target_cell,
            'target_cell, None': untarget,
            'set_target_cell': lambda: router.set_target_cell(
                owned, next(cells)
            ),
            'copy of a context alone': lambda: copy.copy(context),
        },
        rounds=rounds,
        calls=5000,
    )
    report.table('Targeting, us', samples)
    report.target(
        'target_cell', samples['target_cell, a CellMapping'].median, 6, 'us'
    )


@enginefacade.transaction_context_provider
class PlainContext(oslo_context.RequestContext):
    """A context as services without cells have it."""


def first_use(deployed: Any, report: measuring.Report) -> None:
    """From targeting a cell that was never used to its first row."""
    context = deployed.context()
    seconds: dict[str, list[float]] = {'oslo.db': [], 'cellplug': []}
    router = cellplug.CellRouter.from_conf(deployed.conf, database=db)
    managers = []
    with contextlib.closing(router):
        for cell in deployed.cells:
            gc.collect()
            began = time.perf_counter()
            with router.target_cell(context, cell) as cctxt:
                read(cctxt)
            seconds['cellplug'].append(time.perf_counter() - began)
            gc.collect()
            began = time.perf_counter()
            manager = enginefacade.transaction_context()
            manager.configure(connection=cell.database_connection)
            with manager.reader.using(PlainContext()) as session:
                session.execute(ONE).scalar_one()
            seconds['oslo.db'].append(time.perf_counter() - began)
            managers.append(manager)
    for manager in managers:
        manager.dispose_pool()
    names = {
        f'{name}, {which}': values[part]
        for name, values in seconds.items()
        for which, part in (('first', slice(1)), ('further', slice(1, None)))
    }
    samples: dict[str, measuring.Samples] = {}
    for which in ('first', 'further'):
        chosen = {k: v for k, v in names.items() if k.endswith(which)}
        samples.update(measuring.related(chosen, f'oslo.db, {which}', 'ms'))
    report.table('First use of a cell, ms to the first row', samples)
    report.target(
        'first use of a further cell',
        samples['cellplug, further'].median,
        5,
        'ms',
    )


def memory(deployed: Any, rounds: int, report: measuring.Report) -> None:
    """What a cell that was used once keeps in memory."""
    spawning = multiprocessing.get_context('spawn')
    found: dict[str, list[float]] = {}
    with spawning.Pool(1, maxtasksperchild=1) as pool:
        for traced in (False, True):
            for _ in range(min(rounds, 3) if traced else rounds):
                work = (deployed.api_url, traced)
                for name, value in pool.apply(use_and_weigh, work).items():
                    found.setdefault(name, []).append(value)
    samples = {
        name: measuring.Samples(name, tuple(values), 'kB')
        for name, values in found.items()
    }
    report.table(f'Memory per idle cell, {IDLE_CELLS} cells, kB', samples)
    for name, one in samples.items():
        report.target(f'memory per idle cell, {name}', one.median, 150, 'kB')


def use_and_weigh(api_url: str, traced: bool) -> dict[str, float]:
    """In a process of its own: use all cells once, weigh, drop, weigh."""
    conf = deployment.ConfFixture({'api_database.connection': api_url})
    context = cellplug.RequestContext(user_id='u', project_id='p')
    with conf, contextlib.ExitStack() as stack:
        router = stack.enter_context(
            contextlib.closing(
                cellplug.CellRouter.from_conf(conf.conf, database=db)
            )
        )
        cells = list(router.cells.list())
        _use(router, context, cells[:WARM_CELLS])
        if traced:
            tracemalloc.start()
        weigh = _traced if traced else _resident
        before = weigh()
        _use(router, context, cells[WARM_CELLS:])
        kept = weigh()
        # Waiting for [cell_database] idle_timeout would take minutes.
        for cell in cells:
            router._registry.engines(cell.uuid).drop_idle()
        dropped = weigh()
    what = 'tracemalloc' if traced else 'RSS'
    per_cell = (len(cells) - WARM_CELLS) * 1000
    return {
        f'{what}, connections kept': (kept - before) / per_cell,
        f'{what}, connections dropped': (dropped - before) / per_cell,
    }


def _use(router: Any, context: Any, cells: list[Any]) -> None:
    for cell in cells:
        with router.target_cell(context, cell) as cctxt:
            read(cctxt)


def _resident() -> int:
    gc.collect()
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) * 1024
    raise RuntimeError('no VmRSS in /proc/self/status')


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def processes(rounds: int, report: measuring.Report) -> None:
    """Whole processes, the interpreter's own start included."""
    commands = {
        'python -c pass': [sys.executable, '-c', 'pass'],
        'import cellplug': [sys.executable, '-c', 'import cellplug'],
    }
    manage = 'cellplug-manage --help'
    if importlib.util.find_spec('cellplug.cmd.manage'):
        program = Path(sys.executable).with_name('cellplug-manage')
        commands[manage] = [str(program), '--help']

    def run(command: list[str]) -> Any:
        return lambda: subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL
        )

    samples = measuring.take_turns(
        {name: run(command) for name, command in commands.items()},
        rounds=rounds,
        calls=1,
        unit='ms',
    )
    report.table('Whole processes, ms', samples)
    report.target(
        'import cellplug', samples['import cellplug'].median, 40, 'ms'
    )
    if manage in samples:
        report.target(manage, samples[manage].median, 300, 'ms')


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    measuring.use_server(arguments)
    title = f'Targeting, {arguments.backend}'
    report = measuring.Report(title, arguments)
    processes(arguments.rounds, report)
    with deployment.DeploymentFixture(
        arguments.backend, cells=IDLE_CELLS + WARM_CELLS
    ) as deployed:
        in_memory(deployed, arguments.rounds, report)
        first_use(deployed, report)
        memory(deployed, arguments.rounds, report)
    return report.finish()


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    measuring.add_database(parser)
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
