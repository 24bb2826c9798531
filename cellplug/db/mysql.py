"""PyMySQL connections that neither wait for ever nor say things twice.

What other drivers' statements are watched for by events of SQLAlchemy (see
:mod:`cellplug.db.statements`) these connections know by themselves: an event
for each statement costs a tenth of a read.

PyMySQL bounds each wait by a timeout of Python's sockets: before each system
call that may block comes one more, which waits, and with each the thread lets
go of the interpreter and has to get it back. On Linux the kernel can bound
the call itself (SO_RCVTIMEO), where no TLS stands in between.

PyMySQL parses what a server says of each column of each result anew; here it
is parsed once, see :mod:`cellplug.db.mysql_columns`.

PyMySQL bounds the TCP connect by ``connect_timeout``, but waits for the
server's greeting, and for its part in a TLS handshake, as long as for anything
else; and it builds a TLS context for every connection, which costs more than
everything else together. Both are mended by overriding two methods. Tests
pin the names of all that is overridden.
"""

from __future__ import annotations

import io
import os
import socket
import ssl
import struct
import sys
import threading
from typing import Any
from typing import NoReturn

from pymysql import connections
from pymysql import err
from pymysql import protocol
from pymysql.constants import CR

from cellplug.db import forking
from cellplug.db import mysql_columns

ROLLED_BACK = (1213, 1020)
"""At these MySQL and MariaDB have rolled back the whole transaction: a
deadlock, and a row that changed since the snapshot."""

_NONSENSE = (ValueError, LookupError, NameError, TypeError, struct.error)
"""What PyMySQL trips over where what answers is no MySQL server."""

_UNKNOWN_VARIABLE = 1193


class Shared:
    """What the connections of a process share. Owned by the engine registry.

    :ivar columns: those of all results.
    """

    def __init__(self) -> None:
        self.columns = mysql_columns.Columns()
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def tls(self) -> ssl.SSLContext:
        """The TLS context of connections whose URL asks for nothing special.

        PyMySQL's own default ("preferred": TLS where the server offers it,
        unverified), built once and without the system's certificates: nobody
        looks at them, and to load them takes 30 ms. A URL with ``ssl``
        options of its own gets a context of its own.
        """
        with self._lock:
            if self._context is None:
                self._context = _unverified()
            return self._context


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Reader(io.RawIOBase):
    """Reads a socket whose waits the kernel bounds.

    Python's own takes the end of the bound for "nothing to read yet".
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is, at most so much."""
        try:
            return self._sock.recv_into(buffer)
        except BlockingIOError:
            raise TimeoutError('timed out') from None


class Connection(connections.Connection):
    """A PyMySQL connection; see the module.

    :ivar answers: grows with every statement that was answered.
    """

    _sock: Any
    _read_timeout: Any
    _write_timeout: Any

    def __init__(self, *args: Any, shared: Shared, **kw: Any) -> None:
        self._shared = shared
        self._columns = shared.columns
        self._pid = os.getpid()
        self._ended = False
        self._wanted: tuple[Any, Any] | None = None
        self._refusal: BaseException | None = None
        self.answers = 0
        super().__init__(*args, **kw)

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        own = super()._create_ssl_ctx  # type: ignore[misc]
        if sslp:
            context: ssl.SSLContext = own(sslp)
            return context
        return self._shared.tls()

    def _execute_command(self, command: int, sql: Any) -> None:
        """Send whatever it is: with it, a transaction may begin.

        Not after the server has rolled back the transaction by itself: it
        would go on in a new one, which would be half of what was meant.
        """
        forking.check(self._pid)
        if self._refusal is not None:
            raise self._refusal
        self._ended = False
        super()._execute_command(command, sql)  # type: ignore[misc]

    def _read_packet(self, packet_type: Any = protocol.MysqlPacket) -> Any:
        if packet_type is protocol.FieldDescriptorPacket:
            packet_type = self._columns.parse
        read: Any = super()._read_packet
        return read(packet_type)

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        try:
            rows = super()._read_query_result(unbuffered)  # type: ignore[misc]
        except (err.InternalError, *_NONSENSE) as exc:
            self._lose(exc)
        self.answers += 1
        return rows

    def _read_ok_packet(self) -> Any:
        try:
            return super()._read_ok_packet()  # type: ignore[misc]
        except (err.InternalError, *_NONSENSE) as exc:
            self._lose(exc)

    def _lose(self, error: BaseException) -> NoReturn:
        """Raise what was met in an answer as what it means.

        Packets in a wrong order, or of what is no packet, end a connection;
        PyMySQL says so by errors that leave it open, or are none of a driver.
        """
        if isinstance(error, err.InternalError) and self.open:
            # The server's own, about the statement.
            raise error
        self._force_close()  # type: ignore[attr-defined]
        raise err.OperationalError(
            CR.CR_SERVER_LOST,
            'Lost connection to MySQL server: what answers is none',
        ) from error

    def refuse(self, error: BaseException) -> None:
        """The transaction is lost; raise this for all but a rollback."""
        if self._refusal is None and not self.get_autocommit():
            self._refusal = error

    def commit(self) -> None:
        """Commit, and remember it once the server has answered."""
        super().commit()
        self._ended = True

    def rollback(self) -> None:
        """Roll back what there may be to roll back.

        Nothing where nothing was sent since the last end: a session that
        closes rolls back, and then the pool does it again, which would be a
        round trip for every reader and every writer.
        """
        if forking.is_foreign(self._pid):
            return
        self._refusal = None
        if not (self._ended and self.open):
            super().rollback()
            self._ended = True

    def close(self) -> None:
        """Close the connection, if losing it has not done so before.

        PyMySQL raises for the latter, and SQLAlchemy logs a traceback for
        each connection of a server that went away.
        """
        if self.open and not forking.is_foreign(self._pid):
            super().close()

    def connect(self, sock: Any = None) -> None:
        """Connect and log in, each wait bounded by ``connect_timeout``."""
        if self._wanted is None:
            self._wanted = self._read_timeout, self._write_timeout
        self._read_timeout = self._write_timeout = self.connect_timeout
        try:
            super().connect(sock)
        except _NONSENSE as exc:
            raise err.OperationalError(
                CR.CR_CONN_HOST_ERROR, 'what answers is no MySQL server'
            ) from exc
        finally:
            self._read_timeout, self._write_timeout = self._wanted
        if sys.platform == 'linux' and type(self._sock) is socket.socket:
            self._let_kernel_bound(self._sock)

    def _let_kernel_bound(self, connected: socket.socket) -> None:
        for option, seconds in (
            (socket.SO_RCVTIMEO, self._read_timeout),
            (socket.SO_SNDTIMEO, self._write_timeout),
        ):
            whole, rest = divmod(seconds or 0, 1)
            connected.setsockopt(
                socket.SOL_SOCKET,
                option,
                struct.pack('ll', int(whole), int(rest * 1_000_000)),
            )
        connected.settimeout(None)
        self._read_timeout = self._write_timeout = None
        self._current_timeout = None
        self._rfile = io.BufferedReader(_Reader(connected))

    def _write_bytes(self, data: bytes) -> None:
        try:
            super()._write_bytes(data)  # type: ignore[misc]
        except err.OperationalError as exc:
            if isinstance(exc.__context__, BlockingIOError):
                raise err.OperationalError(
                    exc.args[0], 'MySQL server has gone away (timed out)'
                ) from None
            raise


def bound_statements(connection: Any, seconds: float) -> None:
    """Have the server end what takes longer, on a connection of any driver.

    A statement that the client alone gave up would go on in the server, with
    its locks. MariaDB bounds every statement, MySQL those that only read; a
    server that knows neither variable bounds nothing.
    """
    bound = f'max_execution_time = {int(seconds * 1000)}'
    if 'mariadb' in str(connection.get_server_info()).lower():
        bound = f'max_statement_time = {seconds}'
    cursor = connection.cursor()
    try:
        cursor.execute(f'SET SESSION {bound}')
    except Exception as exc:
        if exc.args[:1] != (_UNKNOWN_VARIABLE,):
            raise
    finally:
        cursor.close()
