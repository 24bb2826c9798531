"""What listens on one transport, from its start to its stop."""

from __future__ import annotations

import logging
import threading
from typing import Any

from cellplug.rpc import bounded
from cellplug.rpc import messaging

LOG = logging.getLogger(__name__)


class Run:
    """From one start to its stop: a transport and what listens on it.

    :ivar url: the transport URL, a secret.
    """

    def __init__(
        self, url: str, transport: messaging.Transport, server: Any
    ) -> None:
        self.url = url
        self._transport = transport
        self._server = server
        self._settings = transport.settings
        self._lock = threading.Lock()
        self._given_up = False
        self._listens = False

    def start(self) -> None:
        """Listen, or raise QueueDownError."""
        try:
            bounded.run(self._settings.connect_timeout, self._start)
        except bounded.OverdueError as exc:
            self._give_up()
            raise messaging.QueueDownError(
                f'no connection within {self._settings.connect_timeout:g} s'
            ) from exc
        except messaging.DOWN as exc:
            self._give_up()
            raise messaging.down(exc) from exc
        except BaseException:
            self._give_up()
            raise

    def _start(self) -> None:
        self._transport.prove()
        self._server.start(override_pool_size=self._settings.server_threads)
        with self._lock:
            self._listens = True
            late = self._given_up
        if late:
            self._end()

    def _give_up(self) -> None:
        """See to it that a start which ends later ends in a stop."""
        with self._lock:
            self._given_up = True
            listens = self._listens
        if listens:
            bounded.Task(self._end)
        else:
            self._transport.close()

    def stop(self) -> None:
        """Let handlers finish, for so long; then disconnect."""
        try:
            bounded.run(self._settings.stop_timeout, self.finish)
        except bounded.OverdueError:
            LOG.warning(
                'A message is still being worked on %g s after its server '
                'was told to stop; it is left behind',
                self._settings.stop_timeout,
            )
            bounded.Task(self._disconnect)
        self._transport.close()
        self._transport.wait_closed()

    def finish(self) -> None:
        """Listen no more, and let handlers finish, however long it takes.

        The transport stays connected; :meth:`stop` may be called meanwhile.
        """
        self._server.stop()
        # At once: as long as it is connected, the broker hands it messages
        # that others could work on. Answers go out on other connections.
        self._disconnect()
        self._server.wait()

    def _disconnect(self) -> None:
        listener = self._server.listener
        if listener is not None:
            listener.cleanup()

    def _end(self) -> None:
        self.finish()
        self._transport.close()
