"""The requests of a run, one after the other, timed and looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any
from typing import Protocol

from cellplug import exception
from cellplug.lab import api as lab_api
from cellplug.lab import deployment as lab_deployment
from cellplug.lab import people
from cellplug.lab import plan as lab_plan
from cellplug.lab import quotas

_REBOOT_EVERY = 3


class Progress(Protocol):
    """Tells whoever waits how far it is."""

    def phase(self, title: str, total: int | None = None) -> None:
        """Something else begins; ``total`` steps of it, if known."""

    def step(self) -> None:
        """One step of it is done."""


@dataclasses.dataclass(slots=True)
class Placed:
    """An instance of this run, and what was asked about it.

    :ivar cell_uuid: where the API said it lives.
    :ivar requests: the names of the requests, in order.
    """

    uuid: str
    name: str
    cell_uuid: str
    host: str | None
    state: str
    requests: list[str]
    deleted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for beyond a limit, and what the answer was."""

    user: str
    flavor: str
    overs: list[quotas.Over]


@dataclasses.dataclass(frozen=True, slots=True)
class Latency:
    """How long one kind of request took; times in seconds."""

    request: str
    count: int
    median: float
    p95: float
    longest: float


class Traffic:
    """Sends the requests of one run.

    :ivar placed: the instances it booted, in order.
    :ivar listed: how many instances the list had, those of earlier runs
        included.
    :ivar refused: what was over quota.
    :ivar quotas: limits and usages in the end, as the service sees them; none
        where the driver has no limits.
    :ivar problems: answers that were not what they should be.
    """

    def __init__(
        self, deployment: lab_deployment.Deployment, progress: Progress
    ) -> None:
        self._deployment = deployment
        self._api = lab_api.InstanceAPI(deployment.router)
        self._progress = progress
        self._times: dict[str, list[float]] = {}
        self.placed: list[Placed] = []
        self.listed = 0
        self.refused: list[Refused] = []
        self.quotas: list[quotas.Row] = []
        self.problems: list[str] = []

    def run(self, instances: int) -> None:
        """Boot, show, reboot, delete and list.

        :param instances: how many to boot; one more is too large for any
            cell, and what is beyond the quotas is refused.
        :raises CellplugError: if a request fails.
        """
        router, context = self._deployment.router, self._deployment.context()
        limited = quotas.has_limits(router)
        plan = lab_plan.Plan(instances, limited=limited)
        plan.set_limits(router, context)
        self._boot(plan.boots)
        self._show()
        living = [one for one in self.placed if one.state == 'active']
        # Whole rounds over the cells, so that each gets some.
        cells = len(self._deployment.cells)
        self._reboot(
            [
                one
                for number, one in enumerate(living)
                if number // cells % _REBOOT_EVERY == 0
            ]
        )
        # At most two, and not all there are.
        self._delete(living[max(1, len(living) - 2) :])
        self._list()
        if limited:
            self.quotas = quotas.rows(router, context, people.USERS)

    def latencies(self) -> list[Latency]:
        """How long each kind of request took, in the order of first use."""
        return [_latency(name, t) for name, t in self._times.items()]

    def _boot(self, boots: list[lab_plan.Boot]) -> None:
        self._progress.phase('Booting', len(boots))
        for boot in boots:
            if boot.expected is lab_plan.Expected.REFUSED:
                self._boot_beyond(boot)
            else:
                self._boot_one(boot)
        # The one that no cell could take came before the last.
        self.placed.sort(key=lambda one: one.name)

    def _boot_one(self, boot: lab_plan.Boot) -> None:
        with self._request('boot', boot.user) as context:
            made = self._api.boot(context, boot.name, boot.flavor)
        self.placed.append(
            Placed(
                uuid=made['uuid'],
                name=made['name'],
                cell_uuid=made['cell_uuid'],
                host=made['host'],
                state=made['state'],
                requests=['boot'],
            )
        )

    def _boot_beyond(self, boot: lab_plan.Boot) -> None:
        """Ask for what a limit must refuse."""
        with self._request('refused', boot.user) as context:
            try:
                made = self._api.boot(context, boot.name, boot.flavor)
            except exception.OverQuota as exc:
                self.refused.append(
                    Refused(boot.user, boot.flavor.name, quotas.overs(exc))
                )
                return
        self.problems.append(
            f'boot: {boot.user} got an instance beyond the quota '
            f'({made["uuid"]})'
        )

    def _show(self) -> None:
        """From the uuid alone, as a user would."""
        self._progress.phase('Showing', len(self.placed))
        for one in self.placed:
            with self._request('show') as context:
                shown = self._api.show(context, one.uuid)
            self._compare('show', one, shown)

    def _reboot(self, chosen: list[Placed]) -> None:
        self._progress.phase('Rebooting', len(chosen))
        for one in chosen:
            with self._request('reboot') as context:
                answer = self._api.reboot(context, one.uuid)
            self._compare('reboot', one, answer)

    def _delete(self, chosen: list[Placed]) -> None:
        self._progress.phase('Deleting', len(chosen))
        for one in chosen:
            with self._request('delete') as context:
                self._api.delete(context, one.uuid)
            one.requests.append('delete')
            one.deleted = True
            one.state = 'deleted'

    def _list(self) -> None:
        self._progress.phase('Listing', 1)
        with self._request('list') as context:
            rows = self._api.list(context)
        self.listed = len(rows)
        listed = {row['uuid']: row['cell_uuid'] for row in rows}
        for one in self.placed:
            expected = None if one.deleted else one.cell_uuid
            if listed.get(one.uuid) != expected:
                self.problems.append(
                    f'list: {one.name} ({one.uuid}) was found in '
                    f'{listed.get(one.uuid)}, not in {expected}'
                )

    def _compare(
        self, request: str, one: Placed, answer: dict[str, Any]
    ) -> None:
        one.requests.append(request)
        for key in ('uuid', 'name', 'host', 'state', 'cell_uuid'):
            if answer[key] != getattr(one, key):
                self.problems.append(
                    f'{request}: {one.name} ({one.uuid}) was answered with '
                    f'{key} {answer[key]}, not {getattr(one, key)}'
                )

    @contextlib.contextmanager
    def _request(self, name: str, user: str = people.USER) -> Iterator[Any]:
        """One request: a context of its own, and the time that it takes."""
        self._deployment.workers.check()
        began = time.perf_counter()
        try:
            yield self._deployment.context(user)
        except exception.CellplugError:
            # A worker that died says more than a call without an answer.
            self._deployment.workers.check()
            raise
        self._times.setdefault(name, []).append(time.perf_counter() - began)
        self._progress.step()


def _latency(name: str, times: list[float]) -> Latency:
    ordered = sorted(times)

    def share(part: float) -> float:
        """The time that this part of the requests did not exceed."""
        return ordered[max(0, math.ceil(part * len(ordered)) - 1)]

    return Latency(name, len(ordered), share(0.5), share(0.95), ordered[-1])
