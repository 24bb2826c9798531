"""What a run will ask for, and the quotas that this just fits into."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

import cellplug
from cellplug.lab import flavors
from cellplug.lab import people
from cellplug.lab import quotas

_GUESTS = (2, 6)
"""Which of the instances are the guest's, as long as one more follows."""


class Expected(enum.Enum):
    """What should come of asking for an instance."""

    ACTIVE = 'active'
    """A worker makes it."""

    ERROR = 'error'
    """The quotas admit it, and no cell can take it."""

    REFUSED = 'refused'
    """It is over quota."""


@dataclasses.dataclass(frozen=True, slots=True)
class Boot:
    """An instance to be asked for."""

    name: str
    user: str
    flavor: flavors.Flavor
    expected: Expected = Expected.ACTIVE


class Plan:
    """The boots of one run.

    :ivar boots: what is asked for, in order.
    :param instances: how many are to be made.
    :param limited: whether there are limits that refuse anything.
    """

    def __init__(self, instances: int, *, limited: bool) -> None:
        self._fitting = _fitting(instances)
        self._limited = limited
        self.boots = list(self._ordered(f'vm-{instances + 1}'))

    def _ordered(self, last_name: str) -> Iterator[Boot]:
        """With those that will fail in between.

        The guest asks for one more while the project has room: its own limit
        refuses that. The one that no cell can take comes just before the
        last that fits, which fits only if the former was rolled back. In the
        end the project is full, and one more is refused.
        """
        for boot in self._fitting:
            if boot is self._fitting[-1]:
                if self._limited:
                    yield _one_more(people.GUEST, flavors.FLAVORS[0])
                yield Boot(
                    last_name, people.USER, flavors.TOO_LARGE, Expected.ERROR
                )
            yield boot
        if self._limited:
            yield _one_more(people.USER, flavors.FLAVORS[-1])

    def _guests(self) -> int:
        return sum(boot.user == people.GUEST for boot in self._fitting)

    def set_limits(
        self, router: cellplug.CellRouter, context: cellplug.RequestContext
    ) -> None:
        """Set limits that just admit what fits, on top of what there is.

        The project may have as many instances and cores as it will have in
        the end. Of memory there is enough for the one that is too large as
        well, when it comes.
        """
        if self._limited:
            room = quotas.total(boot.flavor for boot in self._fitting)
            last = self._fitting[-1].flavor
            room['memory_mb'] += flavors.TOO_LARGE.memory_mb - last.memory_mb
            quotas.make_room(
                router, context, room, {people.GUEST: self._guests()}
            )


def _one_more(user: str, flavor: flavors.Flavor) -> Boot:
    return Boot('one more', user, flavor, Expected.REFUSED)


def _fitting(instances: int) -> list[Boot]:
    width = len(str(instances + 1))
    return [
        Boot(
            f'vm-{number:0{width}}',
            people.GUEST
            if number in _GUESTS and number < instances
            else people.USER,
            flavors.FLAVORS[number % len(flavors.FLAVORS)],
        )
        for number in range(1, instances + 1)
    ]
