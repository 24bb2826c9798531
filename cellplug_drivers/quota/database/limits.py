"""The limits of projects, users and classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug import interfaces
from cellplug.objects import quota

Context = cellplug_context.RequestContext
_Limits = dict[str, quota.Limit]
_queries = db.limit_queries


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """The limits that are set, by resource; absent means the default.

    :ivar project: those of the project's total.
    :ivar user: those of the user; without a user, the project's.
    """

    project: _Limits
    user: _Limits


def _look_up(
    context: Context,
    project_id: str,
    user_id: str | None,
    quota_class: str | None,
) -> Any:
    return _queries.look_up(context.session, project_id, user_id, quota_class)


def _of_class(context: Context, quota_class: str) -> dict[str, int]:
    return _queries.of_class(context.session, quota_class)


def _of_users(context: Context, project_id: str) -> dict[str, dict[str, int]]:
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

    :param options: ``[quota_database]``.
    """

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._database = host.database
        single = host.database.api.reader.primary.single.connection
        self._look_up: Callable[..., Any] = single(_look_up)
        self._of_class: Callable[..., dict[str, int]] = single(_of_class)
        self._of_users: Callable[..., dict[str, dict[str, int]]] = single(
            _of_users
        )
        self._write: Callable[..., None] = host.database.retrying(
            host.database.api.writer(_write)
        )

    def resolve(
        self,
        context: Context,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
    ) -> Resolved:
        """The limits of the project, and of the user: one query."""
        found = self._look_up(context, project_id, user_id, quota_class)
        user, project, class_, default = (
            _named(limits, source)
            for limits, source in zip(
                found.levels, _queries.LEVELS, strict=True
            )
        )
        whole = {**default, **class_, **project}
        return Resolved(whole, {**whole, **user} if user else whole)

    def get_limits(
        self,
        context: Context,
        *,
        project_id: str,
        user_id: str | None = None,
        quota_class: str | None = None,
    ) -> _Limits:
        return self.resolve(context, project_id, user_id, quota_class).user

    def get_class_limits(self, context: Context, quota_class: str) -> _Limits:
        is_default = quota_class == _queries.DEFAULT_CLASS
        source = 'default class' if is_default else 'class'
        return _named(self._of_class(context, quota_class), source)

    def get_users_limits(
        self, context: Context, project_id: str
    ) -> dict[str, _Limits]:
        found = self._of_users(context, project_id)
        return {user: _named(limits, 'user') for user, limits in found.items()}

    def set_limits(
        self,
        context: Context,
        limits: Mapping[str, int | None],
        *,
        project_id: str,
        user_id: str | None = None,
    ) -> None:
        if user_id is None:
            self._set(context, 'quotas', (project_id,), limits)
        else:
            owner = (project_id, user_id)
            self._set(context, 'project_user_quotas', owner, limits)

    def set_class_limits(
        self,
        context: Context,
        limits: Mapping[str, int | None],
        *,
        quota_class: str,
    ) -> None:
        self._set(context, 'quota_classes', (quota_class,), limits)

    def _set(
        self,
        context: Context,
        table: str,
        owner: tuple[str, ...],
        limits: Mapping[str, int | None],
    ) -> None:
        if self._database.has_open_api_transaction(context):
            raise exception.TransactionInProgress(
                'limits are set in a transaction of their own, and this '
                'request has one open on the API database; set them before '
                'it begins, or after it has ended'
            )
        own = cellplug_context.InternalContext()
        self._write(own, table, owner, limits)


def _named(limits: dict[str, int], source: str) -> _Limits:
    return {
        resource: quota.Limit(resource, limit, source)
        for resource, limit in limits.items()
    }
