"""A deployment: API database, cells, their workers, and a router over it."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug.conf import drivers
from cellplug.lab import choosing
from cellplug.lab import database
from cellplug.lab import directory as lab_directory
from cellplug.lab import errors
from cellplug.lab import servers as lab_servers
from cellplug.lab import worker
from cellplug.lab import workers as lab_workers
from cellplug.objects import urls

PROJECT = 'lab'
USER = 'demo'
_CALL_TIMEOUT = '20'
"""Seconds: a worker that does not answer is found out in the meantime."""


class Deployment:
    """What the lab sends its requests to.

    :ivar router: over all cells.
    :ivar cells: the cells that take instances, in order, cell0 left out.
    :ivar kind: for people: on what it runs.
    :ivar drivers: the chain of drivers in use, by interface.
    """

    def __init__(
        self,
        router: cellplug.CellRouter,
        cells: list[cellplug.CellMapping],
        kind: str,
        drivers: dict[str, list[str]],
        check_workers: Callable[[], None],
    ) -> None:
        self.router = router
        self.drivers = drivers
        self.cells = cells
        self.kind = kind
        self.check_workers = check_workers

    def context(self) -> cellplug.RequestContext:
        """A request's context."""
        return cellplug.RequestContext(user_id=USER, project_id=PROJECT)


def read_conf(path: str) -> cfg.ConfigOpts:
    """The configuration in a file, and in nothing else.

    :raises LabError: if it cannot be read.
    """
    conf = cfg.ConfigOpts()
    cellplug.register_opts(conf)
    try:
        conf(
            [],
            project='cellplug',
            default_config_files=[path],
            default_config_dirs=[],
            use_env=False,
        )
    except cfg.Error as exc:
        raise errors.LabError(f'{path} cannot be used: {exc}') from exc
    return conf


@contextlib.contextmanager
def opened(
    servers: lab_servers.Servers,
    directory: lab_directory.Directory,
    count: int,
    taken: choosing.Groups,
) -> Iterator[Deployment]:
    """Build the deployment, or continue a former one; end it afterwards.

    :param count: how many cells beside cell0.
    :param taken: which drivers to use, and how.
    """
    own = {
        'api_database': {'connection': servers.database('api')},
        'rpc': {'call_timeout': _CALL_TIMEOUT},
    }
    path = directory.write_conf(lab_directory.CONF, own, taken)
    conf = read_conf(path)
    chains = choosing.chains(conf)
    cellplug.sync_api_database(conf)
    cells = _ensure_cells(conf, servers, count)
    # The cells are the same for each resolver, wherever it looks for them.
    named: choosing.Named = {}
    if choosing.STATIC in chains['resolver']:
        named = choosing.static_groups(cells)
        path = directory.write_conf(
            lab_directory.CONF, {**own, **named}, taken
        )
    taking = [cell for cell in cells if not cell.is_cell0]
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(
            cellplug.CellRouter.from_conf(
                read_conf(path),
                database=database.db,
                allowed_remote_exmods=(errors.__name__,),
            )
        )
        if servers.embedded:
            check = _start_threads(stack, router, taking)
        else:
            check = _start_processes(stack, taking, directory, named, taken)
        yield Deployment(router, taking, servers.kind, chains, check)


def _ensure_cells(
    conf: cfg.ConfigOpts, servers: lab_servers.Servers, count: int
) -> list[cellplug.CellMapping]:
    """All cells, cell0 first, made with the drivers that can make them."""
    for interface in ('resolver', 'transport_cache'):
        conf.set_override('driver', drivers.DEFAULTS[interface], interface)
    with cellplug.CellRouter.from_conf(conf, database=database.db) as router:
        return [
            _ensure_cell(router, 'cell0', cellplug.CELL0_UUID, servers),
            *(
                _ensure_cell(router, f'cell{number + 1}', None, servers)
                for number in range(count)
            ),
        ]


def _ensure_cell(
    router: cellplug.CellRouter,
    name: str,
    uuid: str | None,
    servers: lab_servers.Servers,
) -> cellplug.CellMapping:
    """The cell with the service's tables in it, made if need be."""
    connection = servers.database(name)
    transport = servers.queue(name) if uuid is None else urls.NO_QUEUE
    try:
        cell = router.cells.get(name)
    except exception.CellMappingNotFound:
        cell = router.cells.create(
            name=name,
            uuid=uuid,
            database_connection=connection,
            transport_url=transport,
        )
    if (cell.database_connection, cell.transport_url) != (
        connection,
        transport,
    ):
        raise errors.LabError(
            f'the former lab has its {name} elsewhere, at '
            f'{urls.mask(cell.database_connection)}; begin with an empty '
            'directory and API database, or go back to the former URLs'
        )
    context = cellplug.RequestContext(user_id=USER, project_id=PROJECT)
    with router.target_cell(context, cell) as cctxt:
        database.create_tables(cctxt)
    return cell


def _start_threads(
    stack: contextlib.ExitStack,
    router: cellplug.CellRouter,
    cells: list[cellplug.CellMapping],
) -> Callable[[], None]:
    """Run each cell's worker in this process."""
    started: list[Any] = []

    def stop() -> None:
        # A server takes a second to stop: all at once.
        with concurrent.futures.ThreadPoolExecutor(len(cells)) as pool:
            list(pool.map(lambda server: server.stop(), started))

    stack.callback(stop)
    for cell in cells:
        server = worker.server(router, cell.name, f'worker-{cell.name}')
        started.append(server)
        server.start()
    return lambda: None


def _start_processes(
    stack: contextlib.ExitStack,
    cells: list[cellplug.CellMapping],
    directory: lab_directory.Directory,
    named: choosing.Named,
    taken: choosing.Groups,
) -> Callable[[], None]:
    """Run each cell's worker in a process of its own.

    It knows its cell alone, as the process's own database and queue; or, if
    the cells are named in the configuration, it finds its cell there.
    """
    workers = lab_workers.Workers()
    stack.callback(workers.stop)
    taken = {
        group: options
        for group, options in taken.items()
        if group != 'api_database'
    }
    for cell in cells:
        name = f'worker-{cell.name}'
        own = {
            'DEFAULT': {'transport_url': cell.transport_url},
            'database': {'connection': cell.database_connection},
        }
        path = directory.write_conf(f'{name}.conf', named or own, taken)
        log = directory.file(f'{name}.log')
        workers.start(cell.name, path, log, find_cell=bool(named))
    workers.wait()
    return workers.check
