"""The limits of projects, users and classes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug_drivers.quota.database import legacy
from cellplug_drivers.quota.database import levels

Context = cellplug_context.RequestContext
_ByKey = dict[tuple[str, ...], int]
_queries = db.limit_queries
_tables = db.limit_tables


def _look_up(
    context: Context,
    project_id: str,
    user_id: str | None,
    quota_class: str | None,
    *,
    marks: bool = False,
) -> Any:
    return _queries.look_up(
        context.session, project_id, user_id, quota_class, marks=marks
    )


def _of_class(context: Context, quota_class: str) -> _ByKey:
    return _queries.of_class(context.session, quota_class)


def _of_users(context: Context, project_id: str) -> _ByKey:
    return _queries.of_users(context.session, project_id)


def _write(
    context: Context,
    table: str,
    owner: Sequence[str],
    limits: Mapping[str, int | None],
) -> None:
    _queries.write(context.session, table, owner, limits)


class Limits:
    """Reads and writes limits; see :class:`.interfaces.QuotaDriver`.

    What the API database does not name is read in the cells of
    ``fallback_cells``, item by item and level by level: a limit of the user's
    in a cell comes before one of the project's in the API database.

    A limit on its way from a cell to the API database is in both, or in one
    of them; so the cells are asked first, and the API database again after
    them.

    :param options: ``[quota_database]``.
    """

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._database = host.database
        self._fallback = legacy.Fallback(options, host)
        single = host.database.api.reader.primary.single.connection
        self._look_up: Callable[..., Any] = single(_look_up)
        self._of_class: Callable[..., _ByKey] = single(_of_class)
        self._of_users: Callable[..., _ByKey] = single(_of_users)
        self._write: Callable[..., None] = host.database.retrying(
            host.database.api.writer(_write)
        )

    @property
    def may_ask_cells(self) -> bool:
        """Whether cells are named whose tables may not be empty yet."""
        return bool(self._fallback.cells)

    def resolve(
        self,
        context: Context,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
        resources: Collection[str] | None = None,
    ) -> levels.Resolved:
        """The limits of the project, and of the user: one query.

        Until the cells' tables are known to be empty, they are asked as well.

        :param resources: what has to be known; None for everything.
        :raises CellUnavailable: if one of those may have a limit in a cell
            that does not answer.
        """
        return self._resolve(
            context, project_id, user_id, quota_class, resources
        )

    def _resolve(
        self,
        context: Context,
        project_id: str,
        user_id: str | None,
        quota_class: str | None,
        resources: Collection[str] | None,
        *,
        first: Sequence[int] = (levels.USER, levels.PROJECT),
    ) -> levels.Resolved:
        """The limits, known as far as they count from these levels on."""
        who = (project_id, user_id, quota_class)
        if not self._fallback.cells:
            return levels.resolved(self._look_up(context, *who).levels)
        found = self._look_up(context, *who, marks=True)
        questions = levels.questions(*who)
        replies = self._fallback.ask(
            context, found.empty, list(questions.values())
        )
        answers = dict(zip(questions, replies, strict=True))
        if not any(answer.asked for answer in answers.values()):
            return levels.resolved(found.levels)
        again = self._look_up(context, *who)
        merged = tuple(
            {**levels.by_resource(answers.get(level)), **before, **now}
            for level, (before, now) in enumerate(
                zip(found.levels, again.levels, strict=True)
            )
        )
        levels.check_known(merged, answers, resources, first)
        return levels.resolved(merged)

    def get_limits(
        self,
        context: Context,
        *,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
        resources: Collection[str] | None = None,
    ) -> levels.Limits:
        """See :class:`.interfaces.QuotaDriver`."""
        who = (project_id, user_id, quota_class)
        # The project's own are not asked for where the user has some.
        return self._resolve(
            context, *who, resources, first=(levels.USER,)
        ).user

    def get_class_limits(
        self, context: Context, quota_class: str
    ) -> levels.Limits:
        """See :class:`.interfaces.QuotaDriver`."""
        found = self._merged(
            context,
            legacy.Question(_tables.CLASSES, {'class_name': quota_class}),
            lambda: self._of_class(context, quota_class),
        )
        is_default = quota_class == _queries.DEFAULT_CLASS
        level = levels.DEFAULT_CLASS if is_default else levels.CLASS
        return levels.named(
            {key[0]: limit for key, limit in found.items()}, level
        )

    def get_users_limits(
        self, context: Context, project_id: str
    ) -> dict[str, levels.Limits]:
        """See :class:`.interfaces.QuotaDriver`."""
        found = self._merged(
            context,
            legacy.Question(_tables.USERS, {'project_id': project_id}),
            lambda: self._of_users(context, project_id),
        )
        by_user: dict[str, dict[str, int]] = {}
        for (user, resource), limit in found.items():
            by_user.setdefault(user, {})[resource] = limit
        return {
            user: levels.named(limits, levels.USER)
            for user, limits in by_user.items()
        }

    def _merged(
        self,
        context: Context,
        question: legacy.Question,
        read: Callable[[], _ByKey],
    ) -> _ByKey:
        """What stands in the API database, and else in a cell; by key."""
        if not self._fallback.cells:
            return read()
        marks = self._fallback.marks(context)
        before = read()
        (answer,) = self._fallback.ask(context, marks, [question])
        if answer.error is not None:
            raise answer.error
        if not answer.asked:
            return before
        return {**answer.limits, **before, **read()}

    def set_limits(
        self,
        context: Context,
        limits: Mapping[str, int | None],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        """See :class:`.interfaces.QuotaDriver`.

        Set in the API database, which comes before the cells. What is removed
        is removed in the cells first: it would rise again otherwise.
        """
        if user_id is None:
            owner = {'project_id': project_id}
            self._set(context, _tables.PROJECTS, owner, limits)
        else:
            owner = {'project_id': project_id, 'user_id': user_id}
            self._set(context, _tables.USERS, owner, limits)

    def set_class_limits(
        self,
        context: Context,
        limits: Mapping[str, int | None],
        *,
        quota_class: str,
    ) -> None:
        """See :class:`.interfaces.QuotaDriver`."""
        owner = {'class_name': quota_class}
        self._set(context, _tables.CLASSES, owner, limits)

    def _set(
        self,
        context: Context,
        table: str,
        owner: Mapping[str, str],
        limits: Mapping[str, int | None],
    ) -> None:
        if self._database.has_open_api_transaction(context):
            raise exception.TransactionInProgress(
                'limits are set in a transaction of their own, and this '
                'request has one open on the API database; set them before '
                'it begins, or after it has ended'
            )
        removed = {name for name, limit in limits.items() if limit is None}
        if removed:
            self._fallback.remove(table, owner, removed)
        own = cellplug_context.InternalContext()
        self._write(own, table, tuple(owner.values()), limits)
