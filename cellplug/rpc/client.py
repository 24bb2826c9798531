"""The RPC client of a cell's queue."""

from __future__ import annotations

import dataclasses
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.rpc import settings as rpc_settings

_TARGET_FIELDS = (
    'exchange', 'topic', 'namespace', 'version', 'server', 'fanout'
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class RPCClient:
    """oslo.messaging's client, on a cell's transport, with every wait bounded.

    It has the methods of ``oslo_messaging.RPCClient``. It looks up the
    transport for each message, so it may be kept; it costs nothing to make.

    :ivar target: the ``oslo_messaging.Target`` messages go to.
    """

    queue: Any
    target: Any
    settings: rpc_settings.RPCSettings
    timeout: float | None = None
    version_cap: str | None = None
    call_monitor_timeout: float | None = None

    def prepare(self, **options: Any) -> RPCClient:
        """A client that differs in its target or its timeouts.

        :param options: exchange, topic, namespace, version, server, fanout,
            timeout (seconds), version_cap, call_monitor_timeout.
        :raises InvalidInput: for any other option.
        """
        names = {'timeout', 'version_cap', 'call_monitor_timeout'}
        own = {name: options.pop(name) for name in names & options.keys()}
        # Retries are cellplug's business: they are what never ended.
        options.pop('retry', None)
        unknown = sorted(set(options) - set(_TARGET_FIELDS))
        if unknown:
            raise exception.InvalidInput(unknown[0], 'is no RPC option')
        target = self.target(**options) if options else self.target
        return dataclasses.replace(self, target=target, **own)

    def call(self, context: Any, method: str, /, **kwargs: Any) -> Any:
        """Call a worker's method and wait for its answer.

        Waits at most the timeout (by default ``[rpc] call_timeout``), plus
        ``[rpc] connect_timeout`` where the queue was not used before.

        :raises RPCTimeout: if no worker answered; one may still act.
        :raises CellUnavailable: if the cell's broker does not take the
            message; QueueUnavailable for the process's own queue.
        :raises CellHasNoQueue: for cell0.
        """
        seconds = self.timeout or self.settings.call_timeout
        return self._send('call', context, method, kwargs, seconds)

    def cast(self, context: Any, method: str, /, **kwargs: Any) -> None:
        """Send a worker a message and wait for no answer.

        :raises CellUnavailable: as :meth:`call` does.
        """
        self._send('cast', context, method, kwargs)

    def can_send_version(self, version: Any = None) -> bool:
        """Whether ``version_cap`` admits this version of the interface."""
        messaging = _messaging()
        with self.queue.use() as transport:
            client = self._client(messaging, transport, None)
            answer: bool = (
                client.can_send_version(version)
                if version is not None
                else client.can_send_version()
            )
        return answer

    def _send(
        self,
        how: str,
        context: Any,
        method: str,
        kwargs: dict[str, Any],
        seconds: float | None = None,
    ) -> Any:
        messaging = _messaging()
        try:
            with self.queue.use() as transport:
                client = self._client(messaging, transport, seconds)
                _note_act(context)
                if how == 'cast':
                    return transport.cast(client, context, method, kwargs)
                return transport.call(client, context, method, kwargs, seconds)
        except messaging.QueueDownError as exc:
            raise self.queue.unavailable(str(exc)) from exc
        except Exception as exc:
            if messaging.is_timeout(exc):
                raise exception.RPCTimeout(
                    self.queue.where, method, seconds
                ) from exc
            raise

    def _client(
        self, messaging: Any, transport: Any, seconds: float | None
    ) -> Any:
        from cellplug.rpc import serializer  # noqa: PLC0415

        target = self.target
        isolation = self.queue.isolation(target.topic)
        if isolation:
            target = target(**isolation)
        options: dict[str, Any] = {'version_cap': self.version_cap}
        if seconds is not None:
            options['timeout'] = seconds
        if self.call_monitor_timeout is not None:
            options['call_monitor_timeout'] = self.call_monitor_timeout
        return messaging.make_client(
            transport, target, serializer.ContextSerializer(), **options
        )


def _note_act(context: Any) -> None:
    """From now on the request cannot be repeated as if nothing happened."""
    if isinstance(context, cellplug_context.RequestContext):
        context._request_state.acted += 1


def _messaging() -> Any:
    # Imported at the first message: oslo.messaging takes a third of a second.
    from cellplug.rpc import messaging  # noqa: PLC0415

    return messaging
