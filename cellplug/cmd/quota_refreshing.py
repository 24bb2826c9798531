"""What ``quota refresh`` counts, stores and shows."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import quota_books

if TYPE_CHECKING:
    from cellplug.objects import quota

CORRECTED, UNCHANGED, KEPT, ADDED = 'corrected', 'unchanged', 'kept', 'added'
_PROBE = 60
"""Seconds after which what a dead command reserved (nothing) ends."""

Row = tuple[Any, ...]
Held = dict[tuple[str, str | None], datetime.datetime]
"""Until when a reservation is open, by resource and user (None: total)."""

_ENDED = datetime.datetime.min  # noqa: DTZ901 (no zone, as expire)
"""Of a reservation that began and ended while the cells were counted."""


class Counted:
    """A project's usages before and after a refresh.

    :ivar levels: the total (None), and the users that are refreshed.
    """

    def __init__(
        self, books: quota_books.Books, names: Collection[str]
    ) -> None:
        self._books = books
        self._names = names
        self.levels: list[str | None] = [None]
        if books.user_id is None:
            self.levels += books.users()
        else:
            self.levels.append(books.user_id)
        self._before = {one: books.usages(one) for one in self.levels}
        self._after: dict[str | None, dict[str, int]] = {}
        self._wanted = {level: self._wanted_of(level) for level in self.levels}
        self.held: Held = {}

    def _wanted_of(self, level: str | None) -> list[str]:
        """What is known; of the total and a named user, all there is."""
        known = self._before[level]
        if level is not None and self._books.user_id is None:
            return [name for name in self._names if name in known]
        resources = self._books.quotas.resources
        return [
            name
            for name in self._names
            if level is None or not getattr(resources[name], 'per_project', 0)
        ]

    def try_(self) -> None:
        """Count, and store nothing.

        :raises CountIncomplete: if a cell did not answer.
        """
        self._after = {
            level: count(self._books, wanted, level)
            for level, wanted in self._wanted.items()
        }
        held = holding(self._books)
        self.held = {k: t for k, t in held.items() if k[0] in self._names}

    def store(self) -> None:
        """Count what is not known yet, and what is anew.

        :raises CountIncomplete: if a cell did not answer.
        """
        books = self._books
        held = holding(books)
        kept = books.quotas.usage_refresh(
            books.context,
            self._names,
            project_id=books.project_id,
            user_id=books.user_id,
        )
        self._add()
        self._after = {
            level: {n: u.in_use for n, u in books.usages(level).items()}
            for level in self.levels
        }
        held.update(holding(books))
        known = {name for name, _ in held}
        for name in kept - known:
            held.update({(name, level): _ENDED for level in self.levels})
        self.held = {key: t for key, t in held.items() if key[0] in kept}

    def _add(self) -> None:
        """Have what is not known counted, as the first reservation has."""
        for level in (None, self._books.user_id):
            unknown = [
                name
                for name in self._wanted[level]
                if name not in self._before[level]
            ]
            if unknown:
                add(self._books, unknown, level)

    def kept(self) -> dict[str, datetime.datetime | None]:
        """What was not stored, and until when something is reserved of it."""
        found: dict[str, datetime.datetime] = {}
        for (name, _), until in self.held.items():
            found[name] = max(until, found.get(name, until))
        return {
            name: None if until == _ENDED else until
            for name, until in sorted(found.items())
        }

    def rows(self) -> Iterator[Row]:
        """Resource, user, in use as it was, counted, and what came of it."""
        for name in self._names:
            for level, wanted in self._wanted.items():
                if name in wanted:
                    yield name, level, *self._compared(name, level)

    def _compared(
        self, name: str, level: str | None
    ) -> tuple[int | None, int | None, str]:
        usage = self._before[level].get(name)
        new = self._after[level].get(name)
        if usage is None:
            return None, new, ADDED
        old = None if usage.in_use < 0 else usage.in_use
        if (name, level) in self.held:
            return old, None, KEPT
        return old, new, UNCHANGED if old == new else CORRECTED


def count(
    books: quota_books.Books, names: Collection[str], user_id: str | None
) -> dict[str, int]:
    """What exists now.

    :raises CountIncomplete: if a cell did not answer.
    """
    from cellplug.quota import counting

    if not names:
        return {}
    counter = counting.Counter(
        books.quotas.resources, books.context, books.project_id
    )
    return dict(counting.complete(counter, names, user_id))


def add(
    books: quota_books.Books, names: Iterable[str], user_id: str | None
) -> None:
    """Have usages made that are not known: by reserving nothing of them."""
    nothing = dict.fromkeys(names, 0)
    try:
        handle = books.quotas.reserve(
            books.context,
            nothing,
            project_id=books.project_id,
            user_id=user_id,
            expire=_PROBE,
        )
    except exception.OverQuota:
        return  # What was counted on the way is kept.
    books.quotas.rollback(books.context, handle)


def holding(books: quota_books.Books) -> Held:
    """What a count would not be stored of, and until when at most."""
    open_ = books.reservations(None)
    past = late(open_)
    found: Held = {}
    for one in open_:
        if one in past:
            continue  # It would be expired first.
        for name in one.deltas:
            for level in {None, one.user_id}:
                until = found.get((name, level), one.expire)
                found[name, level] = max(until, one.expire)
    return found


def late(found: list[quota.Reservation]) -> list[quota.Reservation]:
    """Those past their time."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return [one for one in found if one.expire <= now]
