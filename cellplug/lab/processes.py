"""Processes of the lab: started side by side, watched, and all of them ended.

Each has a session of its own, so that a Ctrl-C on the terminal reaches the lab
alone, which then ends them; and a pipe whose end it notices, so that it does
not outlive the lab either if that is killed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from cellplug.lab import errors

READY = 'ready'
"""The line that a process prints once it works."""

START_TIMEOUT = 60.0
"""Seconds until a process that was started must work."""

STOP_TIMEOUT = 20.0
"""Seconds that processes have to end by themselves."""


class Process:
    """A Python program in a process of its own.

    :ivar title: for people: what it is.
    :param module: the program.
    """

    def __init__(
        self,
        title: str,
        module: str,
        arguments: Sequence[str],
        log_file: str,
    ) -> None:
        self.title = title
        self._arguments = (sys.executable, '-P', '-m', module, *arguments)
        self._errors = f'{module.rpartition(".")[-1]}: '
        self._log_file = Path(log_file)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._is_ready = False
        with self._log_file.open('ab') as log:
            return subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    @property
    def output(self) -> IO[bytes]:
        """What it prints."""
        assert self.process.stdout is not None
        return self.process.stdout

    def restart(self) -> None:
        """End it as a crash would, and start it anew."""
        self.close()
        self.process = self._start()

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
            f'{self.title} (process {self.process.pid}) {how}'
            + (f': {last}' if last else '')
        )

    def _last_words(self) -> str:
        """Its own error, else whatever it wrote last."""
        with contextlib.suppress(OSError):
            lines = self._log_file.read_text(errors='replace').split('\n')
            said = [line.strip() for line in lines if line.strip()]
            own = [line for line in said if line.startswith(self._errors)]
            return (own or said or [''])[-1].removeprefix(self._errors)
        return ''

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it works."""
        return self._is_ready

    def read(self) -> None:
        """Read what it printed; for when there is something to read."""
        line = os.read(self.output.fileno(), 64)
        if not line:
            # It closed its output, so it is about to end, or did.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
            self.check()
        self._is_ready = self._is_ready or READY in line.decode()

    def close(self) -> None:
        """Kill it if it is still there, and let go of its pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def wait_until_ready(several: Iterable[Process]) -> None:
    """Wait until each of them works.

    :raises LabError: if one ends, or stays silent for :data:`START_TIMEOUT`.
    """
    deadline = time.monotonic() + START_TIMEOUT
    with selectors.DefaultSelector() as selector:
        for one in several:
            if not one.is_ready:
                selector.register(one.output, selectors.EVENT_READ, one)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise _silent(k.data for k in selector.get_map().values())
            for key, _ in selector.select(left):
                key.data.read()
                if key.data.is_ready:
                    selector.unregister(key.fileobj)


def stop(several: Sequence[Process]) -> None:
    """Ask all of them to end, at once; kill those that do not; reap them."""
    for one in several:
        one.process.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT
    for one in several:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(max(0, deadline - time.monotonic()))
    for one in several:
        one.close()


def _silent(several: Iterable[Process]) -> errors.LabError:
    titles = ', '.join(sorted(one.title for one in several))
    return errors.LabError(f'no answer within {START_TIMEOUT:g} s of {titles}')
