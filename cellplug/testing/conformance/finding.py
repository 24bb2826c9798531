"""Finding the harness of a driver, and the one that most drivers use."""

from __future__ import annotations

import importlib.metadata
import pathlib
import tempfile
from collections.abc import Callable

from oslo_config import cfg

import cellplug
from cellplug import db
from cellplug import exception
from cellplug import objects
from cellplug.testing import templates
from cellplug.testing.conformance import harnesses

NAMESPACE = 'cellplug.conformance'
"""Entry points of harnesses, each named ``<interface>_<driver>``."""


class DatabaseHarness(harnesses.ResolverHarness):
    """A scratch API database on SQLite, in a folder of its own.

    Serves every driver that reads ``host.database.api``, and those that
    stand in front of one.

    :ivar folder: a folder that goes with the harness.
    """

    # A lock of SQLite's own that another thread holds at fork is held for
    # ever in the child.
    forks_busy = False
    shared = True

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._database = cellplug.Database()
        self._context = harnesses.Context()
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
        conf.set_override('connection', self.make_database(), 'api_database')
        cellplug.sync_api_database(conf)
        router = cellplug.CellRouter.from_conf(conf, database=self._database)
        self._undo.append(router.close)

    def make_database(self) -> str:
        """The URL of the scratch database.

        For harnesses on another server than SQLite: those also have to
        break and mend it in their own way.
        """
        path = f'{self._home}/api.db'
        templates.copy_sqlite('api', path)
        return f'sqlite:///{path}'

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


def find_harness(interface: str, name: str) -> Callable[[], harnesses.Harness]:
    """What makes the harness of a driver, by its name.

    An entry point ``<interface>_<name>`` in :data:`NAMESPACE`, a class or a
    function without arguments. Without one: :class:`DatabaseHarness` for
    resolvers and quota drivers, :class:`.harnesses.Harness` for transport
    caches and placement drivers.

    :raises DriverLoadError: if it cannot be imported, or two distributions
        offer one.
    """
    points = importlib.metadata.entry_points(
        group=NAMESPACE, name=f'{interface}_{name}'
    )
    if not points:
        return (
            harnesses.Harness
            if interface in ('transport_cache', 'placement')
            else DatabaseHarness
        )
    if len(points) > 1:
        raise exception.DriverLoadError(
            interface, name, 'has more than one conformance harness installed'
        )
    (point,) = points
    try:
        found: Callable[[], harnesses.Harness] = point.load()
    except Exception as exc:
        raise exception.DriverLoadError(
            interface,
            name,
            f'its conformance harness {point.value} cannot be imported: '
            f'{type(exc).__name__}: {exc}',
        ) from exc
    return found
