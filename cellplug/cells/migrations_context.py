"""What a migration is called with, see :mod:`.interfaces.migration`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import loader
from cellplug.interfaces import migration


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A row that could not be migrated, or news of one that was.

    :ivar migration: its name.
    :ivar what: which row.
    :ivar left: whether it is left where it was.
    """

    migration: str
    what: str
    why: str
    left: bool


class Progress:
    """A row of ``migration_state``; see :class:`.migration.Progress`."""

    def __init__(
        self, router: Any, job: str, cell_uuid: str, run: _Run
    ) -> None:
        database = router.database
        self._key = (job, cell_uuid)
        self._run = run
        self._put: Callable[..., None] = database.retrying(
            database.api.writer(_put)
        )
        found = database.api.reader.primary(_get)(_own(), *self._key)
        if run.recheck and found.state not in ('', migration.PASSED):
            # The marker of a pass under way stays: it would never end.
            self._put(_own(), *self._key, None, '')
            found = db.migration_queries.State()
        self.marker: str | None = found.marker if run.resume else None
        self.state: str = found.state
        if self.state == migration.PASSED and not run.resume:
            self.state = ''

    def advance(self, marker: str) -> None:
        """Note that the rows up to this key were looked at."""
        self._note(marker, '')

    def finish(self, state: str = migration.PASSED) -> None:
        """Note that the pass has come to its end."""
        self._note(None, state)

    def restart(self) -> None:
        """Begin a new pass."""
        self._note(None, '')

    def _note(self, marker: str | None, state: str) -> None:
        self._put(_own(), *self._key, marker, state)
        self.marker, self.state = marker, state
        self._run.moved = True


@dataclasses.dataclass(slots=True)
class _Run:
    """How a migration is run.

    :ivar moved: whether its last call came any further.
    """

    resume: bool
    recheck: bool
    moved: bool = False


class MigrationContext(cellplug_context.InternalContext):
    """A context that also takes reports, and knows how far all has come.

    :param on_report: called for each report.
    :param resume: go on where an earlier run stopped.
    :param recheck: forget what is known to be done.
    :ivar left: how many rows were reported that are left where they were.
    :ivar reported: whether anything was reported.
    """

    def __init__(
        self,
        router: Any,
        *,
        name: str,
        on_report: Callable[[Report], None],
        resume: bool,
        recheck: bool,
    ) -> None:
        super().__init__(is_admin=True)
        self.router = router
        self.left = 0
        self.reported = False
        self._migration = name
        self._on_report = on_report
        self._run = _Run(resume, recheck)
        self._progress: dict[tuple[str, str], Progress] = {}

    def options(self, interface: str, driver: str) -> Any:
        """The options of an installed driver, whether it is in use or not."""
        conf = self.router._parts.conf
        group = f'{interface}_{driver}'
        conf.register_opts(loader.load_options(interface, driver), group)
        return conf[group]

    def progress(self, job: str, cell_uuid: str = '') -> Progress:
        """How far this job has come in a cell."""
        key = (job, cell_uuid)
        if key not in self._progress:
            self._progress[key] = Progress(self.router, *key, self._run)
        return self._progress[key]

    def report(self, what: str, why: str, *, left: bool = True) -> None:
        """Tell the operator of a row."""
        self.left += left
        self.reported = True
        self._on_report(Report(self._migration, what, why, left))

    # -- for whoever runs it -----------------------------------------------

    def begin_call(self) -> None:
        """The migration is about to be called."""
        self._run.moved = False

    def restart_passes(self) -> bool:
        """Begin those anew that have come to their ends; whether any had."""
        passed = [
            one
            for one in self._progress.values()
            if one.state == migration.PASSED
        ]
        for one in passed:
            one.restart()
        return bool(passed)

    def end_passes(self) -> None:
        """All have come to their ends: the next run begins anew."""
        if not self.is_under_way:
            self.restart_passes()

    @property
    def has_progress(self) -> bool:
        """Whether the migration keeps any."""
        return bool(self._progress)

    @property
    def has_moved(self) -> bool:
        """Whether its last call came any further."""
        return self._run.moved

    @property
    def is_under_way(self) -> bool:
        """Whether some pass has not come to its end."""
        return any(not one.state for one in self._progress.values())


def _own() -> cellplug_context.InternalContext:
    return cellplug_context.InternalContext()


def _get(context: Any, job: str, cell_uuid: str) -> Any:
    return db.migration_queries.get(context.session, job, cell_uuid)


def _put(
    context: Any, job: str, cell_uuid: str, marker: str | None, state: str
) -> None:
    db.migration_queries.put(context.session, job, cell_uuid, marker, state)
