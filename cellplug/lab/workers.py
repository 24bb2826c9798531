"""Worker processes: started side by side, watched, and all of them ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from cellplug.lab import errors
from cellplug.lab import worker

START_TIMEOUT = 60.0
"""Seconds until a worker that was started must answer."""

STOP_TIMEOUT = 20.0
"""Seconds that workers have to end by themselves."""


class WorkerProcess:
    """The worker of one cell, in a process of its own.

    It has a session of its own, so that a Ctrl-C on the terminal reaches the
    lab alone, which then ends its workers; and a pipe whose end it notices,
    so that it does not outlive the lab either if that is killed.

    :ivar cell: the cell's name.
    :param find_cell: the cell is found by its name, in the configuration;
        else it is the process's own.
    """

    def __init__(
        self,
        cell: str,
        config_file: str,
        log_file: str,
        *,
        find_cell: bool = False,
    ) -> None:
        self.cell = cell
        which = ('--cell', cell) if find_cell else ()
        self._log_file = Path(log_file)
        with self._log_file.open('ab') as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, '-P', '-m', 'cellplug.lab.worker'),
                    *('--config-file', config_file),
                    *('--host', f'worker-{cell}', '--stop-on-eof'),
                    *which,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def check(self) -> None:
        """Do nothing while it lives.

        :raises LabError: saying how it ended.
        """
        code = self.process.poll()
        if code is None:
            return
        how = f'ended with code {code}'
        if code < 0:
            how = f'was ended by {signal.Signals(-code).name}'
        last = self._last_words()
        raise errors.LabError(
            f'the worker of {self.cell} (process {self.process.pid}) {how}'
            + (f': {last}' if last else '')
        )

    def _last_words(self) -> str:
        """Its own error, else whatever it wrote last."""
        with contextlib.suppress(OSError):
            lines = self._log_file.read_text(errors='replace').split('\n')
            said = [line.strip() for line in lines if line.strip()]
            own = [line for line in said if line.startswith('worker: ')]
            return (own or said or [''])[-1].removeprefix('worker: ')
        return ''

    def is_ready(self) -> bool:
        """Read what it printed; for when there is something to read."""
        out = self.process.stdout
        assert out is not None
        line = os.read(out.fileno(), 64)
        if not line:
            # It closed its output, so it is about to end, or did.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
            self.check()
        return worker.READY in line.decode()

    def close(self) -> None:
        """Kill it if it is still there, and let go of its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Workers:
    """The workers of all cells."""

    def __init__(self) -> None:
        self._all: list[WorkerProcess] = []

    def start(
        self,
        cell: str,
        config_file: str,
        log_file: str,
        *,
        find_cell: bool = False,
    ) -> None:
        """Start one; :meth:`wait` for all of them afterwards."""
        self._all.append(
            WorkerProcess(cell, config_file, log_file, find_cell=find_cell)
        )

    def wait(self) -> None:
        """Wait until every worker answers.

        :raises LabError: if one ends, or stays silent for
            :data:`START_TIMEOUT`.
        """
        deadline = time.monotonic() + START_TIMEOUT
        with selectors.DefaultSelector() as selector:
            for one in self._all:
                assert one.process.stdout is not None
                selector.register(one.process.stdout, 1, one)
            while selector.get_map():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise _silent(k.data for k in selector.get_map().values())
                for key, _ in selector.select(left):
                    if key.data.is_ready():
                        selector.unregister(key.fileobj)

    def check(self) -> None:
        """Do nothing while all of them live.

        :raises LabError: naming one that ended, and how.
        """
        for one in self._all:
            one.check()

    def stop(self) -> None:
        """End them all, at once, and reap them. Idempotent."""
        stopping, self._all = self._all, []
        for one in stopping:
            one.process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        for one in stopping:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0, deadline - time.monotonic()))
        for one in stopping:
            one.close()


def _silent(workers: Iterable[WorkerProcess]) -> errors.LabError:
    names = ', '.join(sorted(one.cell for one in workers))
    return errors.LabError(
        f'no answer within {START_TIMEOUT:g} s from the workers of: {names}'
    )
