"""Counting the truth, and storing it where nothing happened meanwhile.

The cells are asked with no transaction open. What they said is stored only
if the usage's ``version`` is what it was before, and no reservation was open
on it then: every reserve, commit, rollback and expiry raises the version, so
none can have begun, ended, or both, while the cells were asked. Comparing
the values would not do: two changes may cancel out, and a negative delta
does not show in ``reserved`` at all.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug.interfaces import quota as contract
from cellplug_drivers.quota.database import options
from cellplug_drivers.quota.database import settings as quota_settings

_queries = db.quota_queries
_Context = cellplug_context.RequestContext
_Key = tuple[str, str]
States = dict[_Key, _queries.State]

LOG = logging.getLogger(__name__)

_QUIET = 600
"""Seconds for which the log is not told again of a project."""

_MOST_NOTED = 1000
"""Of how many projects it is remembered that the log was told."""

_BUGS = (
    exception.ConfigurationError,
    exception.DriverError,
    exception.InvalidInput,
    exception.NotSupported,
    exception.NotTargeted,
    exception.PluginError,
    exception.ReadOnlyTransaction,
    exception.TransactionAborted,
    exception.TransactionInProgress,
)
"""What says that the counting is broken; waiting for a cell mends no bug."""


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """What was counted, by usage.

    :ivar partial: those that a cell's answer is missing from.
    :ivar failed: those that could not be counted, and why.
    """

    values: dict[_Key, int]
    partial: frozenset[_Key]
    failed: Mapping[_Key, exception.CellplugError]


def _look(
    context: _Context,
    project_id: str,
    resources: Collection[str],
    users: Collection[str] | None,
) -> States:
    # Nobody is refused for what another node of a cluster has given back.
    _queries.catch_up(context.session)
    return _queries.look(context.session, project_id, resources, users)


def _create(
    context: _Context, project_id: str, counted: dict[_Key, int], **more: Any
) -> None:
    _queries.create(context.session, project_id, counted, **more)


def _store(
    context: _Context,
    states: States,
    counted: Counted,
    until_refresh: int,
    now: float,
) -> set[_Key]:
    return {
        key
        for key, in_use in sorted(counted.values.items())
        if _queries.store(
            context.session,
            states[key],
            in_use,
            partial=key in counted.partial,
            until_refresh=until_refresh,
            now=quota_settings.moment(now),
        )
    }


def _mark_due(context: _Context, usages: list[int]) -> None:
    _queries.mark_due(context.session, usages)


class Counting:
    """Looks at usages, counts them and stores the counts.

    :param own: the context of the driver's own transactions.
    """

    def __init__(
        self,
        settings: quota_settings.Settings,
        host: interfaces.DriverHost,
        own: _Context,
    ) -> None:
        api, retrying = host.database.api, host.database.retrying
        writer = api.writer.connection
        self._settings = settings
        self._own = own
        self._noted: dict[str, float] = {}
        self._look: Callable[..., States] = (
            api.reader.primary.single.connection(_look)
        )
        self._create: Callable[..., None] = retrying(writer(_create))
        self._store: Callable[..., set[_Key]] = retrying(writer(_store))
        self._mark_due: Callable[..., None] = retrying(writer(_mark_due))

    def look(
        self,
        project_id: str,
        resources: Collection[str],
        users: Collection[str] | None,
    ) -> States:
        """The usages at one instant; users None for all, and the total."""
        return self._look(self._own, project_id, resources, users)

    def create(
        self, project_id: str, keys: Collection[_Key], count: contract.Count
    ) -> None:
        """Count usages that are missing, and make them.

        :raises CountIncomplete: if a cell did not answer, unless that is
            accepted.
        """
        counted = self._count(keys, count)
        for error in counted.failed.values():
            raise error
        self._create(
            self._own,
            project_id,
            counted.values,
            partial=counted.partial,
            until_refresh=self._settings.until_refresh,
            now=quota_settings.moment(self._settings.now()),
        )

    def refresh(
        self,
        project_id: str,
        states: States,
        count: contract.Count,
        *,
        keep: bool = False,
    ) -> set[_Key]:
        """Count usages anew; those whose count was stored.

        Left alone, and uncounted, are those on which a reservation is open.

        :param states: as they were looked at.
        :param keep: whether the last value may stand for what could not be
            counted; the log says so.
        :raises CountIncomplete: if a cell did not answer, unless that is
            accepted, or the last value may stand; nothing was stored.
        """
        quiet = {
            key: state
            for key, state in states.items()
            if state.first_expire is None
        }
        counted = self._count(quiet, count)
        for error in counted.failed.values():
            if not keep:
                raise error
        if counted.failed:
            _note_kept(project_id, counted.failed)
        if not counted.values:
            return set()
        return self._store(
            self._own,
            quiet,
            counted,
            self._settings.until_refresh,
            self._settings.now(),
        )

    def note_put_off(self, project_id: str, keys: Collection[_Key]) -> None:
        """Tell the log of what is due and held open: now and then."""
        now = self._settings.now()
        last = self._noted.get(project_id)
        if last is not None and abs(now - last) < _QUIET:
            return
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted[project_id] = now
        LOG.warning(
            'Due, and not counted, as reservations on it are open: %s of '
            'project %s; the last count stands until none is open',
            _names(keys), project_id
        )  # fmt: skip

    def mark_due(self, states: States) -> None:
        """Have these usages counted by the next reservation."""
        usages = [state.id for _, state in sorted(states.items())]
        if usages:
            self._mark_due(self._own, usages)

    def _count(self, keys: Collection[_Key], count: contract.Count) -> Counted:
        """Ask the cells: once for the total, and once for each user."""
        values: dict[_Key, int] = {}
        partial: set[_Key] = set()
        failed: dict[_Key, exception.CellplugError] = {}
        accept = self._settings.unanswered_cells == options.ACCEPT
        for user_id in sorted({user for _, user in keys}):
            names = sorted(name for name, user in keys if user == user_id)
            theirs = [(name, user_id) for name in names]
            try:
                found = count(names, user_id or None)
            except _BUGS:
                raise
            except exception.CellplugError as exc:
                failed.update(dict.fromkeys(theirs, exc))
                continue
            if found.missing and not accept:
                missing = exception.CountIncomplete(names, found.missing)
                failed.update(dict.fromkeys(theirs, missing))
                continue
            values.update({key: found.values[key[0]] for key in theirs})
            if found.missing:
                partial.update(theirs)
        return Counted(values, frozenset(partial), failed)


def _note_kept(
    project_id: str, failed: Mapping[_Key, exception.CellplugError]
) -> None:
    reasons = dict.fromkeys(str(error) for error in failed.values())
    LOG.warning(
        'The last count of %s of project %s stands, though it is due: %s',
        _names(failed), project_id, '; '.join(reasons)
    )  # fmt: skip


def _names(keys: Iterable[_Key]) -> str:
    return ', '.join(sorted({resource for resource, _ in keys}))
