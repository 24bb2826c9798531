"""After a crash: end what will never end by itself, and count anew."""

from __future__ import annotations

import dataclasses
import time

import cellplug
from cellplug.lab import mending
from cellplug.lab import people
from cellplug.lab import quotas
from cellplug.lab import reserving


class Clock:
    """The time, which can be put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._ahead

    def put_forward(self, seconds: float) -> None:
        """Let so much time have passed."""
        self._ahead += seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What was left behind, and is no more.

    :ivar expired: how many reservations.
    :ivar forgotten: the uuids of instances that were mapped to a cell and
        were in none.
    """

    expired: int = 0
    forgotten: tuple[str, ...] = ()


def settle(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    clock: Clock,
) -> Settled:
    """What a service does now and then, for what crashed before that.

    Nobody may be at work on the project: the clock is put forward instead of
    waiting until whatever is under way has ended or never will.

    :raises CellplugError: if a cell does not answer.
    """
    clock.put_forward(reserving.WINDOW + 1)
    expired = router.quotas.expire(context)
    forgotten = mending.forget_half_made(router, context, clock)
    recount(router, context)
    return Settled(expired, tuple(forgotten))


def recount(
    router: cellplug.CellRouter, context: cellplug.RequestContext
) -> None:
    """Count anew what the lab's project and its users use.

    :raises CellplugError: if a cell does not answer.
    """
    if quotas.has_limits(router):
        router.quotas.usage_refresh(context, project_id=people.PROJECT)
