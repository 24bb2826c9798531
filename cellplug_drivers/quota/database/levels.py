"""The levels at which limits are looked for, and what follows from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

from cellplug import db
from cellplug.objects import quota
from cellplug_drivers.quota.database import legacy

Limits = dict[str, quota.Limit]
USER, PROJECT, CLASS, DEFAULT_CLASS = range(len(db.limit_queries.LEVELS))


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """The limits that are set, by resource; absent means the default.

    :ivar project: those of the project's total.
    :ivar user: those of the user; without a user, the project's.
    """

    project: Limits
    user: Limits


def questions(
    project_id: str, user_id: str | None, quota_class: str | None
) -> dict[int, legacy.Question]:
    """What to ask the cells, by level."""
    asked = {
        PROJECT: legacy.Question(
            db.limit_tables.PROJECTS, {'project_id': project_id}
        ),
        DEFAULT_CLASS: legacy.Question(
            db.limit_tables.CLASSES,
            {'class_name': db.limit_queries.DEFAULT_CLASS},
        ),
    }
    if user_id is not None:
        owner = {'project_id': project_id, 'user_id': user_id}
        asked[USER] = legacy.Question(db.limit_tables.USERS, owner)
    if (
        quota_class is not None
        and quota_class != db.limit_queries.DEFAULT_CLASS
    ):
        owner = {'class_name': quota_class}
        asked[CLASS] = legacy.Question(db.limit_tables.CLASSES, owner)
    return asked


def by_resource(answer: legacy.Answer | None) -> dict[str, int]:
    """What the cells say; nothing, if they were not asked."""
    return {} if answer is None else answer.by_resource()


def check_known(
    levels: Sequence[Mapping[str, int]],
    answers: Mapping[int, legacy.Answer],
    resources: Collection[str] | None,
    first: Sequence[int],
) -> None:
    """Raise where a cell that did not answer may have had the limit.

    :param resources: what has to be known; None for everything.
    :param first: the levels from which on it is looked for. The project's
        limits are needed also where the user has his own.
    """
    errors = {
        level: answer.error
        for level, answer in sorted(answers.items())
        if answer.error is not None
    }
    if resources is None:
        for error in errors.values():
            raise error
        return
    for begin in first:
        for resource in sorted(resources):
            for level in range(begin, len(levels)):
                if resource in levels[level]:
                    break
                if level in errors:
                    raise errors[level]


def resolved(levels: Sequence[dict[str, int]]) -> Resolved:
    """The limits in force: of each resource, on the first level with one."""
    user, project, class_, default = (
        named(limits, level) for level, limits in enumerate(levels)
    )
    whole = {**default, **class_, **project}
    return Resolved(whole, {**whole, **user} if user else whole)


def named(limits: dict[str, int], level: int) -> Limits:
    """The limits of one level."""
    source = db.limit_queries.LEVELS[level]
    return {
        resource: quota.Limit(resource, limit, source)
        for resource, limit in limits.items()
    }
