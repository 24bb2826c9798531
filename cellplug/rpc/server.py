"""The RPC server of a cell, or of the process's own queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Self

from oslo_config import cfg

from cellplug import exception
from cellplug.rpc import bounded
from cellplug.rpc import messaging
from cellplug.rpc import serializer
from cellplug.rpc import settings as rpc_settings
from cellplug.rpc.quiet import oslo_messaging


class RPCServer:
    """Answers messages of one queue with the methods of its endpoints.

    Each message gets a context of its own, aimed at the server's own cell.
    Messages are worked on in at most ``[rpc] server_threads`` threads. It
    may be used as a context manager; one that was stopped is not started
    again.
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
    ) -> None:
        self._queue = queue
        self._settings = settings
        isolation = queue.isolation(target.topic)
        if isolation:
            target = target(**isolation)
        self._transport = messaging.Transport(conf, queue.url(), settings)
        self._server = oslo_messaging.get_rpc_server(
            self._transport.raw,
            target,
            endpoints,
            executor='threading',
            serializer=serializer.ContextSerializer(build_context),
            access_policy=oslo_messaging.DefaultRPCAccessPolicy,
        )
        self._started = False

    def start(self) -> None:
        """Begin to answer; returns when the queue is listened to.

        :raises CellUnavailable: if the broker does not answer within
            ``[rpc] connect_timeout``; QueueUnavailable for the own queue.
        """
        try:
            bounded.run(self._settings.connect_timeout, self._start)
        except bounded.OverdueError as exc:
            self._transport.broken = True
            raise self._queue.unavailable(
                f'no connection within {self._settings.connect_timeout:g} s'
            ) from exc
        except messaging.QueueDownError as exc:
            raise self._queue.unavailable(str(exc)) from exc
        self._started = True

    def _start(self) -> None:
        # oslo.messaging retries for ever, and says nothing of the reason:
        # a message of our own fails at once where the broker refuses.
        self._transport.prove()
        self._server.start(override_pool_size=self._settings.server_threads)

    def stop(self) -> None:
        """Answer no more, finish what is being worked on, and disconnect.

        Returns within ``[rpc] stop_timeout``, and leaves behind what is not
        done then. Idempotent.
        """
        started, self._started = self._started, False
        if started:
            try:
                bounded.run(self._settings.stop_timeout, self._stop)
            except bounded.OverdueError:
                self._transport.broken = True
        self._transport.close()

    def _stop(self) -> None:
        self._server.stop()
        self._server.wait()

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
