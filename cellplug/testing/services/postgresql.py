"""A private PostgreSQL."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from cellplug.testing.services import databases
from cellplug.testing.services import places

_FOLDERS = ('/usr/lib/postgresql/*/bin', '/usr/pgsql-*/bin')

_SETTINGS = (
    # A commit survives the death of the server, not that of the machine.
    'fsync=off',
    'max_connections=300',
    'shared_buffers=64MB',
    # Files instead of POSIX shared memory: they go with the directory.
    'dynamic_shared_memory_type=mmap',
)


class PostgreSQL(databases.DatabaseServer):
    """A private PostgreSQL; its databases are UTF-8, sorted by code point."""

    title: ClassVar[str] = 'PostgreSQL'
    variable: ClassVar[str] = 'CELLPLUG_TEST_POSTGRESQL'
    _system_user: ClassVar[str] = 'postgres'
    _own_database: ClassVar[str] = 'postgres'
    # SIGTERM would wait for clients to leave.
    _halt_signal: ClassVar[int] = signal.SIGINT
    _abort_signal: ClassVar[int] = signal.SIGQUIT

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Name the program or module that is missing."""
        if not (_program('postgres') and _program('initdb')):
            return 'postgres is not installed (package postgresql)'
        if importlib.util.find_spec('psycopg') is None:
            return (
                'psycopg is not installed (pip install cellplug[postgresql])'
            )
        return None

    def url(self, database: str) -> str:
        """The URL of a database, existing or not."""
        return (
            f'postgresql+psycopg://{self.user}:{self.password}'
            f'@{self.host}:{self.port}/{database}'
        )

    def _prepare(self) -> None:
        password = self._own().write('password', self.password)
        self._run(
            [
                _program('initdb'),
                f'--pgdata={self.directory}/data',
                f'--username={self.user}',
                f'--pwfile={password}',
                '--auth=scram-sha-256',
                '--encoding=UTF8',
                '--locale=C.UTF-8',
                '--no-sync',
            ]
        )

    def _command(self) -> list[str]:
        here = self.directory
        settings = (
            *_SETTINGS,
            'listen_addresses=127.0.0.1',
            f'unix_socket_directories={here}',
            f'port={self.port}',
        )
        command = [_program('postgres'), '-D', f'{here}/data']
        for setting in settings:
            command += ['-c', setting]
        return command

    def _socket(self) -> str:
        return f'.s.PGSQL.{self.port}'

    def _admits(self) -> bool:
        import psycopg  # noqa: PLC0415 - load without a driver

        try:
            psycopg.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                dbname='postgres',
                connect_timeout=5,
            ).close()
        except psycopg.Error:
            return False
        return True

    def _release(self) -> None:
        # A killed postmaster leaves a few bytes of System V shared memory;
        # the seventh line of its pid file holds "key id".
        with contextlib.suppress(OSError, IndexError):
            pid_file = Path(self.directory, 'data', 'postmaster.pid')
            segment = pid_file.read_text().splitlines()[6].split()[1]
            subprocess.run(
                ['ipcrm', '-m', segment],
                stderr=subprocess.DEVNULL,
                timeout=10,
                check=False,
            )


def _program(name: str) -> str:
    return places.find_program((name,), _FOLDERS)
