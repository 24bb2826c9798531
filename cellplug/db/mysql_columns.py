"""The columns of MariaDB's and MySQL's results, parsed once.

A server describes each column of each result, and PyMySQL parses it each
time, which takes more than a tenth of the time of a look-up of one row. The
columns of a statement are the same each time.
"""

from __future__ import annotations

from pymysql import protocol


class Columns:
    """The columns of results, by what a server says of them.

    A column is parsed when it is first met; nothing changes it afterwards. The
    name of its database is left out, of which PyMySQL makes no use: so all
    cells have the same columns. Safe for all threads: what two of them parse
    at once is the same.
    """

    _MOST = 2000
    """How many are remembered, of about 1 kB each; few services have more."""

    _START = b'\x03def'
    """What each description starts with, before the database's name."""

    _SHORT = 250
    """Up to here a length is one byte."""

    def __init__(self) -> None:
        self._known: dict[
            tuple[bytes, str], protocol.FieldDescriptorPacket
        ] = {}

    def parse(
        self, data: bytes, encoding: str
    ) -> protocol.FieldDescriptorPacket:
        """The column that a packet describes.

        :param encoding: of its names, in Python's words.
        """
        if data[:4] == self._START and data[4] <= self._SHORT:
            data = self._START + b'\0' + data[5 + data[4] :]
        found = self._known.get((data, encoding))
        if found is None:
            found = protocol.FieldDescriptorPacket(data, encoding)
            if len(self._known) >= self._MOST:
                self._known.clear()
            self._known[data, encoding] = found
        return found
