"""Where is this cell, where is this instance: the resolver's contract."""

from __future__ import annotations

import abc
import enum
from collections.abc import Iterable
from collections.abc import Mapping

from cellplug.interfaces import base
from cellplug.objects import mappings


class ResolverCapability(enum.Enum):
    """What a resolver can do beyond finding cells."""

    INSTANCES = 'instances'
    """It finds instances: get_instance and get_instances work."""

    CACHES = 'caches'
    """It may answer from memory of its own: the forget methods matter."""

    OWN_CELLS = 'own_cells'
    """The cells are its own, and no rows of the API database.

    The router refuses to create, change or delete cells, and maps instances
    to what :meth:`Resolver.get_cell` finds. After a reload it lets go of the
    cells that :meth:`Resolver.list_cells` no longer names.
    """

    OWN_INSTANCES = 'own_instances'
    """Where instances live is its own business, too.

    The router refuses to map, move or unmap instances, and never looks for a
    mapping in the API database. Comes with INSTANCES.
    """

    BY_PROJECT = 'by_project'
    """It finds instances by their project.

    get_instance and get_instances take a keyword-only argument more,
    ``project_id``, and are always passed it: the project of the request, or
    the one that the caller named; None where there is neither. It is a hint
    that the request makes, not a checked fact. Comes with INSTANCES.
    """


class Resolver(base.Driver):
    """Finds the cell of an instance, and the way to a cell.

    *Truth.* Every mapping returned was true at some moment after the call
    began, or, for a driver that CACHES, within the bound that its docstring
    states. A mapping that this process forgot is never returned again in a
    version older than the one forgotten. Generations order the versions of
    one record; a driver passes on those of its source, and one without a
    source makes its own: a larger one for every change.

    *Arguments.* Uuids arrive canonical: lower case, with dashes. Look-ups of
    instances are passed the project as well, by keyword, if the driver
    declares BY_PROJECT, and only then; so that those written without know
    nothing of it.

    *In front of another.* A driver that wraps another resolver declares what
    that one declares, of INSTANCES, OWN_CELLS and OWN_INSTANCES. An answer
    that was found BY_PROJECT is true for that project alone: a wrapper that
    remembers answers by the instance refuses such a backend.

    *Reading only.* A resolver writes nothing: the router writes to the API
    database and then tells the resolver to forget.

    *Errors.* CellMappingNotFound and InstanceMappingNotFound mean "the source
    answered, and there is none". A source that does not answer raises
    DatabaseUnavailable or another CellplugError: "unknown" is never
    presented as "none".
    """

    @abc.abstractmethod
    def get_cell(self, cell: str) -> mappings.CellMapping:
        """The cell of this uuid or name, matched exactly.

        :raises CellMappingNotFound: if there is none.
        """

    @abc.abstractmethod
    def list_cells(self) -> list[mappings.CellMapping]:
        """All cells, cell0 included, in the order they were created."""

    @abc.abstractmethod
    def get_instance(self, instance_uuid: str) -> mappings.InstanceMapping:
        """The instance's mapping, its ``cell`` filled.

        :raises InstanceMappingNotFound: if the instance is not mapped.
        :raises NotSupported: without the capability INSTANCES.
        """

    @abc.abstractmethod
    def get_instances(
        self, instance_uuids: Iterable[str]
    ) -> dict[str, mappings.InstanceMapping]:
        """The mappings of those instances that have one, by instance uuid.

        :raises NotSupported: without the capability INSTANCES.
        """

    @abc.abstractmethod
    def forget_cell(self, cell_uuid: str) -> None:
        """The cell changed: answer from the source the next time.

        Returns quickly, and raises nothing for a backend that is down.
        """

    @abc.abstractmethod
    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        """The mapping changed: return no version older than this.

        :param below_generation: versions from this one on may stay; None
            forgets every version, as after an unmap.
        """

    def forget_instances(self, generations: Mapping[str, int | None]) -> None:
        """As :meth:`forget_instance`, of many instances.

        By default one after the other; a driver to which each costs a round
        trip does better.

        :param generations: by instance uuid, the generation below which no
            version may be returned.
        """
        for uuid, generation in generations.items():
            self.forget_instance(uuid, generation)
