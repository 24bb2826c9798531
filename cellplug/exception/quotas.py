"""Limits and reservations."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping

from cellplug.exception.arguments import InvalidInput
from cellplug.exception.root import CellplugError


class OverQuota(CellplugError):
    """The request would exceed a limit; nothing was reserved.

    :ivar overs: the resources over their limit, sorted.
    :ivar limits: the limit in force, by resource; -1 is unlimited.
    :ivar usages: ``in_use + reserved``, by resource.
    :ivar headroom: how much could still be had, by resource.
    """

    def __init__(
        self,
        overs: Iterable[str],
        limits: Mapping[str, int],
        usages: Mapping[str, int],
        headroom: Mapping[str, int],
    ) -> None:
        self.overs = sorted(overs)
        self.limits = dict(limits)
        self.usages = dict(usages)
        self.headroom = dict(headroom)
        each = ', '.join(map(self._told, self.overs))
        super().__init__(f'over quota for: {each}')

    def _told(self, name: str) -> str:
        known = {
            'limit': self.limits.get(name),
            'used': self.usages.get(name),
            'free': self.headroom.get(name),
        }
        told = [f'{k} {n}' for k, n in known.items() if n is not None]
        return f'{name} ({", ".join(told)})' if told else name


class QuotaResourceUnknown(InvalidInput):
    """No resource of this name is registered; nothing was written.

    :ivar resources: all the names that are unknown, sorted.
    """

    def __init__(self, resources: Iterable[str]) -> None:
        self.resources = sorted(resources)
        super().__init__(
            'resource', f'{", ".join(self.resources)} is not registered'
        )


class QuotaResourceWrongKind(InvalidInput):
    """These resources cannot be used for this call; nothing was written.

    :ivar resources: all the names that are of another kind, sorted.
    :ivar wanted: the kind that the call is for.
    """

    def __init__(self, resources: Iterable[str], wanted: str) -> None:
        self.resources = sorted(resources)
        super().__init__(
            'resource', f'{", ".join(self.resources)} is not {wanted}'
        )
        self.wanted = wanted


class LimitNotSettable(InvalidInput):
    """A limit below what is used, or beyond what a project leaves its user.

    :ivar minimum: the least limit that can be set without force.
    :ivar maximum: the greatest; -1 for no maximum.
    """

    def __init__(
        self, resource: str, limit: int, minimum: int, maximum: int
    ) -> None:
        if 0 <= limit < minimum:
            why = (
                f"at least {minimum}: what is used, or the sum of its users' "
                'limits'
            )
        else:
            why = f"at most {maximum}: what the project's other users leave"
        super().__init__(
            resource, f'a limit of {limit} cannot be set without force: {why}'
        )
        self.resource = resource
        self.limit = limit
        self.minimum = minimum
        self.maximum = maximum


class CountIncomplete(CellplugError):
    """A usage had to be counted, and not every cell answered.

    :ivar resources: what was to be counted, sorted.
    :ivar missing: the cells that did not answer, by name, and why.
    """

    def __init__(
        self, resources: Iterable[str], missing: Mapping[str, str]
    ) -> None:
        self.resources = sorted(resources)
        self.missing = dict(missing)
        cells = '; '.join(f'{name}: {why}' for name, why in missing.items())
        super().__init__(
            f'{", ".join(self.resources)} cannot be counted while a cell '
            f'does not answer ({cells})'
        )


class ReservationNotFound(CellplugError):
    """The reservation ended before: committed, rolled back or expired."""

    def __init__(self, handle: str) -> None:
        super().__init__(f'reservation {handle} does not exist any more')
        self.handle = handle
