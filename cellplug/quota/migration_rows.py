"""One limit, moved from a cell to the API database."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_db import exception as oslo_exception
from sqlalchemy import exc as sa_exc

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug.db import limit_tables
from cellplug.objects import identifiers

_legacy = db.legacy_quota_queries
_ATTEMPTS = 3
_PAUSES = 40
_PAUSE = 0.05
"""How often a Mover waits for rows that others hold, and for how many seconds.

For all its rows together: another migration holds a row for milliseconds; who
holds one for longer may do so for ever, and the rest does not wait for that.
"""

_HELD = 'others hold it locked, or are changing it; run again'


class _LockLostError(exception.CellplugError):
    """What was locked is not locked any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """What became of a row.

    :ivar is_gone: somebody else has moved or removed it.
    :ivar blocked: why it could not be moved, '' if it was.
    :ivar news: what there is to tell of one that was moved.
    """

    is_gone: bool = False
    blocked: str = ''
    news: str = ''


class Mover:
    """Moves rows of one table of one cell.

    :param cell: the CellMapping.
    :param earlier: the cells whose limits come before this one's.
    """

    def __init__(
        self, router: Any, table: str, cell: Any, earlier: Sequence[Any]
    ) -> None:
        self._router = router
        self._database = router.database
        self._table = table
        self._cell = cell
        self._earlier = earlier
        self._down: dict[str, Exception] = {}
        self._pauses = _PAUSES
        self._read = router.database.reader.primary.single(_read)
        self._get = router.database.api.reader.primary.single(_get)
        self._locked = router.database.retrying(self._move_locked)

    def move(self, row: Any) -> Moved:
        """Move the row, in transactions of its own."""
        try:
            owner = self._checked(row)
            _legacy.parse(row.hard_limit)
        except ValueError as exc:
            return Moved(blocked=str(exc))
        waits = self._waits_for(owner, row.resource)
        if waits:
            return Moved(blocked=waits)
        try:
            return self._move_unless_held(owner, row)
        except (exception.TransactionConflict, _LockLostError):
            return Moved(blocked=_HELD)

    def _move_unless_held(self, owner: Mapping[str, str], row: Any) -> Moved:
        while True:
            moved: Moved | None = self._locked(_own(), owner, row)
            if moved is not None:
                return moved
            if not self._pauses:
                return Moved(blocked=_HELD)
            self._pauses -= 1
            # Not in step with another one that waits.
            time.sleep(random.uniform(_PAUSE / 2, _PAUSE))

    def _checked(self, row: Any) -> dict[str, str]:
        """Whose it is, if the API database can hold that."""
        names = limit_tables.OWNERS[self._table]
        identifiers.check_id('resource', row.resource)
        return {
            name: identifiers.check_id(name, value)
            for name, value in zip(names, row.owner, strict=True)
        }

    def _waits_for(self, owner: Mapping[str, str], resource: str) -> str:
        """Why the row has to wait for a cell before its own, '' if not."""
        key = (self._table, tuple(owner.values()), resource)
        if not self._earlier or self._get(_own(), *key) is not None:
            return ''
        for cell in self._earlier:
            why = f'cell {cell.name!r}, which comes first, '
            if cell.uuid in self._down:
                return f'{why}does not answer'
            try:
                with self._router.target_cell(_own(), cell) as cctxt:
                    rows = self._read(cctxt, self._table, owner)
            except (
                exception.CellplugError,
                _legacy.WrongShapeError,
            ) as exc:
                # It is asked once, not once for each row.
                self._down[cell.uuid] = exc
                return f'{why}does not answer: {exc}'
            if any(row.resource == resource for row in rows):
                return f'{why}still has a limit for the same'
        return ''

    def _move_locked(
        self, context: Any, owner: Mapping[str, str], row: Any
    ) -> Moved | None:
        """Move it, in this order; None if others hold it.

        Lock in the cell; insert in the API database; see that the lock still
        holds; commit there; delete in the cell; commit. Who removes the limit
        does so in the cells first, which the lock forbids. If it is lost
        after it was looked at, he comes to the API database after our insert,
        and waits for it. An insert that comes after him is undone.
        """
        with (
            self._router.target_cell(context, self._cell) as cctxt,
            self._database.writer.using(cctxt) as session,
        ):
            same = self._lock(session, owner, row)
            there = self._same(_legacy.read(session, self._table, owner), row)
            if row.id not in there:
                return Moved(is_gone=True)
            if same.keys() != there.keys():
                return None
            try:
                limits = {
                    _legacy.parse(one.hard_limit) for one in same.values()
                }
            except ValueError as exc:
                return Moved(blocked=f'a row for the same limit: {exc}')
            with self._database.api.writer.using(_own()) as api:
                stands = self._insert(api, owner, row.resource, limits)
                self._check_lock(session, owner, row, same)
            rows = [*same.values()]
            if stands is not None:
                _legacy.delete(session, self._table, rows)
        return _outcome(rows, limits, stands)

    def _lock(
        self, session: Any, owner: Mapping[str, str], row: Any
    ) -> dict[Any, Any]:
        """The rows of the same limit, by id, but those that others hold.

        In the order of their ids, all at once: so two that move rows of the
        same limit wait for each other, and not both, where the database
        cannot pass over what is locked.
        """
        found = _legacy.read(
            session, self._table, owner, lock=True, skip_locked=True
        )
        return self._same(found, row)

    def _check_lock(
        self, session: Any, owner: Mapping[str, str], row: Any, same: Any
    ) -> None:
        """Raise unless the rows are still locked."""
        try:
            held = self._lock(session, owner, row).keys() == same.keys()
        except (sa_exc.DBAPIError, oslo_exception.DBError) as exc:
            # Ours: it passes the API database's transaction, which would
            # take it for an error of its own.
            raise _LockLostError from exc
        if not held:
            raise _LockLostError

    def _same(self, rows: Sequence[Any], row: Any) -> dict[Any, Any]:
        return {one.id: one for one in rows if one.resource == row.resource}

    def _insert(
        self,
        session: Any,
        owner: Mapping[str, str],
        resource: str,
        limits: set[int],
    ) -> int | None:
        """The limit that stands in the API database, None if none can."""
        key = (self._table, tuple(owner.values()), resource)
        if len(limits) > 1:
            return db.limit_queries.get(session, *key)
        for _ in range(_ATTEMPTS):
            # None: it was there, and somebody has removed it meanwhile.
            stands = db.limit_queries.insert_absent(session, *key, *limits)
            if stands is not None:
                return stands
        return None


def _outcome(same: Sequence[Any], limits: set[int], stands: Any) -> Moved:
    if stands is None and len(limits) > 1:
        rows = ', '.join(f'{one.id}: {one.hard_limit}' for one in same)
        return Moved(
            blocked=f'these rows, by id, are for the same and differ: {rows}; '
            'delete all but one'
        )
    if stands is None:
        return Moved(blocked='it is being changed by others; run again')
    if limits == {stands}:
        return Moved()
    key = ' '.join(str(part) for part in same[0].key)
    theirs = ', '.join(str(limit) for limit in sorted(limits))
    return Moved(
        news=f'{key}: {theirs} there, {stands} in the API database, which '
        'stands'
    )


def _own() -> cellplug_context.InternalContext:
    return cellplug_context.InternalContext()


def _read(context: Any, table: str, owner: Mapping[str, str]) -> Any:
    return _legacy.read(context.session, table, owner)


def _get(
    context: Any, table: str, owner: Sequence[str], resource: str
) -> int | None:
    return db.limit_queries.get(context.session, table, owner, resource)
