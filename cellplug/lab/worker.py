"""The worker of one cell: the only one that changes this cell's instances.

``python -m cellplug.lab.worker --config-file FILE --host NAME`` runs one as a
process of its own. Its configuration names its cell's database and queue and
nothing else: a worker knows of no API database and of no other cell. With
``--cell NAME`` it finds its cell by the configured resolver instead. At
SIGHUP it reads its configuration again.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import rpc
from cellplug.lab import api
from cellplug.lab import database
from cellplug.lab import processes

_STOP = 'stop'
_ORDERS: Mapping[int, str] = types.MappingProxyType(
    {
        signal.SIGTERM: _STOP,
        signal.SIGINT: _STOP,
        signal.SIGHUP: 'reload',
    }
)


class Worker:
    """Answers the API's messages; the context is aimed at the own cell.

    :param host: the name of the machine that the instances run on.
    """

    def __init__(self, host: str) -> None:
        self._host = host

    def boot(
        self, context: cellplug.RequestContext, values: dict[str, Any]
    ) -> dict[str, Any]:
        """Build an instance; here that means to write its row."""
        return database.instance_create(
            context, {**values, 'state': 'active', 'host': self._host}
        )

    def reboot(
        self, context: cellplug.RequestContext, uuid: str
    ) -> dict[str, Any]:
        """Reboot an instance."""
        return database.instance_reboot(context, uuid)

    def delete(self, context: cellplug.RequestContext, uuid: str) -> None:
        """Delete an instance."""
        database.instance_destroy(context, uuid)


def server(
    router: cellplug.CellRouter,
    cell: str | None,
    host: str,
) -> Any:
    """An RPC server for a worker.

    :param cell: its name; None for the process's own cell.
    """
    target = rpc.Target(topic=api.TOPIC, server=host)
    return router.rpc_server(cell, target, [Worker(host)])


@contextlib.contextmanager
def threads(
    router: cellplug.CellRouter, cells: Sequence[cellplug.CellMapping]
) -> Iterator[None]:
    """Each cell's worker, within this process, while the block runs."""
    started: list[Any] = []
    try:
        for cell in cells:
            one = server(router, cell.name, f'worker-{cell.name}')
            started.append(one)
            one.start()
        yield
    finally:
        # A server takes a second to stop: all at once.
        with concurrent.futures.ThreadPoolExecutor(len(cells)) as pool:
            list(pool.map(lambda one: one.stop(), started))


def _conf(argv: Sequence[str]) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    cellplug.register_opts(conf)
    conf.register_cli_opts(
        [
            cfg.StrOpt('host', required=True, help='The name of the host.'),
            cfg.StrOpt(
                'cell',
                help='The name of the cell to work for, which the resolver '
                'finds. By default the one whose database and queue are '
                '[database] connection and [DEFAULT] transport_url.',
            ),
            cfg.BoolOpt(
                'stop-on-eof',
                default=False,
                help='Stop when standard input is closed, i.e. with the '
                'process that started this one.',
            ),
        ]
    )
    conf(argv, project='cellplug', prog='worker', default_config_files=[])
    return conf


def main(argv: Sequence[str] | None = None) -> int:
    """Work until SIGTERM.

    :returns: the exit code; 1 if the cell's queue cannot be used.
    """
    orders = _Orders()
    try:
        conf = _conf(sys.argv[1:] if argv is None else argv)
        if conf.stop_on_eof:
            threading.Thread(
                target=wait_for_eof,
                args=(orders.stop,),
                daemon=True,
            ).start()
        with (
            cellplug.CellRouter.from_conf(
                conf, database=database.db
            ) as router,
            server(router, conf.cell, conf.host),
        ):
            print(processes.READY, flush=True)
            while orders.next() != _STOP:
                _reload(router)
    except (exception.CellplugError, cfg.Error) as exc:
        print(f'worker: {exc}', file=sys.stderr)
        return 1
    return 0


class _Orders:
    """What the process is told by signals, one after the other.

    They come through a pipe that the signal itself is written to. A handler
    in Python would run at the next instruction, and one that comes just before
    the main thread begins to wait for it has to wait as long.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        for signum in _ORDERS:
            signal.signal(signum, lambda *_: None)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def next(self) -> str:
        """Wait for the next order."""
        while True:
            (signum,) = os.read(self._reader, 1)
            if signum in _ORDERS:
                return _ORDERS[signum]

    def stop(self) -> None:
        """The order to stop, from any thread."""
        os.write(self._writer, bytes([signal.SIGTERM]))


def _reload(router: cellplug.CellRouter) -> None:
    """Take up an edited configuration, and say what came of it."""
    try:
        router.reload()
    except exception.CellplugError as exc:
        said = f'the former configuration stays in effect: {exc}'
    else:
        said = 'the configuration was read again and is in effect'
    print(f'reload: {said}', file=sys.stderr, flush=True)


def wait_for_eof(then: Callable[[], None]) -> None:
    """Wait until whoever started this process closes its standard input."""
    while os.read(sys.stdin.fileno(), 64):
        pass
    then()


if __name__ == '__main__':
    sys.exit(main())
