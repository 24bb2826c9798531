"""A deployment: API database, cells, their workers, and a router over it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug.conf import drivers
from cellplug.lab import choosing
from cellplug.lab import database
from cellplug.lab import directory as lab_directory
from cellplug.lab import errors
from cellplug.lab import people
from cellplug.lab import resources
from cellplug.lab import servers as lab_servers
from cellplug.lab import settling
from cellplug.lab import worker
from cellplug.lab import workers as lab_workers
from cellplug.objects import urls

_CALL_TIMEOUT = '20'
"""Seconds: a worker that does not answer is found out in the meantime."""

_SHORT_CALL_TIMEOUT = '5'
"""Seconds: where workers that do not answer are a part of it."""


class Deployment:
    """What the lab sends its requests to.

    :ivar router: over all cells.
    :ivar cells: the cells that take instances, in order, cell0 left out.
    :ivar kind: for people: on what it runs.
    :ivar drivers: the chain of drivers in use, by interface.
    :ivar clock: the router's.
    :ivar workers: those of all cells, wherever they run.
    """

    def __init__(
        self,
        router: cellplug.CellRouter,
        cells: list[cellplug.CellMapping],
        kind: str,
        drivers: dict[str, list[str]],
        clock: settling.Clock,
        workers: lab_workers.Workers,
    ) -> None:
        self.router = router
        self.drivers = drivers
        self.cells = cells
        self.kind = kind
        self.clock = clock
        self.workers = workers

    def context(self, user: str = people.USER) -> cellplug.RequestContext:
        """A request's context."""
        return cellplug.RequestContext(user_id=user, project_id=people.PROJECT)

    def settle(self) -> settling.Settled:
        """End what a crash left behind; nobody may be at work."""
        return settling.settle(self.router, self.context(), self.clock)

    def recount(self) -> None:
        """Count what is used, where a run without quotas came before."""
        settling.recount(self.router, self.context())


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
    *,
    crash: bool = False,
    hasty: bool = False,
) -> Iterator[Deployment]:
    """Build the deployment, or continue a former one; end it afterwards.

    :param count: how many cells beside cell0.
    :param taken: which drivers to use, and how.
    :param crash: for processes that will be killed: workers that are not
        processes are left to them.
    :param hasty: give up a worker that does not answer soon.
    """
    timeout = _SHORT_CALL_TIMEOUT if hasty else _CALL_TIMEOUT
    own = {
        'api_database': {'connection': servers.database('api')},
        'rpc': {'call_timeout': timeout},
        'quota': {'resource_plugins': resources.PLUGIN},
        'instances': {
            'table': database.Instance.__tablename__,
            'user_column': 'user_id',
        },
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
    clock = settling.Clock()
    workers = lab_workers.Workers()
    with contextlib.ExitStack() as stack:
        router = stack.enter_context(
            cellplug.CellRouter.from_conf(
                read_conf(path),
                database=database.db,
                allowed_remote_exmods=(errors.__name__,),
                clock=clock,
            )
        )
        stack.callback(workers.stop)
        if not servers.embedded:
            _start_processes(workers, taking, directory, named, taken)
        elif not crash:
            workers.enter(worker.threads(router, taking))
        yield Deployment(router, taking, servers.kind, chains, clock, workers)


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
    context = cellplug.RequestContext(
        user_id=people.USER, project_id=people.PROJECT
    )
    with router.target_cell(context, cell) as cctxt:
        database.create_tables(cctxt)
    return cell


def _start_processes(
    workers: lab_workers.Workers,
    cells: list[cellplug.CellMapping],
    directory: lab_directory.Directory,
    named: choosing.Named,
    taken: choosing.Groups,
) -> None:
    """Run each cell's worker in a process of its own.

    It knows its cell alone, as the process's own database and queue; or, if
    the cells are named in the configuration, it finds its cell there.
    """
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
