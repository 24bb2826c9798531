"""Servers that do not answer, each in its own way."""

from __future__ import annotations

import socket
import threading

import fixtures

from cellplug.testing.services import places


class SilentServer(fixtures.Fixture):
    """A port that accepts connections, and never says a word.

    :ivar port: on 127.0.0.1.
    :ivar accepted: how many connections were accepted so far.
    """

    def _setUp(self):
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._accepted = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        self.addCleanup(self._close)

    @property
    def accepted(self):
        return len(self._accepted)

    def _accept(self):
        while True:
            try:
                self._accepted.append(self._listener.accept()[0])
            except OSError:
                return

    def _close(self):
        # A mere close would leave the thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self._accepted:
            connection.close()


def free_port():
    """A port on which nobody listens."""
    return places.choose_ports(1)[0]
