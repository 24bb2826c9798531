"""What makes a MariaDB look read-only to those behind a proxy.

A server that runs with ``--read-only`` refuses statements that write, with
error 1290, and answers all others. A private server could be switched as a
whole only: here a single cell's clients are told so, in the server's words
and in its protocol, and their writes do not reach it.
"""

from __future__ import annotations

import re

_HEADER = 4
"""Bytes before each packet: its length (3), and its number (1)."""

_QUERY = 3
_WRITES = re.compile(
    rb'\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP|TRUNCATE)\b',
    re.IGNORECASE,
)
_REFUSAL = (
    b'\xff\x0a\x05#HY000The MariaDB server is running with the --read-only '
    b'option so it cannot execute this statement'
)
"""Error 1290."""


class Filter:
    """Follows one client's packets, and holds back those that write.

    It has to see a connection's stream from its beginning, and no TLS.
    """

    def __init__(self) -> None:
        self._rest = b''

    def sift(self, data: bytes, *, refuses: bool) -> tuple[bytes, bytes]:
        """Look at what came from the client.

        :param refuses: whether writes are refused just now.
        :returns: what to send to the server, and what to the client.
        """
        forward, refused = bytearray(), bytearray()
        self._rest += data
        while packet := self._next():
            if refuses and _writes(packet):
                refused += _packet(_REFUSAL, number=1)
            else:
                forward += packet
        return bytes(forward), bytes(refused)

    def _next(self) -> bytes | None:
        """The next packet, None while it is not whole."""
        if len(self._rest) < _HEADER:
            return None
        size = _HEADER + int.from_bytes(self._rest[:3], 'little')
        if len(self._rest) < size:
            return None
        packet, self._rest = self._rest[:size], self._rest[size:]
        return packet


def _writes(packet: bytes) -> bool:
    # A command is always number 0; what belongs to the login is not.
    is_query = packet[3:5] == bytes([0, _QUERY])
    return is_query and _WRITES.match(packet, _HEADER + 1) is not None


def _packet(payload: bytes, number: int) -> bytes:
    return len(payload).to_bytes(3, 'little') + bytes([number]) + payload
