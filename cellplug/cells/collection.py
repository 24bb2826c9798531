"""``router.cells``: the cells of the deployment."""

from __future__ import annotations

import enum
from typing import Any
from typing import Literal

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug.cells import asking
from cellplug.cells import checking
from cellplug.cells import schemas
from cellplug.db import registry as db_registry
from cellplug.objects import identifiers
from cellplug.objects import mappings
from cellplug.objects import urls


class _Unset(enum.Enum):
    UNSET = 'unset'


UNSET = _Unset.UNSET
"""The value of an argument that was not passed."""

Maybe = str | Literal[_Unset.UNSET]
Cell = checking.Cell


class CellCollection:
    """Creates, finds, changes and deletes cells.

    Writes go to the API database; where there is none, or where the resolver
    has cells of its own, they raise NotSupported. A cell is named by its
    CellMapping, uuid or name, the latter two matched exactly. No method
    contacts a message queue.
    """

    def __init__(
        self,
        database: db.Database,
        registry: db_registry.EngineRegistry,
        resolver: Any,
        claims: schemas.Claims,
        asking: asking.Asking,
    ) -> None:
        self._database = database
        self._registry = registry
        self._resolver = resolver
        self._claims = claims
        self._asking = asking

    def get(self, cell: Cell) -> mappings.CellMapping:
        """The cell as it is now.

        :raises CellMappingNotFound: if there is none.
        """
        found: mappings.CellMapping = self._resolver.get_cell(
            checking.named(cell)
        )
        return found

    def list(self) -> list[mappings.CellMapping]:
        """All cells, cell0 included, in the order they were created."""
        found: list[mappings.CellMapping] = self._resolver.list_cells()
        return found

    def create(
        self,
        *,
        name: str,
        database_connection: str,
        transport_url: str,
        slave_connection: str | None = None,
        uuid: str | None = None,
        state: str = 'enabled',
    ) -> mappings.CellMapping:
        """Make a cell, and claim its database for it.

        cellplug's tables are made in the database where they are missing.
        A call that crashed anywhere may be repeated: where the crash left a
        cell of the same values with an unfinished claim, that one is
        finished and returned.

        :param uuid: the cell's; a random one by default.
        :param transport_url: ``none:///`` for a cell without a queue.
        :raises InvalidInput: for a name, URL, uuid or state that cannot be.
        :raises CellMappingExists: if another cell has the name, the uuid,
            the database or the queue.
        :raises CellIdentityMismatch: if another cell has claimed the
            database.
        :raises CellUnavailable: if the database cannot be reached.
        """
        self._asking.refuse_cell_writes()
        values = checking.checked(
            {
                'name': name,
                'database_connection': database_connection,
                'slave_connection': slave_connection,
                'transport_url': transport_url,
                'state': state,
            }
        )
        cell_uuid = (
            identifiers.new_uuid()
            if uuid is None
            else identifiers.canonical_uuid('uuid', uuid)
        )
        values['uuid'] = cell_uuid
        checking.check_cell0(cell_uuid, transport_url)
        try:
            self._check_unique(values, '')
        except exception.CellMappingExists:
            given = values if uuid is not None else values | {'uuid': None}
            finished = self._finish(given)
            if finished is None:
                raise
            return finished
        made = self._claim_and_insert(values)
        self._changed(made)
        return made

    def _finish(self, values: dict[str, Any]) -> mappings.CellMapping | None:
        """The cell that a crashed creation left unfinished, now finished.

        :param values: its uuid None if any will do.
        :returns: None if there is no such cell.
        """
        try:
            known = self._current(values['name'])
            if any(
                getattr(known, key) != value
                for key, value in values.items()
                if key != 'uuid' or value is not None
            ):
                return None
            if not self._claims.finish(
                known.uuid, known.name, known.database_connection
            ):
                return None
        except (exception.CellMappingNotFound, exception.CellUnavailable):
            return None
        self._changed(known)
        return known

    def _claim_and_insert(
        self, values: dict[str, Any]
    ) -> mappings.CellMapping:
        cell_uuid, made = values['uuid'], None
        try:
            with self._claims.claiming(
                cell_uuid, values['name'], values['database_connection']
            ):
                made = self._insert(values)
        except exception.CellIdentityMismatch as exc:
            if made is not None:
                self._undo(cell_uuid)
            raise exception.CellIdentityMismatch(
                cell_uuid,
                exc.found,
                f'if it should be that cell, create it with uuid {exc.found}',
            ) from exc
        return made

    def _insert(self, values: dict[str, Any]) -> mappings.CellMapping:
        with self._writing() as session:
            return db.cell_queries.create(session, values)

    def _undo(self, cell_uuid: str) -> None:
        """Another cell won the database: this one's row must not stay."""
        with self._writing() as session:
            try:
                db.cell_queries.delete(session, cell_uuid)
            except exception.CellMappingNotFound:
                return

    def _check_unique(self, values: dict[str, Any], own: str) -> None:
        context = cellplug_context.InternalContext()
        with self._database.api.reader.primary.using(context) as session:
            db.cell_queries.check_unique(session, values, own)

    def update(
        self,
        cell: Cell,
        *,
        name: Maybe = UNSET,
        database_connection: Maybe = UNSET,
        slave_connection: str | Literal[_Unset.UNSET] | None = UNSET,
        transport_url: Maybe = UNSET,
        state: Maybe = UNSET,
    ) -> mappings.CellMapping:
        """Change what is passed, and nothing else.

        A database that is new to the cell is claimed for it, as in
        :meth:`create`. Running processes follow within ``[cells]
        follow_interval`` seconds, this one at once.

        :param slave_connection: None removes the replica.
        :raises InvalidInput: as :meth:`create`, and if nothing is passed.
        :raises CellMappingNotFound: if there is no such cell.
        """
        self._asking.refuse_cell_writes()
        passed = {
            'name': name,
            'database_connection': database_connection,
            'slave_connection': slave_connection,
            'transport_url': transport_url,
            'state': state,
        }
        values: dict[str, Any]
        values = {k: v for k, v in passed.items() if v is not UNSET}
        if not values:
            raise exception.InvalidInput('update', 'nothing to change')
        values = checking.checked(values)
        known = self._current(cell)
        if 'transport_url' in values:
            checking.check_cell0(known.uuid, values['transport_url'])
        self._check_unique(values, known.uuid)
        if not self._needs_claim(known, values):
            return self._update(known.uuid, values)
        with self._claims.claiming(
            known.uuid,
            values.get('name', known.name),
            values['database_connection'],
        ):
            return self._update(known.uuid, values)

    def _needs_claim(
        self, known: mappings.CellMapping, values: dict[str, Any]
    ) -> bool:
        url = values.get('database_connection')
        if url is None:
            return False
        try:
            former = urls.database_digest(known.database_connection)
        except exception.InvalidURL:
            return True  # Whoever wrote it did not use cellplug.
        return urls.database_digest(url) != former

    def _update(
        self, cell_uuid: str, values: dict[str, Any]
    ) -> mappings.CellMapping:
        try:
            with self._writing() as session:
                changed = db.cell_queries.update(session, cell_uuid, values)
        except BaseException:
            # The answer to the commit may have been lost.
            self._resolver.forget_cell(cell_uuid)
            raise
        self._changed(changed)
        return changed

    def delete(self, cell: Cell) -> None:
        """Delete a cell to which no instance is mapped.

        Its database stays as it is, claimed by the cell's uuid.

        :raises CellInUse: while instance mappings name the cell.
        :raises CellMappingNotFound: if there is no such cell.
        """
        self._asking.refuse_cell_writes()
        uuid = self._current(cell).uuid
        try:
            with self._writing() as session:
                known = db.cell_queries.delete(session, uuid)
            # A cell of this uuid that is created later has a higher
            # generation, by the database's clock; this process's may be ahead.
            self._registry.bury(known.uuid, known.generation)
        finally:
            self._resolver.forget_cell(uuid)

    def claim(self, cell: Cell) -> None:
        """Claim the cell's database for it, if no other cell has.

        For databases from before; makes cellplug's tables too.

        :raises CellIdentityMismatch: if it belongs to another cell.
        """
        known = self._current(cell)
        self._claims.force(known.uuid, known.name, known.database_connection)

    def _current(self, cell: Cell) -> mappings.CellMapping:
        if self._asking.own_cells:
            return self.get(cell)
        context = cellplug_context.InternalContext()
        with self._database.api.reader.primary.using(context) as session:
            return db.cell_queries.get(session, checking.named(cell))

    def _writing(self) -> Any:
        return self._database.api.writer.using(
            cellplug_context.InternalContext()
        )

    def _changed(self, mapping: mappings.CellMapping) -> None:
        self._resolver.forget_cell(mapping.uuid)
        self._registry.attach(mapping)
