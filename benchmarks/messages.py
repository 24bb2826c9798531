"""What the benchmarks of messaging share: plain oslo.messaging, and workers.

Plain is what a service without cells has: one global transport, with a
serializer for oslo.context's contexts.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import measuring
from oslo_config import cfg
from oslo_context import context as oslo_context

from cellplug.testing import services

with warnings.catch_warnings():
    # eventlet's, which oslo.messaging imports.
    warnings.simplefilter('ignore')
    import oslo_messaging

BASELINE = 'one global transport'
TOPIC = 'benchmark'
METHODS = {'call': 'echo', 'cast': 'hear'}
"""What is called in the workers, by how it is called."""


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


def target(**options: Any) -> Any:
    """oslo.messaging's Target of the benchmarks' topic."""
    return oslo_messaging.Target(topic=TOPIC, **options)


@contextlib.contextmanager
def plain_server(url: str) -> Iterator[None]:
    """oslo.messaging's own server."""
    server = oslo_messaging.get_rpc_server(
        oslo_messaging.get_rpc_transport(cfg.CONF, url=url),
        target(server='worker'),
        [Endpoint()],
        executor='threading',
        serializer=PlainSerializer(),
    )
    server.start()
    yield
    server.stop()
    server.wait()


def plain_case(
    url: str, method: str, stack: contextlib.ExitStack
) -> Callable[[], Any]:
    """A call or cast of oslo.messaging's own client, with its defaults."""
    transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=url)
    stack.callback(transport.cleanup)
    client = oslo_messaging.get_rpc_client(
        transport, target(), serializer=PlainSerializer()
    )
    context = oslo_context.RequestContext(user_id='u', project_id='p')
    send, name = getattr(client, method), METHODS[method]
    return lambda: send(context, name, value=1)


@contextlib.contextmanager
def workers(work: Callable[..., None], *args: Any) -> Iterator[None]:
    """A process of workers.

    :param work: called there with the arguments and two events: it sets the
        first when the workers listen, and ends when the second is set.
    """
    spawning = multiprocessing.get_context('spawn')
    ready, stop = spawning.Event(), spawning.Event()
    process = spawning.Process(target=work, args=(*args, ready, stop))
    process.start()
    try:
        if not ready.wait(60):
            raise RuntimeError('the workers did not start within 60 s')
        yield
    finally:
        stop.set()
        process.join(30)
        process.kill()


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of benchmarks that need a broker."""
    found = measuring.parser(description)
    found.add_argument(
        '--transport-url',
        metavar='URL',
        help='use this broker instead of a private one: rabbit://USER:'
        'PASSWORD@HOST:PORT/?management_port=PORT of an administrator',
    )
    found.add_argument(
        '--calls',
        type=int,
        default=200,
        help='messages of each case in each round (default: %(default)s)',
    )
    return found


def use_broker(arguments: argparse.Namespace) -> None:
    """Have the fixtures use the broker that the arguments name."""
    if arguments.transport_url:
        os.environ[services.RabbitMQ.variable] = arguments.transport_url
