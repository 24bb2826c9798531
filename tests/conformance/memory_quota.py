"""A correct quota driver in memory: what the suite of quotas is proved on."""

from __future__ import annotations

import dataclasses
import datetime
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cellplug import exception
from cellplug import interfaces
from cellplug.objects import quota

DAY = 86400

Key = tuple[str, str, str]  # project, user ('' is the total), resource


@dataclasses.dataclass
class Row:
    in_use: int
    due: bool = False
    version: int = 0


@dataclasses.dataclass(frozen=True)
class Held:
    project_id: str
    user_id: str | None
    deltas: dict[str, int]
    rows: dict[Key, int]
    ends: int  # milliseconds since 1970


class Books:
    """What stands behind the drivers of a check."""

    def __init__(self) -> None:
        self.renew()
        self.reachable = True
        self.limits: dict[tuple[str, str, str, str], int] = {}
        self.rows: dict[Key, Row] = {}
        self.open: dict[str, Held] = {}

    def renew(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()

    def reserved(self, key: Key) -> int:
        return sum(max(0, one.rows.get(key, 0)) for one in self.open.values())

    def is_held(self, key: Key) -> bool:
        return any(key in one.rows for one in self.open.values())


class MemoryQuota(interfaces.QuotaDriver):
    """Everything in dictionaries, under one lock."""

    capabilities = frozenset(interfaces.QuotaCapability)

    def __init__(self, options: Any, host: Any) -> None:
        self.books = Books()
        self._clock = host.clock

    def close(self) -> None:
        pass

    @contextmanager
    def _open_books(self) -> Iterator[Books]:
        if self.books.pid != os.getpid():
            self.books.renew()
        if not self.books.reachable:
            raise exception.DatabaseUnavailable('the books', 'they are away')
        with self.books.lock:
            yield self.books

    # -- limits ------------------------------------------------------------

    def _limits_of(self, scope: tuple[str, str, str]) -> dict[str, int]:
        with self._open_books() as books:
            return {
                resource: limit
                for (*of, resource), limit in books.limits.items()
                if tuple(of) == scope
            }

    def get_limits(
        self,
        context: Any,
        *,
        project_id,
        user_id=None,
        quota_class=None,
        resources=None,
    ) -> Any:
        found: dict[str, quota.Limit] = {}
        for source, scope in (
            ('user', (project_id, user_id, '')),
            ('project', (project_id, '', '')),
            ('class', ('', '', quota_class)),
            ('default class', ('', '', 'default')),
        ):
            for resource, limit in self._limits_of(scope).items():
                found.setdefault(
                    resource, quota.Limit(resource, limit, source)
                )
        return found

    def get_class_limits(self, context, quota_class):
        return {
            resource: quota.Limit(resource, limit, 'class')
            for resource, limit in self._limits_of(
                ('', '', quota_class)
            ).items()
        }

    def get_users_limits(self, context, project_id):
        found: dict[str, Any] = {}
        with self._open_books() as books:
            for (project, user, _, resource), limit in books.limits.items():
                if project == project_id and user:
                    found.setdefault(user, {})[resource] = quota.Limit(
                        resource, limit, 'user'
                    )
        return found

    def _set(self, scope: tuple[str, str, str], limits: Any) -> None:
        with self._open_books() as books:
            for resource, limit in limits.items():
                if limit is None:
                    books.limits.pop((*scope, resource), None)
                else:
                    books.limits[*scope, resource] = limit

    def set_limits(self, context, limits, *, project_id, user_id=None):
        self._set((project_id, user_id or '', ''), limits)

    def set_class_limits(self, context, limits, *, quota_class):
        self._set(('', '', quota_class), limits)

    # -- usages ------------------------------------------------------------

    def get_usages(self, context, *, project_id, user_id=None):
        with self._open_books() as books:
            return {
                key[2]: quota.Usage(
                    key[2], row.in_use, books.reserved(key), row.due
                )
                for key, row in books.rows.items()
                if key[:2] == (project_id, user_id or '')
            }

    def get_users(self, context, project_id):
        with self._open_books() as books:
            users = {key[1] for key in books.rows if key[0] == project_id}
        return sorted(users - {''})

    def get_reservations(self, context, *, project_id=None, user_id=None):
        with self._open_books() as books:
            return [
                quota.Reservation(
                    handle,
                    one.project_id,
                    one.user_id,
                    dict(one.deltas),
                    datetime.datetime.fromtimestamp(
                        one.ends / 1000, datetime.UTC
                    ).replace(tzinfo=None),
                )
                for handle, one in sorted(
                    books.open.items(), key=lambda item: item[1].ends
                )
                if project_id in (None, one.project_id)
                and user_id in (None, one.user_id)
            ]

    # -- counting ----------------------------------------------------------

    def _count(self, keys: Any, count: Any) -> dict[Key, int]:
        """The truth of each row; called with nothing held."""
        found: dict[Key, int] = {}
        for user in sorted({key[1] for key in keys}):
            names = sorted({key[2] for key in keys if key[1] == user})
            counts = count(names, user or None)
            self._check_counts(names, counts)
            for key in keys:
                if key[1] == user:
                    found[key] = counts.values.get(key[2], 0)
        return found

    def _check_counts(self, names: list[str], counts: Any) -> None:
        if counts.missing:
            raise exception.CountIncomplete(names, counts.missing)

    def _know(self, keys: list[Key], count: Any) -> None:
        """Count what is missing or due."""
        with self._open_books() as books:
            missing = [key for key in keys if key not in books.rows]
            due = [key for key in set(keys) - set(missing) if self._due(key)]
            seen = {key: books.rows[key].version for key in due}
        if missing or due:
            counted = self._count([*missing, *due], count)
            with self._open_books():
                self._learn({key: counted[key] for key in missing})
                self._store(seen, counted)

    def _due(self, key: Key) -> bool:
        return self.books.rows[key].due and not self.books.is_held(key)

    def _learn(self, counted: dict[Key, int]) -> None:
        for key, value in counted.items():
            self.books.rows.setdefault(key, Row(value))

    def _store(self, seen: dict[Key, int], counted: Any) -> set[str]:
        """Write what was counted where nothing happened; what was not."""
        late = set()
        for key, version in seen.items():
            if self._untouched(key, version):
                row = self.books.rows[key]
                row.in_use, row.due = counted[key], False
                row.version += 1
            else:
                late.add(key[2])
        return late

    def _untouched(self, key: Key, version: int) -> bool:
        row = self.books.rows[key]
        return row.version == version and not self.books.is_held(key)

    # -- reservations ------------------------------------------------------

    def _rows(
        self, deltas: Any, project: str, user: str | None, per_project: Any
    ) -> dict[Key, int]:
        found = {}
        for resource, delta in sorted(deltas.items()):
            found[project, '', resource] = delta
            if user and resource not in per_project:
                found[project, user, resource] = delta
        return found

    def reserve(
        self,
        context,
        deltas,
        *,
        project_id,
        user_id,
        defaults,
        count,
        expire=None,
        quota_class=None,
        per_project=(),
    ):
        ends = self._ends(expire)
        rows = self._rows(deltas, project_id, user_id, per_project)
        self._know(list(rows), count)
        with self._open_books() as books:
            self._check(context, rows, defaults, quota_class)
            handle = str(uuid.uuid4())
            books.open[handle] = Held(
                project_id, user_id, dict(deltas), rows, ends
            )
            self._touch(rows)
            return handle

    def _ends(self, expire: Any) -> int:
        try:
            return quota.expiry(expire, now=self._clock(), default=DAY)
        except ValueError as exc:
            raise exception.InvalidInput('expire', str(exc)) from exc

    def _touch(self, rows: Any) -> None:
        for key in rows:
            self.books.rows[key].version += 1

    def _check(
        self, context: Any, rows: Any, defaults: Any, quota_class: Any
    ) -> None:
        overs, limits, usages, headroom = set(), {}, {}, {}
        for key, delta in rows.items():
            project, user, resource = key
            found = self.get_limits(
                context,
                project_id=project,
                user_id=user or None,
                quota_class=quota_class,
            ).get(resource)
            limit = found.limit if found else defaults[resource]
            used = self.books.rows[key].in_use + self.books.reserved(key)
            if delta >= 0 and limit >= 0 and used + delta > limit:
                overs.add(resource)
            room = max(0, limit - used) if limit >= 0 else quota.UNLIMITED
            least = headroom.get(resource, quota.UNLIMITED)
            if least < 0 or 0 <= room < least:
                limits[resource] = limit
                usages[resource] = used
                headroom[resource] = room
        if overs:
            raise exception.OverQuota(overs, limits, usages, headroom)

    # -- ends --------------------------------------------------------------

    def _take(self, books: Books, handle: str) -> dict[Key, int]:
        if handle not in books.open:
            raise exception.ReservationNotFound(handle)
        rows = books.open.pop(handle).rows
        self._touch(rows)
        return rows

    def commit(self, context, handle):
        with self._open_books() as books:
            for key, delta in self._take(books, handle).items():
                row = books.rows[key]
                row.due = row.due or row.in_use + delta < 0
                self._add(row, delta)

    def _add(self, row: Row, delta: int) -> None:
        row.in_use = max(0, row.in_use + delta)

    def rollback(self, context, handle):
        with self._open_books() as books:
            if handle in books.open:
                self._take(books, handle)

    def _late(self, books: Books) -> list[str]:
        now = self._clock() * 1000
        return [h for h, one in books.open.items() if one.ends <= now]

    def expire(self, context):
        with self._open_books() as books:
            late = self._late(books)
            for handle in late:
                for key in self._take(books, handle):
                    books.rows[key].due = True
            return len(late)

    # -- counting anew -----------------------------------------------------

    def _known(
        self,
        resources: Any,
        project_id: str,
        user_id: str | None,
        per_project: Any = (),
    ) -> list[Key]:
        """The rows that there are; of all users, if none is named."""
        return [
            key
            for key in self.books.rows
            if key[0] == project_id
            and key[2] in resources
            and (user_id is None or key[1] in ('', user_id))
            and not (key[1] and key[2] in per_project)
        ]

    def refresh(
        self,
        context,
        resources,
        *,
        project_id,
        user_id=None,
        count,
        per_project=(),
    ):
        with self._open_books() as books:
            keys = self._known(resources, project_id, user_id, per_project)
            seen = {key: books.rows[key].version for key in keys}
        counted = self._count(keys, count)
        with self._open_books():
            late = frozenset(self._store(seen, counted))
            self._mark_due([key for key in keys if key[2] in late])
            return late

    def _mark_due(self, keys: list[Key]) -> None:
        for key in keys:
            self.books.rows[key].due = True
            self.books.rows[key].version += 1

    def reset(self, context, resources, *, project_id, user_id=None):
        with self._open_books():
            self._mark_due(self._known(resources, project_id, user_id))
