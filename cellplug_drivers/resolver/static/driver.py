"""The ``static`` resolver: the driver."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from cellplug_drivers.resolver.static import options as static_options
from cellplug_drivers.resolver.static import reading
from cellplug_drivers.resolver.static import view as static_view

_Rows = dict[str, objects.InstanceMapping]


def _instances(context: Any, uuids: list[str]) -> _Rows:
    return db.instance_queries.get_unjoined(context.session, uuids)


class StaticResolver(interfaces.Resolver):
    """Takes the cells from the configuration files.

    *When it is right.* Where configuration management knows the cells
    already, or where a process must find them without any database. A
    look-up of a cell costs a dictionary's. ::

        [resolver]
        driver = static

        [resolver_static]
        cells = cell0, east

        [cell_cell0]
        uuid = 00000000-0000-0000-0000-000000000000
        database_connection = mysql+pymysql://user:password@db0/cell0
        transport_url = none:///

        [cell_east]
        uuid = 4f1d0a2e-5c55-4b0e-9b6e-0d8a7c3e2f10
        database_connection = mysql+pymysql://user:password@db1/east
        transport_url = rabbit://user:password@mq1:5672/east

    cell0 is a cell like any other: it is there if it is named, with the uuid
    of zeros and without a queue. Nothing but these files says which cells
    there are: creating, changing and deleting cells raises NotSupported. A
    database that is new to a cell is claimed by ``cellplug-manage db sync
    --cell CELL --claim``.

    *Instances.* With ``instances = database``, the default, the mappings are
    those of the API database, and their cells those of the configuration; an
    instance that is mapped to a cell which the configuration does not name
    raises CellMappingNotFound. A look-up is one query.

    With ``instances = rules`` all instances of a project are in one cell,
    and no API database is needed::

        [resolver_static]
        instances = rules
        projects = 3fb1c2:east, 9d07aa:west
        default_cell = east

    The project is that of the request's context, or the one passed with the
    look-up: an administrator's request that is about an instance of somebody
    else has to pass ``project_id``, or it is led to the cell of the
    administrator's project, where there is no such instance. Without a
    project a look-up raises InvalidInput. Whether there is such an instance
    at all, only its cell knows. Mapping, moving and unmapping raise
    NotSupported. No resolver that remembers instances can stand in front.

    *Reload.* At ``router.reload()`` (SIGHUP) the files are read again, in
    full: all of what they say is in effect at once, or, where anything in
    them cannot be, nothing, and the error says what. ``instances`` itself
    cannot change in a running process. Only the files (and the environment)
    are read, at the start too: what a program set by ``set_override`` is
    not seen.

    *Generations* are made when the files are read, from this host's clock.
    They order the versions within one process and after its restart, not
    those of several processes.
    """

    capabilities = frozenset(
        {
            interfaces.ResolverCapability.INSTANCES,
            interfaces.ResolverCapability.OWN_CELLS,
            interfaces.ResolverCapability.OWN_INSTANCES,
            interfaces.ResolverCapability.BY_PROJECT,
        }
    )

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        """Which cells there are, and how their instances are found."""
        return static_options.own()

    @classmethod
    def dynamic_groups(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
        """Those of the cells."""
        return reading.groups(conf)

    @classmethod
    def check_config(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
        """What is wrong with the cells and the rules."""
        return reading.read(conf)[1]

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        # Not from the options: the first view is made as all later ones are.
        self._host = host
        settings = self._read()
        self._by_rules = settings.by_rules
        if not self._by_rules:
            self.capabilities = self.capabilities - {
                interfaces.ResolverCapability.OWN_INSTANCES,
                interfaces.ResolverCapability.BY_PROJECT,
            }
        self._view = static_view.following(
            static_view.NOTHING, settings, host.clock()
        )
        reader = host.database.api.reader.primary.single.connection
        self._query: Callable[..., _Rows] = reader(_instances)
        self._context = cellplug_context.InternalContext(
            request_id=f'req-resolver-{os.getpid()}'
        )

    def _read(self) -> reading.Settings:
        settings, problems = reading.read(self._host.read_config())
        if problems:
            more = f' (and {len(problems) - 1} more: see "cellplug-manage '
            more = f'{more}config validate")' if len(problems) > 1 else ''
            raise exception.ConfigurationError(f'{problems[0]}{more}')
        return settings

    def reload(self) -> None:
        """Read the files again; all or nothing."""
        settings = self._read()
        if settings.by_rules != self._by_rules:
            raise exception.ConfigurationError(
                f'[{static_options.GROUP}] instances: a change takes a restart'
            )
        self._view = static_view.following(
            self._view, settings, self._host.clock()
        )

    def get_cell(self, cell: str) -> objects.CellMapping:
        """The cell of this uuid or name."""
        return _found(self._view, cell)

    def list_cells(self) -> list[objects.CellMapping]:
        """All cells, in the order of the option ``cells``."""
        return list(self._view.cells)

    def get_instance(
        self, instance_uuid: str, *, project_id: str | None = None
    ) -> objects.InstanceMapping:
        """The mapping by the rules, or that of the API database.

        :raises CellMappingNotFound: if it names a cell that the configuration
            does not.
        """
        uuids = [instance_uuid]
        found = self.get_instances(uuids, project_id=project_id)
        if instance_uuid not in found:
            raise exception.InstanceMappingNotFound(instance_uuid)
        mapping = found[instance_uuid]
        if mapping.cell is None:
            raise exception.CellMappingNotFound(mapping.cell_uuid)
        return mapping

    def get_instances(
        self,
        instance_uuids: Iterable[str],
        *,
        project_id: str | None = None,
    ) -> dict[str, objects.InstanceMapping]:
        """The mappings by the rules, or those of the API database.

        ``cell`` is None where the configuration does not name it: one such
        instance is no reason to withhold the others.
        """
        uuids = list(instance_uuids)
        if self._by_rules:
            return _ruled(self._view, uuids, project_id)
        rows = self._query(self._context, uuids)
        # Behind the query: what was mapped before is in no later cell.
        cells = self._view.by_key
        return {
            uuid: dataclasses.replace(row, cell=cells.get(row.cell_uuid))
            for uuid, row in rows.items()
        }

    def forget_cell(self, cell_uuid: str) -> None:
        """Nothing to forget."""

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to close."""


def _found(view: static_view.View, cell: str) -> objects.CellMapping:
    mapping = view.by_key.get(cell)
    if mapping is None:
        raise exception.CellMappingNotFound(cell)
    return mapping


def _ruled(
    view: static_view.View, uuids: list[str], project_id: str | None
) -> _Rows:
    """The mappings of a project's instances, as the rules have it."""
    if project_id is None:
        raise exception.InvalidInput(
            'project_id',
            'the static resolver finds instances by their project, and '
            'neither the context nor the caller names one',
        )
    home = view.home(project_id)
    if home is None:
        return {}
    cell = _found(view, home.cell_uuid)
    return {
        uuid: objects.InstanceMapping(
            instance_uuid=uuid,
            cell_uuid=home.cell_uuid,
            project_id=project_id,
            generation=home.generation,
            cell=cell,
        )
        for uuid in uuids
    }
