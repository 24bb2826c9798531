"""Limits from before the API database: in the databases of cells."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug.objects import identifiers

LOG = logging.getLogger(__name__)

Context = cellplug_context.RequestContext
Marks = Collection[tuple[str, str]]
_queries = db.legacy_quota_queries


@dataclasses.dataclass(slots=True)
class Answer:
    """What the cells say of one owner.

    :ivar limits: by what follows the owner in the key: the resource, or a
        user and the resource.
    :ivar error: why some cell could not be asked. What stands in the cells
        before it counts; what does not stand there is not known.
    :ivar asked: whether some cell was, or should have been.
    """

    limits: dict[tuple[str, ...], int] = dataclasses.field(
        default_factory=dict
    )
    error: exception.CellplugError | None = None
    asked: bool = False

    def by_resource(self) -> dict[str, int]:
        """The limits of one owner of a whole key."""
        return {key[0]: limit for key, limit in self.limits.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the cells: the limits of one owner in a table.

    :ivar owner: columns and what is in them; the first ones of the key.
    """

    table: str
    owner: Mapping[str, str]


def _read(
    context: Context, questions: Sequence[Question]
) -> tuple[list[list[Any]], list[str]]:
    """The rows that answer each question, and the tables that are empty."""
    session = context.session
    found = [_queries.read(session, one.table, one.owner) for one in questions]
    silent = {one.table for one in questions} - {
        one.table for one, rows in zip(questions, found, strict=True) if rows
    }
    empty = [name for name in silent if _queries.is_empty(session, name)]
    return found, empty


def _mark(context: Context, marks: Sequence[tuple[str, str]]) -> None:
    for table, cell_uuid in sorted(marks):
        db.migration_queries.put(
            context.session, table, cell_uuid, None, db.limit_tables.EMPTY
        )


def _empty_tables(context: Context) -> Marks:
    return db.migration_queries.empty_tables(context.session)


class Fallback:
    """The cells of ``[quota_database] fallback_cells``.

    They are asked in that order, until a mark says of each that a table is
    empty there. What is read here joins no transaction of the request.
    """

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._options = options
        self._host = host
        database = host.database
        self._read: Callable[..., Any] = database.reader.primary.single(_read)
        self._mark: Callable[..., None] = database.retrying(
            database.api.writer(_mark)
        )
        self._empty_tables: Callable[..., Marks] = (
            database.api.reader.primary.single(_empty_tables)
        )
        self._remove: Callable[..., None] = database.retrying(
            self._remove_once
        )

    @property
    def cells(self) -> list[str]:
        """The cells, by name or canonical uuid."""
        return [
            identifiers.canonical_uuid('fallback_cells', cell)
            if identifiers.is_uuid_like(cell)
            else cell
            for cell in self._options.fallback_cells
        ]

    def marks(self, context: Context) -> Marks:
        """(table, cell) of what is known to be empty: one query."""
        return self._empty_tables(context)

    def ask(
        self, context: Context, marks: Marks, questions: Sequence[Question]
    ) -> list[Answer]:
        """What the cells say, for each question.

        :param context: the request's. Its open API transaction is used to
            find the cells, and forbids to mark what turns out empty.
        :param marks: from the same query as the API database's own answers,
            or an earlier one.
        """
        answers = [Answer() for _ in questions]
        empty: list[tuple[str, str]] = []
        for cell in self.cells:
            open_ = [
                (one, answer)
                for one, answer in zip(questions, answers, strict=True)
                if answer.error is None and (one.table, cell) not in marks
            ]
            if open_:
                empty += self._ask_cell(context, cell, marks, open_)
        if empty and not self._host.database.has_open_api_transaction(context):
            self._try_to_mark(empty)
        return answers

    def _ask_cell(
        self,
        context: Context,
        cell: str,
        marks: Marks,
        open_: Sequence[tuple[Question, Answer]],
    ) -> list[tuple[str, str]]:
        """Add a cell's answers; the marks that it turned out to deserve."""
        for _, answer in open_:
            answer.asked = True
        try:
            cctxt = self._targeted(context, cell)
            uuid = str(cctxt.cell_uuid)
            # A resolver with cells of its own: they have names elsewhere.
            open_ = [one for one in open_ if (one[0].table, uuid) not in marks]
            if not open_:
                return []
            found, empty = self._read(cctxt, [one for one, _ in open_])
            for (question, answer), rows in zip(open_, found, strict=True):
                for row in rows:
                    key = row.key[len(question.owner) :]
                    if None not in key:
                        limit = _effective(question.table, row, cell)
                        answer.limits.setdefault(key, limit)
        except (exception.CellplugError, _queries.WrongShapeError) as exc:
            for _, answer in open_:
                answer.error = _explained(exc, cell)
            return []
        return [(table, uuid) for table in empty]

    def _targeted(self, context: Context, cell: str) -> Context:
        """A context of our own that is aimed at the cell."""
        try:
            with self._host.target_cell(context, cell) as found:
                return cellplug_context.InternalContext().copy_with(
                    db_connection=found.db_connection,
                    cell_uuid=found.cell_uuid,
                )
        except exception.CellMappingNotFound as exc:
            raise exception.ConfigurationError(
                f'[quota_database] fallback_cells: {exc}'
            ) from exc

    def _try_to_mark(self, empty: Sequence[tuple[str, str]]) -> None:
        try:
            self._mark(cellplug_context.InternalContext(), empty)
        except exception.CellplugError as exc:
            # The next reader will find out as well.
            LOG.info('legacy tables are empty, but not marked so: %s', exc)

    def remove(
        self, table: str, owner: Mapping[str, str], resources: Collection[str]
    ) -> None:
        """Delete limits in every cell that may have one.

        In none of them if one does not answer when it is asked. A cell that
        is lost later, at its COMMIT, may keep its limits while cells behind
        it in the option's order have lost theirs; those before it keep theirs
        as well. So what is in force stays, or goes; no other limit rises.

        :raises CellUnavailable: if a cell does not answer, or is lost; to be
            repeated.
        """
        if self.cells:
            own = cellplug_context.InternalContext()
            self._remove(own, table, owner, resources)

    def _remove_once(
        self,
        context: Context,
        table: str,
        owner: Mapping[str, str],
        resources: Collection[str],
    ) -> None:
        marks = self.marks(context)
        targets: dict[str, tuple[str, Context]] = {}
        for cell in self.cells:
            if (table, cell) not in marks:
                cctxt = self._targeted(context, cell)
                targets.setdefault(str(cctxt.cell_uuid), (cell, cctxt))
        with contextlib.ExitStack() as transactions:
            # In one order, so that nobody waits for somebody who waits. They
            # commit in the reverse one: the cell whose limits count, last.
            for uuid, (cell, cctxt) in targets.items():
                if (table, uuid) in marks:
                    continue
                session = transactions.enter_context(
                    self._host.database.writer.using(cctxt)
                )
                rows = _lock(session, table, owner, cell)
                _queries.delete(
                    session,
                    table,
                    [row for row in rows if row.resource in resources],
                )


def _lock(
    session: Any, table: str, owner: Mapping[str, str], cell: str
) -> Sequence[Any]:
    try:
        return _queries.read(session, table, owner, lock=True)
    except _queries.WrongShapeError as exc:
        raise _explained(exc, cell) from exc


def _explained(error: Exception, cell: str) -> exception.CellplugError:
    if isinstance(error, exception.CellplugError):
        return error
    return exception.ConfigurationError(
        f'[quota_database] fallback_cells: cell {cell!r}: {error}'
    )


def _effective(table: str, row: Any, cell: str) -> int:
    try:
        return _queries.effective(row.hard_limit)
    except ValueError as exc:
        raise exception.ConfigurationError(
            f'the table {table} of cell {cell!r}, row {row.id}: {exc}; mend '
            'or delete it'
        ) from exc
