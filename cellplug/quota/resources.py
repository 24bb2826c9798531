"""What can be limited: the three kinds of resources."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from cellplug import exception
from cellplug.objects import identifiers
from cellplug.objects import quota
from cellplug.quota import amounts

Sync = Callable[[Any, str, str | None], Mapping[str, int] | quota.Counts]
"""Counts what exists: ``sync(context, project_id, user_id)``.

It answers for each resource that names it: what is the user's, or with None
everything of the project, in all cells. The context is aimed at no cell. It
is called with no transaction open and no lock held.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Resource:
    """What every kind has: a name, and a limit where none is set.

    :ivar name: 1 to 255 printable characters.
    :ivar default: units of the resource; -1 means unlimited.
    :ivar option: group and name of an integer option that gives the default,
        read at each use; where its value is None, ``default`` holds. The
        group is ``DEFAULT`` for options without one.
    """

    name: str
    default: int = dataclasses.field(default=-1, kw_only=True)
    option: tuple[str, str] | None = dataclasses.field(
        default=None, kw_only=True
    )

    def __post_init__(self) -> None:
        identifiers.check_id('resource', self.name)
        amounts.check_limit(f'default of {self.name}', self.default)
        if self.option is not None and not _is_option(self.option):
            raise exception.InvalidInput(
                'option', f'{self.option!r} is no pair of group and name'
            )


@dataclasses.dataclass(frozen=True, slots=True)
class ReservableResource(Resource):
    """Its usage is tracked: reserved, then committed or rolled back.

    :ivar sync: counts the truth, see :data:`Sync`. Resources that share the
        function are counted by one call of it.
    :ivar per_project: users have no usage and no limit of their own in it.
    """

    sync: Sync = dataclasses.field(kw_only=True)
    per_project: bool = dataclasses.field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        # Not super(): a dataclass with slots is another class than this cell.
        Resource.__post_init__(self)
        _check_function('sync', self.name, self.sync)


@dataclasses.dataclass(frozen=True, slots=True)
class AbsoluteResource(Resource):
    """Limits a value that a request brings along; nothing is tracked."""


@dataclasses.dataclass(frozen=True, slots=True)
class CountableResource(Resource):
    """Its usage is counted whenever it is checked; nothing is tracked.

    Two requests at once may both pass: what must not be exceeded is a
    :class:`ReservableResource`.

    :ivar count: counts the truth, see :data:`Sync`.
    """

    count: Sync = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        Resource.__post_init__(self)
        _check_function('count', self.name, self.count)


def counter_of(resource: Resource) -> Sync | None:
    """The function that counts the resource, if any does."""
    if isinstance(resource, ReservableResource):
        return resource.sync
    return resource.count if isinstance(resource, CountableResource) else None


def is_per_project(resource: Resource) -> bool:
    """Whether users have nothing of their own in it."""
    return isinstance(resource, ReservableResource) and resource.per_project


def _is_option(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, str) for part in value)
    )


def _check_function(argument: str, name: str, function: Any) -> None:
    if not callable(function):
        raise exception.InvalidInput(
            argument, f'what counts {name} is no function'
        )
