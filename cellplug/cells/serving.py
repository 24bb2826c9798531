"""The RPC clients and servers of one router."""

from __future__ import annotations

import os
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.cells import building
from cellplug.db import registry as db_registry
from cellplug.rpc import client

Context = cellplug_context.RequestContext

_FROM_DICT_ERRORS = (TypeError, ValueError, KeyError, AttributeError)


class Servers:
    """Makes clients and servers; stops servers that run in the end.

    Kept by process id: a child of a fork leaves its parent's alone.
    """

    def __init__(self, parts: building.Parts) -> None:
        self._parts = parts
        self._running: dict[int, set[Any]] = {}

    def client(
        self, context: Context, target: Any, options: dict[str, Any]
    ) -> client.RPCClient:
        """A client on the queue the context is aimed at, or on the own."""
        queue = context.mq_connection
        self._parts.alarm.wake()
        if queue is None:
            if context.cell_uuid is not None:
                raise exception.NotTargeted(
                    'the context came over RPC and is aimed at no queue'
                )
            queue = self._parts.own_queue
        found = client.RPCClient(queue, target, self._parts.rpc_settings)
        return found.prepare(**options) if options else found

    def make(
        self,
        entry: db_registry.CellEntry | None,
        target: Any,
        endpoints: Any,
    ) -> Any:
        """A server on the cell's queue, or on the process's own."""
        # Imported with the first server: oslo.messaging is slow to import.
        from cellplug.rpc import server  # noqa: PLC0415

        def build_context(values: dict[str, Any]) -> Context:
            context = self._context_from(values)
            # Whatever a subclass took from the message.
            uuid = entry.uuid if entry is not None else None
            context.db_connection = context.cell_uuid = uuid
            context.mq_connection = entry.queue if entry is not None else None
            return context

        return server.RPCServer(
            entry.queue if entry is not None else self._parts.own_queue,
            target,
            server.check_endpoints(endpoints),
            conf=self._parts.conf,
            settings=self._parts.rpc_settings,
            build_context=build_context,
            note=self._note,
            # As long as others may take to follow.
            linger=self._parts.conf.cells.follow_interval,
        )

    def _note(self, server: Any, *, runs: bool) -> None:
        # Kept here while it runs, also if nobody else does: it has threads.
        running = self._running.setdefault(os.getpid(), set())
        (running.add if runs else running.discard)(server)
        self._parts.alarm.wake()

    def follow(self) -> None:
        """Have this process's servers listen where their queues are by now."""
        for server in list(self._running.get(os.getpid(), ())):
            server.follow()

    def _context_from(self, values: dict[str, Any]) -> Context:
        try:
            return self._parts.context_class.from_dict(values)
        except exception.InvalidInput:
            raise
        except _FROM_DICT_ERRORS as exc:
            raise exception.InvalidInput(
                'context', 'the message carries a context that cannot be read'
            ) from exc

    def stop(self) -> None:
        """Stop the servers of this process, each within ``stop_timeout``."""
        for server in list(self._running.pop(os.getpid(), ())):
            server.stop()
