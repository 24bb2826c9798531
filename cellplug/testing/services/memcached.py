"""A private memcached."""

from __future__ import annotations

import socket
from typing import ClassVar

from cellplug.testing.services import base
from cellplug.testing.services import places


class Memcached(base.Service):
    """A private memcached, 64 MB; it forgets everything on restart."""

    title: ClassVar[str] = 'memcached'
    variable: ClassVar[str] = 'CELLPLUG_TEST_MEMCACHED'
    _system_user: ClassVar[str] = 'memcache'

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Name the program that is missing."""
        if not _program():
            return 'memcached is not installed (package memcached)'
        return None

    @property
    def admin_url(self) -> str:
        """The URL ``memcached://host:port``."""
        return f'memcached://{self.host}:{self.port}'

    @property
    def address(self) -> str:
        """What clients want to know: ``host:port``."""
        return f'{self.host}:{self.port}'

    def _prepare(self) -> None:
        """Nothing to prepare."""

    def _command(self) -> list[str]:
        return [
            _program(),
            f'--listen={self.host}',
            f'--port={self.port}',
            '--udp-port=0',
            '--memory-limit=64',
            '--threads=2',
        ]

    def _answers(self) -> bool:
        # Any memcached would answer on this port: compare the process id.
        if self._server is None:
            return False
        try:
            with socket.create_connection((self.host, self.port), 5) as peer:
                peer.sendall(b'stats\r\nquit\r\n')
                answer = peer.makefile('rb').read()
        except OSError:
            return False
        return f'STAT pid {self._server.pid}\r\n'.encode() in answer


def _program() -> str:
    return places.find_program(('memcached',))
