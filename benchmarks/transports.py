"""What the transport caches cost: a call and a cast on each of them.

The baseline (1.00) is a service without cells: one global oslo.messaging
transport. All cases send to the same worker, oslo.messaging's own in a
process of its own, so that what differs is the sender alone. A context is
aimed at its cell once, and many messages follow; what aiming costs, and
cellplug's own workers, ``rpc.py`` shows.

``none`` connects for each message. It takes turns with the baseline in a
table of its own, as its connections are still being closed while the next
case runs.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import measuring
import messages
from messages import BASELINE

import cellplug
from cellplug.testing import deployment
from cellplug.testing import fixtures

KEPT = ('process', 'lru')
FEWER = 10
"""A message on ``none`` takes about so many times as long."""


def work(url: str, ready: Any, stop: Any) -> None:
    """The worker's process."""
    with messages.plain_server(url):
        ready.set()
        stop.wait()


def case(
    deployed: Any, driver: str, method: str, stack: contextlib.ExitStack
) -> Callable[[], Any]:
    """A call or cast on the cell's transport, with this transport cache."""
    conf = stack.enter_context(
        deployment.ConfFixture(
            {
                'api_database.connection': deployed.api_url,
                'transport_cache.driver': driver,
            }
        )
    ).conf
    router = stack.enter_context(
        contextlib.closing(cellplug.CellRouter.from_conf(conf))
    )
    cctxt = stack.enter_context(
        router.target_cell(deployed.context(), deployed.cells[0])
    )
    client = router.rpc_client(cctxt, messages.target())
    send, name = getattr(client, method), messages.METHODS[method]
    return lambda: send(cctxt, name, value=1)


def compared(
    arguments: argparse.Namespace,
    deployed: Any,
    method: str,
    drivers: tuple[str, ...],
) -> dict[str, measuring.Samples]:
    """The samples of the drivers, in relation to the baseline."""
    (cell,) = deployed.cells
    with contextlib.ExitStack() as stack:
        cases = {BASELINE: messages.plain_case(cell.transport_url, method,
                                               stack)}  # fmt: skip
        for driver in drivers:
            cases[driver] = case(deployed, driver, method, stack)
        kept = set(drivers) <= set(KEPT)
        return measuring.take_turns(
            cases,
            rounds=arguments.rounds,
            calls=max(1, arguments.calls // (1 if kept else FEWER)),
            baseline=BASELINE,
        )


def main() -> int:
    """Measure; the exit code."""
    arguments = messages.parser(__doc__).parse_args()
    messages.use_broker(arguments)
    report = measuring.Report('Transport caches, RabbitMQ', arguments)
    with (
        fixtures.QueueFixture() as queue,
        deployment.DeploymentFixture(cells=0) as deployed,
        messages.workers(work, queue.url),
    ):
        deployed.cells.append(
            deployed.add_cell('cell1', transport_url=queue.url)
        )
        for method in messages.METHODS:
            kept = compared(arguments, deployed, method, KEPT)
            report.table(f'{method}, us', kept)
            for driver in KEPT:
                report.target(
                    f'a {method} on {driver}',
                    kept[driver].ratio,
                    1.05,
                    f'x {BASELINE}',
                )
            alone = compared(arguments, deployed, method, ('none',))
            report.table(f'{method}, a transport for each, us', alone)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
