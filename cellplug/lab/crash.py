"""A run in which processes are killed at random, and the books afterwards."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import random
import time
from collections.abc import Callable
from collections.abc import Iterator

from cellplug.lab import api_processes
from cellplug.lab import check as lab_check
from cellplug.lab import deployment as lab_deployment
from cellplug.lab import directory as lab_directory
from cellplug.lab import people
from cellplug.lab import processes
from cellplug.lab import quotas
from cellplug.lab import sampling
from cellplug.lab import settling
from cellplug.lab import traffic

KILLS = 6
"""How many processes are killed in a run."""

API_PROCESSES = 3

_REQUESTS = (5, 15)
"""How many requests end between two kills: from, to."""

_DELAY = 0.05
"""Seconds, at most, from the end of one request into those under way."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kill:
    """A process that was killed.

    :ivar process: what it was, for people.
    :ivar seconds: when, since requests flow.
    :ivar doing: the request that it was at; '' if that is not known.
    """

    process: str
    seconds: float
    doing: str


@dataclasses.dataclass(frozen=True, slots=True)
class Crash:
    """What came of it.

    :ivar seed: gives the same choices again.
    :ivar requests: how many of them ended how; those of killed processes
        that had not ended are left out.
    :ivar deleted: the uuids of what was deleted for good.
    :ivar samples: how often the books were read while requests flowed.
    :ivar quotas: limits and usages in the end, as the service sees them.
    :ivar before: what a check finds when all processes have ended.
    :ivar settled: what was left behind.
    :ivar problems: what may not be, even while processes are killed.
    """

    seed: int
    kills: list[Kill]
    requests: collections.Counter[str]
    deleted: list[str]
    samples: int
    quotas: list[quotas.Row]
    before: lab_check.Outcome
    settled: settling.Settled
    problems: list[str]


class Crashing:
    """Lets requests flow and kills who works on them.

    :param check: looks into every database, for what was deleted.
    """

    def __init__(
        self,
        deployment: lab_deployment.Deployment,
        directory: lab_directory.Directory,
        progress: traffic.Progress,
        check: Callable[[list[str]], lab_check.Outcome],
    ) -> None:
        self._deployment = deployment
        self._directory = directory
        self._progress = progress
        self._check = check

    def run(self, instances: int, seed: int, deleted: list[str]) -> Crash:
        """Do it, and have the books settled in the end.

        :param instances: how many the project may have more.
        :param deleted: what was deleted for good before; what is deleted now
            is added.
        :raises LabError: if a process ends that nobody killed.
        """
        router, context = self._deployment.router, self._deployment.context()
        limits = quotas.make_room_for(router, context, instances)
        with contextlib.ExitStack() as stack:
            sampler = stack.enter_context(
                sampling.sampling(self._directory, limits)
            )
            apis = stack.enter_context(self._apis(seed))
            kills = self._kill(apis, random.Random(seed))
            self._progress.phase('Letting the others finish')
            apis.finish()
        self._deployment.workers.stop()
        deleted += apis.deleted
        self._progress.phase('Looking at what was left behind')
        before = self._check(deleted)
        self._progress.phase('Settling the books')
        settled = self._deployment.settle()
        deleted += settled.forgotten
        return Crash(
            seed=seed,
            kills=kills,
            requests=apis.outcomes,
            deleted=apis.deleted,
            samples=sampler.samples,
            quotas=limits and quotas.rows(router, context, people.USERS),
            before=before,
            settled=settled,
            problems=sampler.problems,
        )

    @contextlib.contextmanager
    def _apis(self, seed: int) -> Iterator[api_processes.APIProcesses]:
        workers = self._deployment.workers.by_cell
        self._progress.phase(f'Starting {API_PROCESSES} API processes')
        apis = api_processes.APIProcesses(
            self._directory, seed, with_workers=not workers
        )
        try:
            apis.start(API_PROCESSES)
            yield apis
        finally:
            apis.stop()

    def _kill(
        self, apis: api_processes.APIProcesses, dice: random.Random
    ) -> list[Kill]:
        """Kill API processes and workers in turn, whichever it may be."""
        self._progress.phase('Killing', KILLS)
        workers = self._deployment.workers.by_cell
        began = time.monotonic()
        kills: list[Kill] = []
        names: list[str] = []
        for turn in itertools.islice(itertools.cycle([True, False]), KILLS):
            requests = apis.ended + dice.randint(*_REQUESTS)
            delay = dice.uniform(0, _DELAY)
            if turn or not workers:
                name = _another(dice, apis.names, names)
                apis.wait_for(requests, name)
                time.sleep(delay)
                doing = apis.kill(name)
            else:
                name, doing = _another(dice, sorted(workers), names), ''
                apis.wait_for(requests)
                # One that has been killed before may still be starting.
                processes.wait_until_ready([workers[name]])
                time.sleep(delay)
                workers[name].restart()
            names.append(name)
            self._deployment.workers.check()
            title = workers[name].title if name in workers else name
            kills.append(Kill(title, time.monotonic() - began, doing))
            self._progress.step()
        return kills


def _another(dice: random.Random, names: list[str], killed: list[str]) -> str:
    """Any of them, but those just killed: they are still starting."""
    return dice.choice([n for n in names if n not in killed[-2:]] or names)
