"""Mapping all instances that a service already has in a cell.

A *pass* goes through the cell's instances in the order of their source, some
at a time. Each batch is mapped in one transaction of the API database, which
also notes how far the pass has come: in ``migration_state``, for each cell by
itself. So a pass that is interrupted anywhere goes on where it stopped, the
passes of two cells know nothing of each other, and no instance's row is ever
made or changed for the sake of a marker.

What cannot be mapped is reported and stepped over: it holds up nothing behind
it. How many there were is noted as well, so that the last of many portions of
a pass still knows that an earlier one left something behind.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug.cells import mapping_input
from cellplug.interfaces import instance_source
from cellplug.interfaces import migration
from cellplug.objects import identifiers
from cellplug.objects import mappings

JOB = 'map_instances'
"""The job's name in ``migration_state``."""

BATCH = 1000
"""How many instances are looked at in one transaction."""

Report = Callable[[str, str], None]
Found = dict[str, mappings.InstanceMapping]

_BLOCKED = re.compile(r'blocked (\d+)\Z')


@dataclasses.dataclass(slots=True)
class Tally:
    """What came of a run so far.

    :ivar looked_at: how many rows of the source.
    :ivar mapped: how many of them were not mapped before.
    :ivar already: how many were mapped to this cell before.
    :ivar blocked: how many could not be mapped.
    :ivar blocked_before: how many earlier portions of this pass left behind.
    :ivar more: whether the pass has not come to its end.
    """

    looked_at: int = 0
    mapped: int = 0
    already: int = 0
    blocked: int = 0
    blocked_before: int = 0
    more: bool = True

    @property
    def left_behind(self) -> int:
        """How many of the whole pass could not be mapped."""
        return self.blocked_before + self.blocked


class MapAll:
    """One run over one cell: a pass, or a portion of one.

    :param cell: the cell whose instances are mapped to it.
    :param batch: how many at a time.
    :param dry_run: write nothing.
    :param report: called for each row that cannot be mapped: which, and why.
    :ivar tally: what came of it so far.
    :ivar resumed: whether it goes on where an earlier run stopped.
    """

    def __init__(
        self,
        router: Any,
        cell: mappings.CellMapping,
        source: instance_source.InstanceSource,
        *,
        batch: int = BATCH,
        dry_run: bool = False,
        reset: bool = False,
        report: Report,
    ) -> None:
        self._router = router
        self._cell = cell
        self._source = source
        self._batch = batch
        self._dry_run = dry_run
        self._report = report
        noted = db.migration_queries.State()
        if not reset:
            get = router.database.api.reader.primary(_get)
            noted = get(_own(), cell.uuid)
        self._marker = noted.marker
        self.resumed = noted.marker is not None
        found = _BLOCKED.match(noted.state)
        self.tally = Tally(
            blocked_before=int(found[1]) if found and self.resumed else 0
        )

    def count(self) -> int | None:
        """About how many rows are left to look at, None if nobody knows."""
        return self._source.count_after(self._aimed(), self._marker)

    def run(self, max_count: int | None = None) -> Iterator[Tally]:
        """Go through them, to the end or so many; the tally, at each batch.

        Safe to be ended at any moment.

        :raises CellplugError: if a database does not answer.
        """
        tally = self.tally
        while max_count is None or tally.looked_at < max_count:
            limit = self._batch
            if max_count is not None:
                limit = min(limit, max_count - tally.looked_at)
            rows = self._next(limit)
            if not rows:
                break
            self._take(rows)
            yield tally
        tally.more = bool(self._next(1))
        if not tally.more and not self._dry_run:
            put = self._router.database.api.writer(_put)
            put(_own(), self._cell.uuid, None, migration.PASSED)

    def _aimed(self) -> Any:
        with self._router.target_cell(_own(), self._cell) as context:
            return context

    def _next(self, limit: int) -> Sequence[instance_source.SourceInstance]:
        rows = self._source.list_after(self._aimed(), self._marker, limit)
        if rows and rows[-1].key == self._marker:
            raise exception.ConfigurationError(
                'the instance source does not come behind the marker '
                f'{self._marker!r}'
            )
        return rows

    def _take(self, found: Sequence[instance_source.SourceInstance]) -> None:
        """Map what can be of a batch, and note that it was looked at."""
        batch = _Batch(self._cell)
        for one in found:
            try:
                batch.rows.append(self._row(one))
            except exception.InvalidInput as exc:
                batch.refuse(one.instance_uuid or 'without a uuid', exc)
        self._marker = found[-1].key
        if self._dry_run:
            uuids = [row.instance_uuid for row in batch.rows]
            there = self._router.instances.get_many(_own(), uuids)
            batch.look(there, {})
        else:
            self._write(batch)
        batch.add_to(self.tally, len(found))
        for what, why in batch.refused + batch.elsewhere:
            self._report(f'instance {what}', why)

    def _write(self, batch: _Batch) -> None:
        def note(session: Any, there: Found, made: Found) -> None:
            batch.look(there, made)
            left = self.tally.left_behind + batch.blocked
            db.migration_queries.put(
                session,
                JOB,
                self._cell.uuid,
                self._marker,
                f'blocked {left}' if left else '',
            )

        self._router.instances.take_in(_own(), self._cell, batch.rows, note)

    def _row(self, one: instance_source.SourceInstance) -> mapping_input.Row:
        """The row to map.

        :raises InvalidInput: saying why it cannot be.
        """
        uuid = identifiers.canonical_uuid('instance_uuid', one.instance_uuid)
        if one.project_id is None:
            raise exception.InvalidInput('project_id', 'it has no project')
        identifiers.check_id('project_id', one.project_id)
        if one.user_id is not None:
            identifiers.check_id('user_id', one.user_id)
        return mapping_input.Row(
            uuid, self._cell.uuid, one.project_id, one.user_id
        )


class _Batch:
    """What becomes of the rows of one batch."""

    def __init__(self, cell: mappings.CellMapping) -> None:
        self._cell = cell
        self.rows: list[mapping_input.Row] = []
        self.refused: list[tuple[str, str]] = []
        self.elsewhere: list[tuple[str, str]] = []
        self._mapped = 0

    @property
    def blocked(self) -> int:
        """How many could not be mapped."""
        return len(self.refused) + len(self.elsewhere)

    def refuse(self, what: str, error: exception.InvalidInput) -> None:
        """This one cannot be mapped anywhere."""
        self.refused.append((what, str(error)))

    def look(self, there: Found, made: Found) -> None:
        """Find out what was mapped, and what is in another cell.

        May be called again: the transaction may be repeated.
        """
        self.elsewhere = [
            (uuid, f'it is mapped to {_place(one)}')
            for uuid, one in {**there, **made}.items()
            if one.cell_uuid != self._cell.uuid
        ]
        new = {row.instance_uuid for row in self.rows} - there.keys()
        self._mapped = len(new - {uuid for uuid, _ in self.elsewhere})

    def add_to(self, tally: Tally, looked_at: int) -> None:
        """Count it."""
        tally.looked_at += looked_at
        tally.blocked += self.blocked
        tally.mapped += self._mapped
        tally.already += looked_at - self.blocked - self._mapped


def _place(mapping: mappings.InstanceMapping) -> str:
    if mapping.cell is None:
        return f'cell {mapping.cell_uuid}'
    return f'cell {mapping.cell.name!r} ({mapping.cell.uuid})'


def _own() -> cellplug_context.InternalContext:
    return cellplug_context.InternalContext(is_admin=True)


def _get(context: Any, cell_uuid: str) -> db.migration_queries.State:
    return db.migration_queries.get(context.session, JOB, cell_uuid)


def _put(context: Any, cell_uuid: str, marker: str | None, state: str) -> None:
    db.migration_queries.put(context.session, JOB, cell_uuid, marker, state)
