"""The API processes of a lab: started, followed, killed and finished."""

from __future__ import annotations

import collections
import contextlib
import subprocess
import threading
import time
from typing import IO

from cellplug.lab import api_process
from cellplug.lab import directory as lab_directory
from cellplug.lab import errors
from cellplug.lab import processes

_FINISH_TIMEOUT = 60.0
"""Seconds in which the requests under way must have ended."""

_LOOK_EVERY = 0.2
"""Seconds between two looks whether all still live."""


class _Followed:
    """One of them, and what it said since it was started last.

    :ivar doing: the request that it is at, '' if none.
    :ivar at_work: set once a request of it has ended.
    """

    def __init__(self, process: processes.Process, said: _Said) -> None:
        self.process = process
        self._said = said
        self._follow()

    def _follow(self) -> None:
        self.doing = ''
        self.at_work = threading.Event()
        self._thread = threading.Thread(
            target=self._read, args=(self.process.output,), daemon=True
        )
        self._thread.start()

    def _read(self, output: IO[bytes]) -> None:
        for line in output:
            # What was killed may have left half a line.
            if not line.endswith(b'\n'):
                return
            first, *rest = line.decode().split()
            if first == api_process.BEGIN:
                self.doing = rest[0]
            elif first == api_process.END:
                self.doing = ''
                self.at_work.set()
                self._said.note(*rest)

    def kill(self) -> str:
        """Kill it and start it anew; what it was doing."""
        doing = self.wait_killed()
        self.process.restart()
        self._follow()
        return doing

    def wait_killed(self) -> str:
        """Kill it, and read the rest of what it said."""
        self.process.process.kill()
        self._thread.join()
        return self.doing

    def finish(self, seconds: float) -> None:
        """Let it end what it is at.

        :raises LabError: if it does not, or ended in another way.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.process.wait(seconds)
        if self.process.process.returncode != 0:
            self.process.check()
            raise errors.LabError(
                f'{self.process.title} did not end within '
                f'{_FINISH_TIMEOUT:g} s'
            )
        self._thread.join()


class _Said:
    """What all of them said of their requests."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.deleted: list[str] = []

    def note(self, outcome: str, *uuids: str) -> None:
        """A request has ended."""
        with self._condition:
            self.outcomes[outcome] += 1
            self.deleted += uuids
            self._condition.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait for the end of a request, but not for long."""
        with self._condition:
            self._condition.wait(seconds)


class APIProcesses:
    """All of them.

    :param with_workers: each has the workers of all cells in it: where
        messages do not leave a process.
    """

    def __init__(
        self,
        directory: lab_directory.Directory,
        seed: int,
        *,
        with_workers: bool,
    ) -> None:
        self._directory = directory
        self._seed = seed
        self._with_workers = with_workers
        self._said = _Said()
        self._all: dict[str, _Followed] = {}

    @property
    def outcomes(self) -> collections.Counter[str]:
        """How many requests ended how."""
        return self._said.outcomes

    @property
    def deleted(self) -> list[str]:
        """The uuids of instances that were deleted for good."""
        return self._said.deleted

    def start(self, count: int) -> None:
        """Start so many."""
        options = ['--with-workers'] if self._with_workers else []
        for number in range(1, count + 1):
            name = f'api-{number}'
            process = processes.Process(
                f'the API process {name}',
                api_process.__name__,
                (
                    *('--config-file', self._directory.conf),
                    *('--seed', f'{self._seed} {name}', *options),
                ),
                self._directory.file(f'{name}.log'),
            )
            self._all[name] = _Followed(process, self._said)

    @property
    def names(self) -> list[str]:
        """Their names, in order."""
        return list(self._all)

    @property
    def ended(self) -> int:
        """How many requests have ended."""
        return self._said.outcomes.total()

    def wait_for(self, requests: int, name: str | None = None) -> None:
        """Wait until so many have ended.

        :param name: of one that must have ended a request since it was
            started: it is killed in the midst of a request then.
        :raises LabError: if that takes too long, or a process ends.
        """
        deadline = time.monotonic() + processes.START_TIMEOUT
        while self.ended < requests or not self._is_at_work(name):
            self.check()
            if time.monotonic() > deadline:
                raise errors.LabError(
                    'the API processes ended too few requests within '
                    f'{processes.START_TIMEOUT:g} s'
                )
            self._said.wait(_LOOK_EVERY)

    def _is_at_work(self, name: str | None) -> bool:
        return name is None or self._all[name].at_work.is_set()

    def check(self) -> None:
        """Do nothing while all of them live.

        :raises LabError: naming one that ended, and how.
        """
        for one in self._all.values():
            one.process.check()

    def kill(self, name: str) -> str:
        """Kill one and start it anew; the request that it was at."""
        return self._all[name].kill()

    def finish(self) -> None:
        """Have each end its request, and then itself.

        :raises LabError: if one does not.
        """
        for one in self._all.values():
            assert one.process.process.stdin is not None
            one.process.process.stdin.close()
        deadline = time.monotonic() + _FINISH_TIMEOUT
        for one in self._all.values():
            one.finish(max(0, deadline - time.monotonic()))

    def stop(self) -> None:
        """Kill those that are still there. Idempotent."""
        for one in self._all.values():
            one.wait_killed()
            one.process.close()
        self._all = {}
