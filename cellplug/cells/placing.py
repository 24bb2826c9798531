"""``router.place``: a cell for a new instance, chosen and mapped at once."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import interfaces
from cellplug.cells import building
from cellplug.cells import checking
from cellplug.cells import placing_arguments
from cellplug.cells import placing_choice
from cellplug.cells import placing_counts
from cellplug.cells import targets
from cellplug.db.api import placing as queries
from cellplug.objects import identifiers
from cellplug.objects import mappings
from cellplug.objects import placement

Context = cellplug_context.RequestContext
Cells = Iterable[checking.Cell]


class Placing:
    """Asks the placement driver, and maps the instance as it says.

    All of it happens in one API transaction. The cell's row is locked, shared
    with others who place there, before its state is looked at for the last
    time: so whoever closes a cell waits for those that are placing in it, and
    when that is done nothing new comes.

    :ivar counts: how many instances the cells have.
    """

    def __init__(self, parts: building.Parts) -> None:
        self._parts = parts
        self._asking = parts.asking
        self._given: interfaces.Placement | None = parts.placement
        self.counts = placing_counts.Counts(parts.conf.placement.count_max_age)

    def __call__(
        self,
        context: Context,
        instance_uuid: str,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
        cells: Cells | None = None,
        hints: Mapping[str, Any] | None = None,
        exclude: Cells = (),
    ) -> mappings.InstanceMapping:
        """See :meth:`cellplug.CellRouter.place`."""
        targets.checked(context)
        uuid = identifiers.canonical_uuid('instance_uuid', instance_uuid)
        project, user = checking.owner(context, project_id, user_id)
        request = placement.PlacementRequest(
            instance_uuid=uuid,
            project_id=project,
            user_id=user,
            hints=placing_arguments.hints(hints),
        )
        wanted = None
        if cells is not None:
            wanted = placing_arguments.names('cells', cells)
        excluded = placing_arguments.names('exclude', exclude)
        self._asking.need_mappings()
        database = self._parts.database
        with database.api.writer.using(context) as session:
            made = queries.find(session, uuid)
            if made is None:
                choice = placing_choice.Choice(self, context, session, request)
                made = choice.place(wanted, excluded)
            forget = self._forgetting(made)
            database.on_api_commit(context, forget)
        return self._asking.filled([made])[0]

    def _forgetting(self, made: mappings.InstanceMapping) -> Any:
        """What tells the resolver, once the mapping can be read."""
        known = {made.instance_uuid: made.generation}
        return lambda: self._parts.resolver.forget_instances(known)

    @property
    def driver(self) -> interfaces.Placement:
        """The driver, loaded when it is first asked for."""
        if self._given is not None:
            return self._given
        found: interfaces.Placement = self._parts.loader.load(
            'placement', self._parts.conf.placement.driver
        )
        return found

    def failed(self, reason: str) -> exception.DriverError:
        """What to raise for an answer that no driver may give."""
        name = self._parts.conf.placement.driver
        if self._given is not None:
            name = type(self._given).__name__
        return exception.DriverError('placement', name, reason)

    def cells(self, session: Any) -> list[mappings.CellMapping]:
        """All cells, as the transaction sees them."""
        if self._asking.own_cells:
            listed: list[mappings.CellMapping]
            listed = self._parts.resolver.list_cells()
            return listed
        return queries.all_cells(session)

    def lock(
        self, session: Any, cell: mappings.CellMapping
    ) -> mappings.CellMapping | None:
        """The cell as it is now; None if it is gone.

        A resolver with cells of its own has no row that could be locked: it
        was asked for all of them a moment ago.
        """
        if self._asking.own_cells:
            return cell
        return queries.lock_cell(session, cell.uuid)

    def down(self, cell: mappings.CellMapping) -> bool:
        """Whether this process knows that the cell's database is down.

        What has failed under another URL says nothing of this one.
        """
        entry = self._parts.registry.entry(cell.uuid)
        if entry is None or entry.guard is None or entry.mapping is None:
            return False
        there = entry.mapping.database_connection == cell.database_connection
        return bool(there and entry.guard.database.is_open)
