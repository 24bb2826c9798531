"""How a suite gets at what stands behind a driver.

A harness starts the driver's source, changes the truth in it, breaks and
mends it. What it cannot do raises NotSupported, and the checks that need it
are reported as not run.
"""

from __future__ import annotations

import abc
import importlib.metadata
import pathlib
import tempfile
import threading
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from oslo_config import cfg

import cellplug
from cellplug import db
from cellplug import exception
from cellplug import objects

NAMESPACE = 'cellplug.conformance'
"""Entry points of harnesses, each named ``<interface>_<driver>``."""

DEADLINE = 60.0
"""Seconds after which a check takes something for hung."""


class Hold:
    """A source that stands still: where one look-up waits with its answer.

    A harness calls :meth:`stop_here` after its source has read an answer and
    before it hands it over. The first caller waits there until
    :meth:`release`; all others pass.
    """

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._reached = threading.Event()
        self._released = threading.Event()

    def stop_here(self) -> None:
        """Wait, as the first caller; pass, as any other."""
        if self._first.acquire(blocking=False):
            self._reached.set()
            self._released.wait(DEADLINE)

    def wait_reached(self) -> bool:
        """Wait until a look-up stands still; False if none ever came."""
        return self._reached.wait(DEADLINE)

    def release(self) -> None:
        """Let it go on. Idempotent."""
        self._released.set()


class Harness:
    """What any driver's suite needs; this one is for drivers without source.

    One is made, started and stopped for each check.

    :cvar forks_busy: whether a process may fork while threads are inside the
        source's client. False where that client itself does not bear it.
    """

    forks_busy = True

    @property
    def options(self) -> Mapping[str, Any]:
        """Values for the driver's own group, known once it has started."""
        return {}

    @property
    def config_files(self) -> Sequence[str]:
        """Files that the driver's configuration is read from, too."""
        return ()

    @property
    def database(self) -> cellplug.Database:
        """What ``host.database`` gives; bound to no router, here."""
        return cellplug.Database()

    def start(self) -> None:
        """Make the source ready, with nothing in it."""

    def stop(self) -> None:
        """Take it away again. Also called if :meth:`start` failed."""

    def attach(self, driver: Any) -> None:
        """A driver was built on this source.

        For drivers that the harness has to fill, or to tell of changes.
        Called once for each driver that a check builds.
        """

    def break_source(self) -> None:
        """Make the source unreachable, for drivers that are there as well.

        :raises NotSupported: if there is none, or it cannot be broken.
        """
        raise exception.NotSupported('the harness cannot break the source')

    def mend_source(self) -> None:
        """Undo :meth:`break_source`; what was in the source is there again."""
        raise exception.NotSupported('the harness cannot mend the source')


class ResolverHarness(Harness, abc.ABC):
    """Changes the truth that a resolver reads.

    It does not tell the driver to forget: the suite does that, as a router
    would, or does not, where that is what it checks.

    :cvar breaks_cells: whether :meth:`break_source` takes the cells away, or
        the instances alone.
    """

    breaks_cells = True

    @abc.abstractmethod
    def put_cell(self, cell: objects.CellMapping) -> objects.CellMapping:
        """Add the cell, or change the one that has this uuid.

        :param cell: its generation grows with each call; a source that makes
            generations of its own ignores it.
        :returns: the cell as the source now has it; its generation is the one
            that the driver will answer with.
        """

    @abc.abstractmethod
    def remove_cell(self, cell_uuid: str) -> None:
        """Remove a cell that no instance is mapped to."""

    @abc.abstractmethod
    def put_instance(
        self, instance: objects.InstanceMapping
    ) -> objects.InstanceMapping:
        """Map the instance, or move it to another cell.

        :param instance: its ``cell`` is not looked at; the generation as in
            :meth:`put_cell`.
        :returns: the mapping as the source now has it.
        :raises NotSupported: if the source has no instances.
        """

    @abc.abstractmethod
    def remove_instance(self, instance_uuid: str) -> None:
        """Unmap the instance."""

    def hold_source(self) -> AbstractContextManager[Hold]:
        """A block in which the first look-up stands still with its answer.

        Drivers that stand in front of another one need none: the suite holds
        what they load.

        :raises NotSupported: if the source cannot be held.
        """
        raise exception.NotSupported('the harness cannot hold the source')


class DatabaseHarness(ResolverHarness):
    """A scratch API database on SQLite, in a folder of its own.

    Serves every driver that reads ``host.database.api``, and those that
    stand in front of one.

    :ivar folder: a folder that goes with the harness.
    """

    # A lock of SQLite's own that another thread holds at fork is held for
    # ever in the child.
    forks_busy = False

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._database = cellplug.Database()
        self._context = _Context()
        self.folder = pathlib.Path()

    @property
    def database(self) -> cellplug.Database:
        """Bound to a router on the scratch database."""
        return self._database

    @property
    def _home(self) -> pathlib.Path:
        return self.folder / 'source'

    def start(self) -> None:
        """Make the database, and open a router on it."""
        folder = tempfile.TemporaryDirectory(prefix='cellplug-')
        self._undo.append(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self._home.mkdir()
        conf = cfg.ConfigOpts()
        cellplug.register_opts(conf)
        conf([], project='cellplug', default_config_files=[])
        conf.set_override(
            'connection', f'sqlite:///{self._home}/api.db', 'api_database'
        )
        cellplug.sync_api_database(conf)
        router = cellplug.CellRouter.from_conf(conf, database=self._database)
        self._undo.append(router.close)

    def stop(self) -> None:
        """Close the router and remove the folder."""
        while self._undo:
            self._undo.pop()()

    def put_cell(self, cell: objects.CellMapping) -> objects.CellMapping:
        """Write the cell's row; its own database is not contacted."""
        values = {
            'name': cell.name,
            'database_connection': cell.database_connection,
            'transport_url': cell.transport_url,
            'slave_connection': cell.slave_connection,
            'state': cell.state,
        }
        with self._database.api.writer.using(self._context) as session:
            try:
                return db.cell_queries.update(session, cell.uuid, values)
            except exception.CellMappingNotFound:
                return db.cell_queries.create(
                    session, {**values, 'uuid': cell.uuid}
                )

    def remove_cell(self, cell_uuid: str) -> None:
        """Delete the cell's row."""
        with self._database.api.writer.using(self._context) as session:
            db.cell_queries.delete(session, cell_uuid)

    def put_instance(
        self, instance: objects.InstanceMapping
    ) -> objects.InstanceMapping:
        """Write the instance's row."""
        uuid = instance.instance_uuid
        with self._database.api.writer.using(self._context) as session:
            known = db.instance_queries.get_many(session, [uuid]).get(uuid)
            if known is None:
                return db.instance_queries.map(
                    session,
                    uuid,
                    instance.cell_uuid,
                    instance.project_id,
                    instance.user_id,
                )
            return db.instance_queries.move(
                session, uuid, instance.cell_uuid, known.generation
            )

    def remove_instance(self, instance_uuid: str) -> None:
        """Delete the instance's row."""
        with self._database.api.writer.using(self._context) as session:
            db.instance_queries.unmap(session, [instance_uuid])

    def break_source(self) -> None:
        """Move the database's file out of reach, and drop connections."""
        self._home.rename(self.folder / 'away')
        self._drop_connections()

    def mend_source(self) -> None:
        """Move it back."""
        (self.folder / 'away').rename(self._home)
        self._drop_connections()

    def _drop_connections(self) -> None:
        with self._database.using_api(self._context) as actxt:
            self._database.get_engine(actxt).dispose()


class _Context(cellplug.RequestContext):
    """The harness's own context; never a thread's current one."""

    def update_store(self) -> None:
        """Leave oslo.context's current context as it is."""


def find_harness(interface: str, name: str) -> Callable[[], Harness]:
    """What makes the harness of a driver, by its name.

    An entry point ``<interface>_<name>`` in :data:`NAMESPACE`, a class or a
    function without arguments. Without one: :class:`DatabaseHarness` for
    resolvers and quota drivers, :class:`Harness` for transport caches.

    :raises DriverLoadError: if it cannot be imported, or two distributions
        offer one.
    """
    points = importlib.metadata.entry_points(
        group=NAMESPACE, name=f'{interface}_{name}'
    )
    if not points:
        return Harness if interface == 'transport_cache' else DatabaseHarness
    if len(points) > 1:
        raise exception.DriverLoadError(
            interface, name, 'has more than one conformance harness installed'
        )
    (point,) = points
    try:
        found: Callable[[], Harness] = point.load()
    except Exception as exc:
        raise exception.DriverLoadError(
            interface,
            name,
            f'its conformance harness {point.value} cannot be imported: '
            f'{type(exc).__name__}: {exc}',
        ) from exc
    return found
