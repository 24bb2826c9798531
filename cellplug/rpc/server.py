"""The RPC server of a cell, or of the process's own queue."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any
from typing import Protocol
from typing import Self

from oslo_config import cfg

from cellplug import exception
from cellplug.rpc import bounded
from cellplug.rpc import messaging
from cellplug.rpc import serializer
from cellplug.rpc import settings as rpc_settings
from cellplug.rpc.quiet import oslo_messaging

LOG = logging.getLogger(__name__)


class Note(Protocol):
    """Told of a server that it runs, or does no more."""

    def __call__(self, server: Any, *, runs: bool) -> None:
        """Remember it."""
        ...


class RPCServer:
    """Answers messages of one queue with the methods of its endpoints.

    Each message gets a context of its own, aimed at the server's own cell.
    Messages are worked on in at most ``[rpc] server_threads`` threads. The
    server keeps to the transport URL that the cell has when it starts. It
    may be used as a context manager, and be started again once stopped.
    """

    def __init__(
        self,
        queue: Any,
        target: Any,
        endpoints: Any,
        *,
        conf: cfg.ConfigOpts,
        settings: rpc_settings.RPCSettings,
        build_context: Callable[[dict[str, Any]], Any],
        note: Note,
    ) -> None:
        for name in ('topic', 'server'):
            if not getattr(target, name, None):
                raise exception.InvalidInput('target', f'names no {name}')
        queue.url()  # a cell without a queue is refused here and now
        self._queue = queue
        self._target = target
        self._endpoints = endpoints
        self._conf = conf
        self._settings = settings
        self._build_context = build_context
        self._note = note
        self._lock = threading.Lock()
        self._run: _Run | None = None

    def start(self) -> None:
        """Begin to answer; returns when the queue is listened to.

        One that is started already goes on.

        :raises CellUnavailable: if the broker does not answer within
            ``[rpc] connect_timeout``; QueueUnavailable for the own queue.
        :raises InvalidURL: if the transport URL cannot be used.
        """
        with self._lock:
            if self._run is not None:
                return
            run = self._new_run()
            try:
                run.start()
            except messaging.QueueDownError as exc:
                raise self._queue.unavailable(str(exc)) from exc
            self._run = run
            self._note(self, runs=True)

    def _new_run(self) -> _Run:
        url = self._queue.url()
        isolation = self._queue.isolation(self._target.topic)
        target = self._target(**isolation) if isolation else self._target
        try:
            transport = messaging.Transport(self._conf, url, self._settings)
        except exception.InvalidURL as exc:
            raise self._queue.invalid(exc.reason) from exc
        server = oslo_messaging.get_rpc_server(
            transport.raw,
            target,
            self._endpoints,
            serializer=serializer.ContextSerializer(self._build_context),
            access_policy=oslo_messaging.DefaultRPCAccessPolicy,
        )
        return _Run(transport, server)

    def stop(self) -> None:
        """Answer no more, finish what is being worked on, and disconnect.

        Returns within about ``[rpc] stop_timeout``; what is not done then is
        left behind, and its answer is lost. Idempotent.
        """
        with self._lock:
            run, self._run = self._run, None
            if run is not None:
                self._note(self, runs=False)
                run.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Run:
    """From one start to its stop: a transport and what listens on it."""

    def __init__(self, transport: messaging.Transport, server: Any) -> None:
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
            bounded.run(self._settings.stop_timeout, self._finish)
        except bounded.OverdueError:
            LOG.warning(
                'A message is still being worked on %g s after its server '
                'was told to stop; it is left behind',
                self._settings.stop_timeout,
            )
            bounded.Task(self._disconnect)
        self._transport.close()
        self._transport.wait_closed()

    def _finish(self) -> None:
        self._server.stop()
        self._server.wait()

    def _disconnect(self) -> None:
        listener = self._server.listener
        if listener is not None:
            listener.cleanup()

    def _end(self) -> None:
        self._finish()
        self._transport.close()


def check_endpoints(endpoints: Any) -> list[Any]:
    """The endpoints as a list.

    :raises InvalidInput: if there is none.
    """
    found = (
        list(endpoints)
        if isinstance(endpoints, list | tuple)
        else ([endpoints] if endpoints is not None else [])
    )
    if not found:
        raise exception.InvalidInput(
            'endpoints', 'a server needs at least one'
        )
    return found
