"""The life of a private server, the same for every kind."""

from __future__ import annotations

import abc
import atexit
import contextlib
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from collections.abc import Sequence
from typing import ClassVar

from cellplug import exception
from cellplug.testing.services import places
from cellplug.testing.services import processes
from cellplug.testing.services import sandbox
from cellplug.testing.services import startable

_POLL = 0.03
_PORT_ATTEMPTS = 5
_TAIL_LINES = 20
_PORT_TAKEN = re.compile(r'already in use|eaddrinuse', re.IGNORECASE)


class ServiceError(exception.CellplugError):
    """A private server did not do what it should; its log's tail is in it."""


class ServiceUnavailable(ServiceError):
    """This machine lacks what the server needs; nothing was started."""


class Service(startable.Startable):
    """A private server: start it, break it in every way, stop it.

    Every method is bounded. A server belongs to the process that started it:
    in a forked child, :meth:`stop` does nothing and the other methods raise.
    One instance is not for several threads at once; many instances may run
    side by side.

    :ivar host: the loopback address it listens on.
    :ivar user: its only account, which may do everything.
    :ivar password: made up anew for each instance, never empty.
    """

    start_timeout: float = 60.0
    """Seconds from launching the server until it must answer."""

    _system_user: ClassVar[str]
    _port_count: ClassVar[int] = 1
    _halt_signal: ClassVar[int] = signal.SIGTERM
    _abort_signal: ClassVar[int] = signal.SIGKILL

    def __init__(self) -> None:
        self.host = '127.0.0.1'
        self.user = 'cellplug'
        self.password = secrets.token_hex(12)
        self._owner = os.getpid()
        self._ports: list[int] = []
        self._sandbox: sandbox.Sandbox | None = None
        self._server: subprocess.Popen[bytes] | None = None

    # -- what each kind of server says about itself ------------------------

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Fill the directory; runs once, before the first launch."""

    @abc.abstractmethod
    def _command(self) -> list[str]:
        """The command line that runs the server in the foreground."""

    @abc.abstractmethod
    def _answers(self) -> bool:
        """Whether *this* server serves, not another one on its port."""

    def _environment(self) -> Mapping[str, str]:
        """Variables beyond the few that every server gets."""
        return {}

    def _release(self) -> None:
        """Free what outlives a killed server; nothing, usually."""

    # -- life --------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that clients connect to; 0 unless started."""
        return self._ports[0] if self._ports else 0

    @property
    def directory(self) -> str:
        """Where the server keeps everything; '' unless started."""
        return self._sandbox.directory if self._sandbox else ''

    @property
    def running(self) -> bool:
        """Whether the main process lives (it may be frozen)."""
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers.

        After :meth:`kill` it starts on the same ports and data, after
        :meth:`stop` on new ones.

        :raises ServiceUnavailable: the machine lacks what it needs.
        :raises ServiceError: it is running already, or it ended or stayed
            silent for ``start_timeout`` seconds.
        """
        if self.running:
            raise ServiceError(f'{self.title} is running already')
        if self._sandbox:
            self._launch()
            return
        reason = self.why_unavailable()
        if reason:
            raise ServiceUnavailable(f'{self.title}: {reason}')
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if self._start_anew(attempt == _PORT_ATTEMPTS):
                return

    def stop(self) -> None:
        """End the server at once and remove its data; may be repeated.

        The shutdown is not an orderly one, as nobody is going to read the
        data; :meth:`restart` does that.
        """
        if self._owner != os.getpid() or self._sandbox is None:
            return
        if self._server is not None:
            processes.abort(
                self.directory, self._server.pid, self._abort_signal
            )
        self._reap()
        self._release()
        self._sandbox.remove()
        self._sandbox = None
        self._ports = []
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """Kill every process of the server (SIGKILL); the data stays.

        What it had committed is there after the next :meth:`start`.
        """
        self._own()
        processes.kill(self.directory)
        self._reap()

    def freeze(self) -> None:
        """Stop every process of the server (SIGSTOP).

        The kernel still accepts connections for it: the peer is silent, not
        gone.
        """
        self._own()
        processes.freeze(self.directory)

    def thaw(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        self._own()
        processes.send(self.directory, signal.SIGCONT)

    def restart(self) -> None:
        """Shut down in good order and start again, same ports, same data.

        A killed server is started; a frozen one is thawed first.

        :raises ServiceError: as :meth:`start` does.
        """
        self.thaw()
        if self._server is not None and self.running:
            self._server.send_signal(self._halt_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(self.start_timeout)
        self.kill()
        self._launch()

    # -- the parts of it ---------------------------------------------------

    def _start_anew(self, last_attempt: bool) -> bool:
        """Prepare and launch; False if somebody else took a port."""
        self._owner = os.getpid()
        self._ports = places.choose_ports(self._port_count)
        try:
            identity = places.system_user(self._system_user)
            self._sandbox = sandbox.Sandbox(identity)
        except OSError as exc:
            raise ServiceError(f'{self.title} has no place: {exc}') from exc
        atexit.register(self.stop)
        try:
            self._prepare()
            self._launch()
        except BaseException as exc:
            taken = _PORT_TAKEN.search(self._own().log())
            self.stop()
            if last_attempt or not taken or not isinstance(exc, ServiceError):
                raise
            return False
        return True

    def _launch(self) -> None:
        place = self._own()
        try:
            self._server = place.spawn(
                self._command(), self._environment(), self._abort_signal
            )
        except OSError as exc:
            raise self._error(f'cannot be executed: {exc}') from exc
        deadline = time.monotonic() + self.start_timeout
        while not self._answers():
            if self._server.poll() is not None:
                raise self._error(f'ended with code {self._server.returncode}')
            if time.monotonic() > deadline:
                raise self._error(
                    f'did not answer within {self.start_timeout:g} s'
                )
            time.sleep(_POLL)

    def _run(self, command: Sequence[str]) -> str:
        """Run one of the server's own programs; returns what it prints."""
        place = self._own()
        try:
            return place.run(command, self._environment(), self.start_timeout)
        except (OSError, subprocess.SubprocessError) as exc:
            raise self._error(f'has a failing tool: {exc}') from exc

    def _reap(self) -> None:
        if self._server is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(10)
        self._server = None

    def _own(self) -> sandbox.Sandbox:
        if self._owner != os.getpid() or self._sandbox is None:
            raise ServiceError(f'{self.title} was not started here')
        return self._sandbox

    def _error(self, what: str) -> ServiceError:
        lines = self._own().log().splitlines()[-_TAIL_LINES:]
        tail = '\n'.join(lines) or '(nothing)'
        return ServiceError(f'{self.title} {what}; its log ends:\n{tail}')
