"""A correct quota driver in memory: what the suite of quotas is proved on."""

from __future__ import annotations

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


class Books:
    """What stands behind the drivers of a check."""

    def __init__(self) -> None:
        self.renew()
        self.reachable = True
        self.limits: dict[tuple[str, str, str, str], int] = {}
        self.in_use: dict[Key, int] = {}
        self.version: dict[Key, int] = {}
        self.open: dict[str, tuple[float, dict[Key, int]]] = {}

    def renew(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()

    def reserved(self, key: Key) -> int:
        return sum(max(0, held.get(key, 0)) for _, held in self.open.values())


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

    def get_limits(
        self, context: Any, *, project_id, user_id=None, quota_class=None
    ) -> Any:
        found: dict[str, quota.Limit] = {}
        with self._open_books() as books:
            for source, project, user, named in (
                ('user', project_id, user_id, ''),
                ('project', project_id, '', ''),
                ('class', '', '', quota_class),
                ('default class', '', '', 'default'),
            ):
                for (p, u, c, resource), limit in books.limits.items():
                    if (p, u, c) == (project, user, named):
                        found.setdefault(
                            resource, quota.Limit(resource, limit, source)
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
                resource: quota.Usage(
                    resource,
                    in_use,
                    books.reserved((project, user, resource)),
                )
                for (project, user, resource), in_use in books.in_use.items()
                if (project, user) == (project_id, user_id or '')
            }

    def _rows(self, project: str, user: str | None, resource: str) -> Any:
        users = ['', user] if user else ['']
        return [(project, one, resource) for one in users]

    def _count_missing(self, rows: list[Key], count: Any) -> None:
        missing = {key[2] for key in rows if key not in self.books.in_use}
        if not missing:
            return
        counted = count(sorted(missing))
        with self._open_books() as books:
            for key in rows:
                # A user who is new to a project has nothing yet, where the
                # total is known: what is there is somebody else's.
                is_first = key[1] == '' or self._is_first_user(key)
                value = counted.get(key[2], 0) if is_first else 0
                books.in_use.setdefault(key, value)

    def _is_first_user(self, key: Key) -> bool:
        project, _, resource = key
        return not any(
            p == project and r == resource and u
            for p, u, r in self.books.in_use
        )

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
    ):
        due = self._due(expire)
        rows = {
            key: delta
            for resource, delta in sorted(deltas.items())
            for key in self._rows(project_id, user_id, resource)
        }
        with self._open_books():
            self._count_missing(list(rows), count)
        with self._open_books() as books:
            self._check(context, rows, defaults)
            handle = str(uuid.uuid4())
            books.open[handle] = due, rows
            return handle

    def _due(self, expire: Any) -> float:
        now = self._clock()
        if expire is None:
            return now + DAY
        if isinstance(expire, datetime.timedelta):
            return now + expire.total_seconds()
        if isinstance(expire, datetime.datetime):
            if expire.tzinfo is None:
                expire = expire.replace(tzinfo=datetime.UTC)
            return expire.timestamp()
        if isinstance(expire, int | float):
            return now + expire
        raise exception.InvalidInput('expire', f'{expire!r} is no time')

    def _check(self, context: Any, rows: Any, defaults: Any) -> None:
        overs, limits, usages, headroom = set(), {}, {}, {}
        for key, delta in rows.items():
            project, user, resource = key
            found = self.get_limits(
                context, project_id=project, user_id=user or None
            ).get(resource)
            limit = found.limit if found else defaults[resource]
            used = self.books.in_use[key] + self.books.reserved(key)
            if delta >= 0 and limit >= 0 and used + delta > limit:
                overs.add(resource)
            room = limit - used if limit >= 0 else -1
            if resource not in headroom or room < headroom[resource]:
                limits[resource] = limit
                usages[resource] = used
                headroom[resource] = room
        if overs:
            raise exception.OverQuota(overs, limits, usages, headroom)

    # -- ends --------------------------------------------------------------

    def _take(self, books: Books, handle: str) -> dict[Key, int]:
        if handle not in books.open:
            raise exception.ReservationNotFound(handle)
        _, rows = books.open.pop(handle)
        for key in rows:
            books.version[key] = books.version.get(key, 0) + 1
        return rows

    def commit(self, context, handle):
        with self._open_books() as books:
            for key, delta in self._take(books, handle).items():
                books.in_use[key] = max(0, books.in_use[key] + delta)

    def rollback(self, context, handle):
        with self._open_books() as books:
            if handle in books.open:
                self._take(books, handle)

    def expire(self, context):
        with self._open_books() as books:
            now = self._clock()
            late = [h for h, (due, _) in books.open.items() if due <= now]
            for handle in late:
                self._take(books, handle)
            return len(late)

    def refresh(self, context, resources, *, project_id, user_id=None, count):
        rows = [
            key
            for resource in resources
            for key in self._rows(project_id, user_id, resource)
        ]
        with self._open_books() as books:
            seen = dict(books.version)
        counted = count(resources)
        with self._open_books() as books:
            for key in rows:
                held = any(key in rows for _, rows in books.open.values())
                if not held and books.version.get(key) == seen.get(key):
                    books.in_use[key] = counted.get(key[2], 0)
