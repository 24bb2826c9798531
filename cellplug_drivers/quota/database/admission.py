"""Reserving: straight away if all is known, else after a closer look."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug.interfaces import quota as contract
from cellplug_drivers.quota.database import counting as quota_counting
from cellplug_drivers.quota.database import ending as quota_ending
from cellplug_drivers.quota.database import options
from cellplug_drivers.quota.database import planning
from cellplug_drivers.quota.database import settings as quota_settings

_queries = db.quota_queries
_Context = cellplug_context.RequestContext
_Key = tuple[str, str]

_ROUNDS = 3
"""How often usages are made that somebody deletes at the same time."""


class _NotTaken(Exception):
    """Rolls back what was reserved so far; carries what was used instead.

    :ivar used: of each usage that is there; None if nobody looked.
    """

    def __init__(
        self,
        taking: _queries.Taking,
        used: Mapping[_Key, int] | None = None,
    ) -> None:
        super().__init__()
        self.taking = taking
        self.used = used


def _take(context: _Context, plan: planning.Plan) -> None:
    """Reserve straight away, or find that something is in the way."""
    taking = plan(context)
    if not _queries.take(context.session, taking):
        raise _NotTaken(taking)


def _take_locked(context: _Context, plan: planning.Plan) -> None:
    """Decide with the usages locked: it ends one way or the other.

    By the limits of now: counting may have taken long. Usages that are due
    will do: what could be counted, was.
    """
    _queries.catch_up(context.session)
    taking = plan(context)
    keys = [(one.resource, one.user_id) for one in taking.entries]
    used = _queries.lock(context.session, taking.project_id, keys)
    if not _queries.take(context.session, taking, due=True):
        raise _NotTaken(taking, used)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is to be reserved.

    :ivar taking: what the last attempt could not take.
    :ivar prepare: plans the next one.
    :ivar count: counts usages that are missing or due.
    :ivar counted: whether what is due was counted, as far as it could be.
    """

    taking: _queries.Taking
    prepare: Callable[..., planning.Plan]
    count: contract.Count
    counted: bool = False


class Admission:
    """Admits or refuses.

    :param own: the context of the driver's own transactions.
    """

    def __init__(
        self,
        settings: quota_settings.Settings,
        host: interfaces.DriverHost,
        own: _Context,
        counting: quota_counting.Counting,
        endings: quota_ending.Endings,
    ) -> None:
        database = host.database
        writer = database.api.writer.connection
        self._settings = settings
        self._own = own
        self._counting = counting
        self._endings = endings
        self._take: Callable[..., None] = database.retrying(writer(_take))
        self._take_locked: Callable[..., None] = database.retrying(
            writer(_take_locked)
        )

    def reserve(
        self, prepare: Callable[..., planning.Plan], count: contract.Count
    ) -> None:
        """Reserve all of it, or nothing.

        :param prepare: plans an attempt; called with no transaction open.
        :param count: counts usages that are missing or due.
        :raises OverQuota: if it does not fit.
        :raises CountIncomplete: if something had to be counted, and a cell
            did not answer.
        """
        try:
            self._take(self._own, prepare(look_up=False))
        except _NotTaken as exc:
            taking = exc.taking
        else:
            return
        if taking.looks_up:
            taking = prepare()(self._own)
        self._look_closer(Request(taking, prepare, count))

    def _look_closer(self, request: Request) -> None:
        """Find out what was in the way, and mend what can be mended."""
        for _ in range(_ROUNDS):
            states = self._look(request)
            if not self._mend(request, states):
                # The limits are those of a moment ago, so no more is asked.
                used = {key: state.used for key, state in states.items()}
                _refuse_over(request.taking.entries, used)
            try:
                self._take_locked(self._own, request.prepare())
            except _NotTaken as exc:
                entries, found = exc.taking.entries, exc.used or {}
                if len(found) == len(entries):
                    _refuse_over(entries, found)
                request = dataclasses.replace(
                    request, taking=exc.taking, counted=True
                )
            else:
                return
        raise exception.CellplugError(
            f'the usages of project {request.taking.project_id} were deleted '
            f'{_ROUNDS} times while they were reserved'
        )

    def _mend(self, request: Request, states: quota_counting.States) -> bool:
        """Set right what is in the way; whether there was anything.

        Reservations past their time are expired here as well, so that a
        crash costs a wait, whether or not anybody expires regularly; of very
        many, some are left to the next request, or to ``expire``.

        That takes a while, and limits that were read before are old then.
        """
        expired = self._endings.expire_on(states.values(), bounded=True)
        if expired:
            states = self._look(request)
        keys = {(one.resource, one.user_id) for one in request.taking.entries}
        missing = keys - states.keys()
        if missing:
            project_id = request.taking.project_id
            self._counting.create(project_id, missing, request.count)
        return self._count_due(request, states) or bool(missing) or expired

    def _count_due(
        self, request: Request, states: quota_counting.States
    ) -> bool:
        """Count what is due, once in a request; whether cells were asked."""
        project_id = request.taking.project_id
        due = {
            key: state
            for key, state in states.items()
            if state.is_due(request.taking.freshness)
        }
        quiet = {
            key: state
            for key, state in due.items()
            if state.first_expire is None
        }
        if request.counted:
            return False
        if len(quiet) < len(due):
            held = due.keys() - quiet.keys()
            self._counting.note_put_off(project_id, held)
        if quiet:
            keep = self._settings.unanswered_cells != options.REFUSE
            self._counting.refresh(project_id, quiet, request.count, keep=keep)
        return bool(quiet)

    def _look(self, request: Request) -> quota_counting.States:
        """The usages of the request, and no others of the same names."""
        entries = request.taking.entries
        resources = {one.resource for one in entries}
        users = {one.user_id for one in entries}
        found = self._counting.look(
            request.taking.project_id, resources, users
        )
        keys = {(one.resource, one.user_id) for one in entries}
        return {key: found[key] for key in found if key in keys}


def _refuse_over(
    entries: Collection[_queries.Entry], used: Mapping[_Key, int]
) -> None:
    """Raise OverQuota if an entry does not fit.

    Of a project's total and the user's usage, the one with less room speaks
    for the resource.
    """
    overs: set[str] = set()
    least: dict[str, tuple[float, _queries.Entry]] = {}
    for entry in entries:
        room = entry.room - used[entry.resource, entry.user_id]
        if room < 0:
            overs.add(entry.resource)
        free = _free(entry, used[entry.resource, entry.user_id])
        if entry.resource not in least or free < least[entry.resource][0]:
            least[entry.resource] = free, entry
    if not overs:
        return
    raise exception.OverQuota(
        overs,
        {name: entry.limit for name, (_, entry) in least.items()},
        {
            name: used[name, entry.user_id]
            for name, (_, entry) in least.items()
        },
        {
            name: -1 if entry.limit < 0 else max(0, int(free))
            for name, (free, entry) in least.items()
        },
    )


def _free(entry: _queries.Entry, used: int) -> float:
    return float('inf') if entry.limit < 0 else entry.limit - used
