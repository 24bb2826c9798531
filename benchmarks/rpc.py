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
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import measuring
from oslo_config import cfg
from oslo_context import context as oslo_context

import cellplug
from cellplug.testing import deployment
from cellplug.testing import fixtures
from cellplug.testing import services

with warnings.catch_warnings():
    # eventlet's, which oslo.messaging imports.
    warnings.simplefilter('ignore')
    import oslo_messaging

CELLS = 4
BASELINE = 'one global transport'
ONE_CELL = 'target_cell, one cell'
TOPIC = 'benchmark'


class PlainSerializer(oslo_messaging.NoOpSerializer):
    """Contexts on the wire, as services without cells send them."""

    def serialize_context(self, context: Any) -> Any:
        return context.to_dict()

    def deserialize_context(self, context: Any) -> Any:
        return oslo_context.RequestContext.from_dict(context)


class Endpoint:
    def echo(self, context: Any, value: Any) -> Any:
        return value

    def hear(self, context: Any, value: Any) -> None:
        pass


def work(api_url: str, plain_url: str, ready: Any, stop: Any) -> None:
    """The workers' process: the plain server, and one in each cell."""
    options = {'api_database.connection': api_url}
    with deployment.ConfFixture(options) as conf:
        target = oslo_messaging.Target(topic=TOPIC, server='worker')
        plain = oslo_messaging.get_rpc_server(
            oslo_messaging.get_rpc_transport(cfg.CONF, url=plain_url),
            target,
            [Endpoint()],
            executor='threading',
            serializer=PlainSerializer(),
        )
        plain.start()
        with (
            contextlib.closing(
                cellplug.CellRouter.from_conf(conf.conf)
            ) as router,
            contextlib.ExitStack() as stack,
        ):
            for cell in router.cells.list():
                stack.enter_context(
                    router.rpc_server(cell, target, [Endpoint()])
                )
            ready.set()
            stop.wait()
        plain.stop()
        plain.wait()


def plain_clients(urls: list[str], stack: contextlib.ExitStack) -> list[Any]:
    """oslo.messaging's own clients, with its defaults, one for each URL."""
    found = []
    for url in urls:
        transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=url)
        stack.callback(transport.cleanup)
        found.append(
            oslo_messaging.get_rpc_client(
                transport,
                oslo_messaging.Target(topic=TOPIC),
                serializer=PlainSerializer(),
            )
        )
    return found


def cases(
    deployed: Any, plain_url: str, method: str, stack: contextlib.ExitStack
) -> dict[str, Callable[[], Any]]:
    """The cases of ``call`` or of ``cast``, by name."""
    target = oslo_messaging.Target(topic=TOPIC)
    name = 'echo' if method == 'call' else 'hear'
    context = deployed.context()
    # Not the fixture's own: this one disconnects before its queues are gone.
    router = stack.enter_context(
        contextlib.closing(cellplug.CellRouter.from_conf(deployed.conf))
    )
    plain_context = oslo_context.RequestContext(user_id='u', project_id='p')
    (plain,) = plain_clients([plain_url], stack)
    per_cell = itertools.cycle(
        plain_clients([cell.transport_url for cell in deployed.cells], stack)
    )
    cctxt = stack.enter_context(router.target_cell(context, deployed.cells[0]))
    kept = router.rpc_client(cctxt, target)

    def in_plain(client: Any) -> None:
        getattr(client, method)(plain_context, name, value=1)

    def routed(cell: Any) -> None:
        with router.target_cell(context, cell) as cctxt:
            client = router.rpc_client(cctxt, target)
            getattr(client, method)(cctxt, name, value=1)

    cells = itertools.cycle(deployed.cells)
    return {
        BASELINE: lambda: in_plain(plain),
        f'oslo.messaging over {CELLS} cells': lambda: in_plain(next(per_cell)),
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
    spawning = multiprocessing.get_context('spawn')
    ready, stop = spawning.Event(), spawning.Event()
    worker = spawning.Process(
        target=work, args=(deployed.api_url, plain_url, ready, stop)
    )
    worker.start()
    try:
        if not ready.wait(60):
            raise RuntimeError('the workers did not start within 60 s')
        found = {}
        for method in ('call', 'cast'):
            with contextlib.ExitStack() as stack:
                found[method] = measuring.take_turns(
                    cases(deployed, plain_url, method, stack),
                    rounds=arguments.rounds,
                    calls=arguments.calls,
                    baseline=BASELINE,
                )
        return found
    finally:
        stop.set()
        worker.join(30)
        worker.kill()


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    if arguments.transport_url:
        os.environ[services.RabbitMQ.variable] = arguments.transport_url
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


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    parser.add_argument(
        '--transport-url',
        metavar='URL',
        help='use this broker instead of a private one: rabbit://USER:'
        'PASSWORD@HOST:PORT/?management_port=PORT of an administrator',
    )
    parser.add_argument(
        '--calls',
        type=int,
        default=200,
        help='messages of each case in each round (default: %(default)s)',
    )
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
