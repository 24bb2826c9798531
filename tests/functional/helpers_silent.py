"""Servers that do not answer, each in its own way."""

from __future__ import annotations

import socket
import threading

import fixtures

from cellplug.testing.services import places

GREETING = (
    b'\x0a11.4.0-MariaDB\0'
    b'\x01\0\0\0'  # the connection's number
    b'saltsalt\0'
    b'\x00\xaa'  # PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, and TLS
    b'\x2d\x02\0'
    b'\x08\0'  # PLUGIN_AUTH
    b'\x15' + bytes(10) + b'saltsaltsalt\0' + b'mysql_native_password\0'
)
"""What a MySQL server says first, of one that can do TLS."""


class SilentServer(fixtures.Fixture):
    """A port that accepts connections, and never says a word.

    :param greeting: a packet that is said all the same, to begin with.

    :ivar port: on 127.0.0.1.
    :ivar accepted: how many connections were accepted so far.
    """

    def __init__(self, greeting=b''):
        super().__init__()
        self._greeting = greeting

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
                accepted = self._listener.accept()[0]
            except OSError:
                return
            self._accepted.append(accepted)
            if self._greeting:
                length = len(self._greeting).to_bytes(3, 'little')
                accepted.sendall(length + b'\0' + self._greeting)

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
