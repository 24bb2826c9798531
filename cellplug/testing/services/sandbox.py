"""One server's directory, the processes in it, and who cleans up."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellplug.testing.services import places
from cellplug.testing.services import processes


class Sandbox:
    """A temporary directory in which one server runs as its own user.

    A watchdog beside it ends the server and removes the directory when
    :meth:`remove` says so or when this process is gone, however it went.

    :param identity: whom to run as; None: this user.
    :ivar directory: its absolute path.
    :raises OSError: there is no room for it, or the watchdog cannot be
        executed.
    """

    def __init__(self, identity: pwd.struct_passwd | None) -> None:
        self._identity = identity
        self.directory = places.make_directory(identity)
        self._log = Path(self.directory, 'server.log')
        try:
            self._watchdog = self._watch()
        except OSError:
            os.rmdir(self.directory)
            raise

    def write(self, name: str, text: str) -> str:
        """Write a file that only the server's user may read.

        :returns: its absolute path.
        """
        path = Path(self.directory, name)
        path.touch(mode=0o600)
        path.write_text(text)
        if self._identity:
            os.chown(path, self._identity.pw_uid, self._identity.pw_gid)
        return str(path)

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        timeout: float,
    ) -> str:
        """Run a helper program to its end.

        :param timeout: in seconds.
        :returns: what it wrote to standard output.
        :raises OSError: it could not be executed.
        :raises subprocess.SubprocessError: it failed or took too long.
        """
        with self._log.open('ab') as log:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=timeout,
                check=True,
                **self._options(environment),
            )
        output: str = done.stdout.decode(errors='replace')
        return output

    def spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        abort_signal: int,
    ) -> subprocess.Popen[bytes]:
        """Start the server.

        :param abort_signal: what the watchdog ends it with.
        :raises OSError: it could not be executed.
        """
        with self._log.open('ab') as log:
            server = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._options(environment),
            )
        self._tell(f'{server.pid} {abort_signal}')
        return server

    def log(self) -> str:
        """All that the server and its helpers printed so far."""
        try:
            return self._log.read_text(errors='replace')
        except OSError:
            return ''

    def remove(self) -> None:
        """Kill what is left in the directory and remove it."""
        self._tell('end')
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._watchdog.wait(20)
        with contextlib.suppress(OSError):
            if self._watchdog.stdin is not None:
                self._watchdog.stdin.close()

    def _watch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, '-I', '-S', processes.__file__, self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd='/',
            start_new_session=True,
        )

    def _tell(self, line: str) -> None:
        if self._watchdog.stdin is not None:
            with contextlib.suppress(OSError):
                self._watchdog.stdin.write(f'{line}\n'.encode())
                self._watchdog.stdin.flush()

    def _options(self, environment: Mapping[str, str]) -> dict[str, Any]:
        # Nothing is inherited: PGHOST, MYSQL_HOME or RABBITMQ_NODENAME of the
        # caller must not reach a private server.
        options: dict[str, Any] = {
            'stdin': subprocess.DEVNULL,
            'cwd': self.directory,
            'env': {
                'PATH': f'{os.defpath}:/usr/sbin:/sbin',
                'HOME': self.directory,
                'TMPDIR': self.directory,
                'LANG': 'C.UTF-8',
                processes.MARK: self.directory,
                **environment,
            },
        }
        if self._identity:
            options['user'] = self._identity.pw_uid
            options['group'] = self._identity.pw_gid
            options['extra_groups'] = []
        return options
