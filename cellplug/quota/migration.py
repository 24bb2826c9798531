"""Moving limits from the databases of cells to the API database.

Row by row: locked where it stands, written to the API database unless that
has one, committed there, deleted where it stood, committed there. So a crash
leaves the row in the cell or in both, and never in neither. A row that others
keep locked is reported, stepped over, and found by the next pass. A limit
in the API database stands, whatever the cell says; a difference is reported.
Whoever removes a limit does so in the cells first, and waits for the lock.

The first cell of ``fallback_cells`` that has a limit has it for all: a row
waits while a cell before its own has one for the same, or does not answer.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from oslo_db import exception as oslo_exception
from sqlalchemy import exc as sa_exc

from cellplug import db
from cellplug import exception
from cellplug.db import errors
from cellplug.db import limit_tables
from cellplug.interfaces import migration
from cellplug.quota import migration_rows

_PASSES = 2
"""A pass that an earlier run began may find nothing more: then a new one."""


def project_limits(context: Any, max_count: int) -> tuple[int, int]:
    """Move the limits of projects."""
    return _Migration(context, limit_tables.PROJECTS).run(max_count)


def user_limits(context: Any, max_count: int) -> tuple[int, int]:
    """Move the limits that users have in projects."""
    return _Migration(context, limit_tables.USERS).run(max_count)


def class_limits(context: Any, max_count: int) -> tuple[int, int]:
    """Move the limits of quota classes."""
    return _Migration(context, limit_tables.CLASSES).run(max_count)


@dataclasses.dataclass(slots=True)
class _Source:
    """A cell whose table is to become empty."""

    cell: Any
    progress: Any

    @property
    def is_open(self) -> bool:
        return not self.progress.state


class _Migration:
    """One call for one table."""

    def __init__(
        self, context: migration.MigrationContext, table: str
    ) -> None:
        self._context = context
        self._table = table
        self._found = self._done = 0
        self._reported = False
        database = context.router.database
        single = database.reader.primary.single
        self._page = single(_page)
        self._is_empty = single(_is_empty)
        self._sources = [
            _Source(cell, context.progress(table, cell.uuid))
            for cell in _cells(context)
        ]

    def run(self, max_count: int) -> tuple[int, int]:
        for _ in range(_PASSES):
            if not any(source.is_open for source in self._sources):
                for source in self._sources:
                    if source.progress.state == migration.PASSED:
                        source.progress.restart()
            for source in self._sources:
                if source.is_open and self._found < max_count:
                    self._work_on(source, max_count - self._found)
            more = any(source.is_open for source in self._sources)
            if more or self._found or self._reported:
                break
        for source in self._sources:
            if source.progress.state == migration.PASSED:
                self._tell_of_rest(source)
        return self._found, self._done

    def _tell_of_rest(self, source: _Source) -> None:
        """See to it that nobody takes a table for empty that is not."""
        if not (self._found or self._reported):
            self._report(source, 'it still holds limits; run again')

    def _work_on(self, source: _Source, count: int) -> None:
        """Move so many rows of a cell; a cell that fails stops no other."""
        try:
            self._sweep(source, count)
        except exception.CellplugError as exc:
            if not _is_about(exc, source.cell):
                raise
            self._give_up(source, str(exc))
        except db.legacy_quota_queries.WrongShapeError as exc:
            self._give_up(source, str(exc))
        except (sa_exc.DBAPIError, oslo_exception.DBError) as exc:
            self._give_up(source, f'the database said: {errors.reason(exc)}')

    def _give_up(self, source: _Source, why: str) -> None:
        self._report(source, why)
        source.progress.finish()

    def _report(self, source: _Source, why: str) -> None:
        self._reported = True
        self._context.report(
            f'table {self._table} of cell {source.cell.name!r}', why
        )

    def _sweep(self, source: _Source, count: int) -> None:
        router = self._context.router
        marker = source.progress.marker
        with router.target_cell(self._context, source.cell) as cctxt:
            after = None if marker is None else int(marker)
            # One more, which tells whether that is all.
            rows = self._page(cctxt, self._table, after, count + 1)
            mover = migration_rows.Mover(
                router, self._table, source.cell, self._earlier(source)
            )
            for row in rows[:count]:
                self._note(mover.move(row), row, source.cell)
            if len(rows) > count:
                source.progress.advance(str(rows[count - 1].id))
            elif self._is_empty(cctxt, self._table):
                source.progress.finish(limit_tables.EMPTY)
            else:
                source.progress.finish()

    def _earlier(self, source: _Source) -> list[Any]:
        """The cells that come first, as far as they may have limits."""
        before = self._sources[: self._sources.index(source)]
        return [
            one.cell
            for one in before
            if one.progress.state != limit_tables.EMPTY
        ]

    def _note(self, moved: migration_rows.Moved, row: Any, cell: Any) -> None:
        if moved.is_gone:
            return
        self._found += 1
        self._done += not moved.blocked
        if moved.blocked or moved.news:
            self._context.report(
                f'table {self._table} of cell {cell.name!r}, row {row.id}',
                moved.blocked or moved.news,
                left=bool(moved.blocked),
            )


def _cells(context: migration.MigrationContext) -> list[Any]:
    """The cells of the option, each once, in its order."""
    found: dict[str, Any] = {}
    for name in context.options('quota', 'database').fallback_cells:
        try:
            cell = context.router.cells.get(name)
        except exception.CellMappingNotFound as exc:
            raise exception.ConfigurationError(
                f'[quota_database] fallback_cells: {exc}'
            ) from exc
        found.setdefault(cell.uuid, cell)
    return list(found.values())


def _is_about(error: exception.CellplugError, cell: Any) -> bool:
    return bool(getattr(error, 'cell_uuid', None) == cell.uuid)


def _page(context: Any, table: str, after: int | None, count: int) -> Any:
    return db.legacy_quota_queries.page(context.session, table, after, count)


def _is_empty(context: Any, table: str) -> bool:
    return db.legacy_quota_queries.is_empty(context.session, table)
