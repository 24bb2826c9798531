"""The quotas' books, read for the check: what is kept beside what is there.

Like the check, of which it is a part, it shares no code with what it looks
at: plain SQL, on connections that the check opened.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping

import sqlalchemy as sa

RESOURCES = ('instances', 'cores', 'memory_mb')

_USAGES = sa.text(
    'SELECT project_id, user_id, resource, in_use, reserved FROM quota_usages'
)
_RESERVATIONS = sa.text('SELECT COUNT(DISTINCT uuid) FROM reservations')
_THERE = sa.text(
    'SELECT project_id, user_id, COUNT(*), SUM(cores), SUM(memory_mb)'
    " FROM lab_instances WHERE state <> 'error'"
    ' GROUP BY project_id, user_id'
)

Key = tuple[str, str, str]
"""Project, user ('' for the project's total) and resource."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What a usage says."""

    in_use: int
    reserved: int


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One usage, and the truth about it, in units of the resource.

    :ivar user: '' for the project's total.
    :ivar counted: what all cells hold.
    """

    project: str
    user: str
    resource: str
    in_use: int
    reserved: int
    counted: int

    @property
    def is_balanced(self) -> bool:
        """Whether it says what is there, and nothing is under way."""
        return self.in_use == self.counted and self.reserved == 0

    def problems(self) -> Iterable[str]:
        """A line for each thing that is wrong with it."""
        whose = f'project {self.project}'
        if self.user:
            whose = f'user {self.user} of {whose}'
        if self.in_use != self.counted:
            yield (
                f'quota of {whose}: {self.resource} in use are {self.in_use}, '
                f'and the cells hold {self.counted}'
            )
        if self.reserved:
            yield (
                f'quota of {whose}: {self.resource} reserved are '
                f'{self.reserved}, and nothing is under way'
            )


def kept(api: sa.Connection) -> dict[Key, Kept]:
    """All usages that the API database has of the lab's resources."""
    return {
        (project, user, resource): Kept(int(in_use), int(reserved))
        for project, user, resource, in_use, reserved in api.execute(_USAGES)
        if resource in RESOURCES
    }


def reservations(api: sa.Connection) -> int:
    """How many reservations have not ended."""
    return int(api.execute(_RESERVATIONS).scalar_one())


def there(cell: sa.Connection) -> collections.Counter[Key]:
    """What the instances in a cell use; those in error use nothing."""
    found: collections.Counter[Key] = collections.Counter()
    for project, user, *amounts in cell.execute(_THERE):
        for resource, amount in zip(RESOURCES, amounts, strict=True):
            for whose in ('', user):
                found[project, whose, resource] += int(amount)
    return found


def compared(
    usages: Mapping[Key, Kept], counted: Mapping[Key, int]
) -> list[Entry]:
    """Each usage beside what is there.

    What is there without a usage is right as well: it is counted when it is
    first needed.
    """
    order = {resource: n for n, resource in enumerate(RESOURCES)}
    return [
        Entry(*key, one.in_use, one.reserved, counted.get(key, 0))
        for key, one in sorted(
            usages.items(), key=lambda item: (*item[0][:2], order[item[0][2]])
        )
    ]
