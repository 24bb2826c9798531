"""A service whose quotas are managed, as an installed distribution is."""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fixtures
import sqlalchemy as sa
from oslo_config import cfg

import cellplug

GROUP = 'quota_service'
METADATA = sa.MetaData()
INSTANCES = sa.Table(
    'instances',
    METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('project_id', sa.String(255)),
    sa.Column('user_id', sa.String(255)),
    sa.Column('cores', sa.Integer),
)


def resources(router: Any) -> list[Any]:
    """What the service registers: the entry point leads here."""

    def count(cctxt: Any, project_id: str, user_id: str | None) -> Any:
        of = INSTANCES.c.project_id == project_id
        if user_id is not None:
            of &= INSTANCES.c.user_id == user_id
        query = sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(INSTANCES.c.cores), 0),
        ).where(of)
        with router.database.reader.using(cctxt) as session:
            instances, cores = session.execute(query).one()
        return {'instances': instances, 'cores': int(cores), 'networks': 0}

    def sync(context: Any, project_id: str, user_id: str | None) -> Any:
        return router.quotas.count_in_cells(
            context, count, project_id, user_id
        )

    # What a service knows of its options, no other program does.
    router.conf.register_opts([cfg.IntOpt('quota_cores', default=20)], GROUP)
    return [
        cellplug.ReservableResource(
            'cores', sync=sync, option=(GROUP, 'quota_cores')
        ),
        cellplug.ReservableResource('instances', sync=sync, default=10),
        cellplug.ReservableResource(
            'networks', sync=sync, default=3, per_project=True
        ),
        cellplug.AbsoluteResource('file_size', default=10240),
    ]


class Installed(fixtures.Fixture):
    """A distribution with entry points, found while it is in use.

    :param points: targets by name, in the group ``cellplug.quota_resource``.
    """

    def __init__(self, **points: str) -> None:
        super().__init__()
        self.points = points

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        info = folder / 'quota_service-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(
            'Metadata-Version: 2.1\nName: quota-service\nVersion: 1.0\n'
        )
        lines = [f'{name} = {target}' for name, target in self.points.items()]
        (info / 'entry_points.txt').write_text(
            '\n'.join(['[cellplug.quota_resource]', *lines, ''])
        )
        self.useFixture(
            fixtures.MonkeyPatch('sys.path', [str(folder), *sys.path])
        )
        # stevedore remembers for the process what was installed.
        self.useFixture(
            fixtures.MonkeyPatch(
                'stevedore.extension.ExtensionManager.ENTRY_POINT_CACHE', {}
            )
        )


class Service(fixtures.Fixture):
    """The service in a deployment that a CommandLine manages.

    :param command: the deployment; its API database is ready.
    """

    POINTS = {'service': f'{__name__}:resources'}  # noqa: RUF012

    def __init__(self, command: Any) -> None:
        super().__init__()
        self._command = command

    def _setUp(self) -> None:
        self.useFixture(Installed(**self.POINTS))

    def add_cell(self, name: str) -> None:
        """A cell with the service's tables."""
        url = self._command.fresh_database()
        self._command.add_cell(name, database_connection=url)
        self.execute(url, METADATA.create_all)
        setattr(self, name, url)

    def execute(self, url: str, work: Any) -> None:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            work(connection)
        engine.dispose()

    def create(self, cell: str, *rows: dict[str, Any]) -> None:
        """Instances that exist, reserved or not."""
        self.execute(
            getattr(self, cell),
            lambda connection: connection.execute(INSTANCES.insert(), rows),
        )

    @contextmanager
    def router(self, ago: float = 0) -> Iterator[Any]:
        """A router as a process of the service has it, or had it.

        :param ago: how many seconds its clock is behind.
        """
        conf = cfg.ConfigOpts()
        cellplug.register_opts(conf)
        conf(['--config-file', self._command.config], project='cellplug')
        with cellplug.CellRouter.from_conf(
            conf, clock=lambda: time.time() - ago
        ) as router:
            yield router

    def reserve(
        self,
        project: str,
        user: str | None,
        expire: Any = None,
        ago: float = 0,
        **deltas: int,
    ) -> str:
        """An open reservation, made so many seconds ago."""
        with self.router(ago) as router:
            handle: str = router.quotas.reserve(
                cellplug.RequestContext(),
                deltas,
                project_id=project,
                user_id=user,
                expire=expire,
            )
        return handle

    def use(self, project: str, user: str | None, **deltas: int) -> None:
        """Reserve and commit."""
        with self.router() as router:
            context = cellplug.RequestContext()
            with router.quotas.reserving(
                context, deltas, project_id=project, user_id=user
            ):
                pass
