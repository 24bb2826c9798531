"""The RPC server of a cell, or of the process's own queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from typing import Protocol
from typing import Self

from oslo_config import cfg

from cellplug import exception
from cellplug.rpc import messaging
from cellplug.rpc import serializer
from cellplug.rpc import server_following
from cellplug.rpc import server_run
from cellplug.rpc import settings as rpc_settings
from cellplug.rpc.quiet import oslo_messaging


class Note(Protocol):
    """Told of a server that it runs, or does no more."""

    def __call__(self, server: Any, *, runs: bool) -> None:
        """Remember it."""
        ...


class RPCServer:
    """Answers messages of one queue with the methods of its endpoints.

    Each message gets a context of its own, aimed at the server's own cell.
    Messages are worked on in at most ``[rpc] server_threads`` threads. While
    it runs the server follows the cell's transport URL, see :meth:`follow`.
    It may be used as a context manager, and be started again once stopped.
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
        linger: float = 0.0,
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
        self._run: server_run.Run | None = None
        self._following = server_following.Following(
            queue, self._new_run, self._swap, linger
        )

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

    def follow(self) -> None:
        """Listen where the cell's queue is by now, if that has changed.

        Returns at once: it happens in the background. The next transport
        listens before the former one stops; if it cannot, the former one goes
        on. The router calls it every ``[cells] follow_interval`` seconds.
        """
        run = self._run
        if run is not None:
            self._following.look(run)

    def _swap(self, former: server_run.Run, run: server_run.Run) -> bool:
        with self._lock:
            if self._run is not former:
                return False
            self._run = run
            return True

    def _new_run(self) -> server_run.Run:
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
        return server_run.Run(url, transport, server)

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
        self._following.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


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
