"""What an RPC through a cell's transport costs.

The baseline (1.00) is a service without cells: one global oslo.messaging
transport, with a serializer for oslo.context's contexts as services have it.
The workers are in a process of their own; each case has a virtual host of its
own on one broker. Going from one cell to the next costs something by itself,
which oslo.messaging alone over the same cells shows.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable
from typing import Any

import measuring
import messages
from messages import BASELINE

import cellplug
from cellplug.testing import deployment
from cellplug.testing import fixtures

CELLS = 4
ONE_CELL = 'target_cell, one cell'


def work(api_url: str, plain_url: str, ready: Any, stop: Any) -> None:
    """The workers' process: the plain server, and one in each cell."""
    options = {'api_database.connection': api_url}
    target = messages.target(server='worker')
    with (
        deployment.ConfFixture(options) as conf,
        messages.plain_server(plain_url),
        contextlib.closing(cellplug.CellRouter.from_conf(conf.conf)) as router,
        contextlib.ExitStack() as stack,
    ):
        for cell in router.cells.list():
            stack.enter_context(
                router.rpc_server(cell, target, [messages.Endpoint()])
            )
        ready.set()
        stop.wait()


def cases(
    deployed: Any, plain_url: str, method: str, stack: contextlib.ExitStack
) -> dict[str, Callable[[], Any]]:
    """The cases of ``call`` or of ``cast``, by name."""
    target = messages.target()
    name = messages.METHODS[method]
    context = deployed.context()
    # Not the fixture's own: this one disconnects before its queues are gone.
    router = stack.enter_context(
        contextlib.closing(cellplug.CellRouter.from_conf(deployed.conf))
    )
    per_cell = itertools.cycle(
        [
            messages.plain_case(cell.transport_url, method, stack)
            for cell in deployed.cells
        ]
    )
    cctxt = stack.enter_context(router.target_cell(context, deployed.cells[0]))
    kept = router.rpc_client(cctxt, target)

    def routed(cell: Any) -> None:
        with router.target_cell(context, cell) as cctxt:
            client = router.rpc_client(cctxt, target)
            getattr(client, method)(cctxt, name, value=1)

    def in_turn() -> None:
        next(per_cell)()

    cells = itertools.cycle(deployed.cells)
    return {
        BASELINE: messages.plain_case(plain_url, method, stack),
        f'oslo.messaging over {CELLS} cells': in_turn,
        'one cell, client kept': lambda: getattr(kept, method)(
            cctxt, name, value=1
        ),
        ONE_CELL: lambda: routed(deployed.cells[0]),
        f'target_cell over {CELLS} cells': lambda: routed(next(cells)),
    }


def measure(
    arguments: argparse.Namespace, deployed: Any, plain_url: str
) -> dict[str, dict[str, measuring.Samples]]:
    """The samples of ``call`` and of ``cast``."""
    found = {}
    with messages.workers(work, deployed.api_url, plain_url):
        for method in messages.METHODS:
            with contextlib.ExitStack() as stack:
                found[method] = measuring.take_turns(
                    cases(deployed, plain_url, method, stack),
                    rounds=arguments.rounds,
                    calls=arguments.calls,
                    baseline=BASELINE,
                )
    return found


def main() -> int:
    """Measure; the exit code."""
    arguments = messages.parser(__doc__).parse_args()
    messages.use_broker(arguments)
    report = measuring.Report('RPC, RabbitMQ', arguments)
    with (
        fixtures.QueueFixture() as queue,
        deployment.DeploymentFixture(
            cells=CELLS, queues='rabbitmq'
        ) as deployed,
    ):
        found = measure(arguments, deployed, queue.url)
    for method, samples in found.items():
        report.table(f'{method}, us', samples)
    call = found['call'][ONE_CELL].ratio
    report.target('an RPC call', call, 1.05, f'x {BASELINE}')
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
