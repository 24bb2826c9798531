"""The RPC client of a cell's queue."""

from __future__ import annotations

import dataclasses
import operator
import time
from contextlib import AbstractContextManager
from typing import Any
from typing import NamedTuple

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.rpc import settings as rpc_settings

_TARGET_FIELDS = (
    'exchange', 'topic', 'namespace', 'version', 'server', 'fanout'
)  # fmt: skip
_LEAST_MONITOR = 2.0
_key_of = operator.attrgetter(*_TARGET_FIELDS)


class _Message(NamedTuple):
    """What is sent.

    :ivar how: ``call`` or ``cast``.
    :ivar seconds: that its answer is waited for.
    """

    how: str
    context: Any
    method: str
    kwargs: dict[str, Any]
    seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class RPCClient:
    """oslo.messaging's client, on a cell's transport, with every wait bounded.

    It has the methods of ``oslo_messaging.RPCClient``. It looks up the
    transport for each message, so it may be kept; it costs nothing to make.

    :ivar target: the ``oslo_messaging.Target`` messages go to.
    :ivar timeout: seconds that a call waits for its answer; None for
        ``[rpc] call_timeout``.
    :ivar version_cap: the highest version of the interface to send.
    :ivar call_monitor_timeout: seconds that a call waits for the worker's
        next sign of life, 2 at least; None to wait for the answer alone.
    """

    queue: Any
    target: Any
    settings: rpc_settings.RPCSettings
    timeout: float | None = None
    version_cap: str | None = None
    call_monitor_timeout: float | None = None

    def __post_init__(self) -> None:
        """Refuse what could only fail later, and less clearly."""
        for name in ('timeout', 'call_monitor_timeout'):
            value = getattr(self, name)
            if value is not None and not _is_duration(value):
                raise exception.InvalidInput(
                    name, f'{value!r} is no number of seconds above 0'
                )
        monitor = self.call_monitor_timeout
        if monitor is not None and monitor < _LEAST_MONITOR:
            raise exception.InvalidInput(
                'call_monitor_timeout',
                f'{monitor:g} s are less than {_LEAST_MONITOR:g} s: workers '
                'give a sign of life once a second at most',
            )

    def prepare(self, **options: Any) -> RPCClient:
        """A client that differs in its target or its timeouts.

        :param options: exchange, topic, namespace, version, server, fanout,
            timeout (seconds), version_cap, call_monitor_timeout (seconds).
        :raises InvalidInput: for any other option, or a wrong value.
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

        Waits at most the timeout, plus a few times ``[rpc] connect_timeout``
        where the queue has to be connected, or does not answer.

        :raises RPCTimeout: if no worker answered; one may still act.
        :raises CellUnavailable: if the cell's broker does not take the
            message, or failed too often to be asked just now;
            QueueUnavailable for the process's own queue.
        :raises CellStateForbids: if the cell is disabled.
        :raises CellHasNoQueue: for cell0.
        :raises InvalidURL: if the transport URL cannot be used.
        :raises Exception: what the worker raised: a built-in exception,
            cellplug's own and one of ``allowed_remote_exmods`` as it is,
            others as ``oslo_messaging.RemoteError``.
        """
        if self.target.fanout:
            raise exception.InvalidInput(
                'fanout', 'a call has one answer; use cast'
            )
        seconds = self.timeout or self.settings.call_timeout
        start = time.monotonic()
        try:
            return self._send(
                _Message('call', context, method, kwargs, seconds)
            )
        except Exception as exc:
            if not _messaging().is_timeout(exc):
                raise
            took = time.monotonic() - start
            monitor = self.call_monitor_timeout
            if monitor and took < seconds:
                seconds = monitor
            raise exception.RPCTimeout(
                self.queue.where, method, seconds
            ) from exc

    def cast(self, context: Any, method: str, /, **kwargs: Any) -> None:
        """Send a worker a message and wait for no answer.

        :raises CellUnavailable: and others as :meth:`call` does.
        """
        self._send(_Message('cast', context, method, kwargs, None))

    def can_send_version(self, version: Any = None) -> bool:
        """Whether ``version_cap`` admits this version of the interface.

        :param version: by default the target's.
        """
        with self._borrowed() as transport:
            client = self._client(transport, None)
            answer: bool = (
                client.can_send_version(version)
                if version is not None
                else client.can_send_version()
            )
        return answer

    def _send(self, message: _Message) -> Any:
        guard, version = self.queue.guard, self.queue.version
        guard.check_queue()
        _note_act(message.context)
        began = time.perf_counter()
        try:
            answer = self._send_following(message)
        except Exception as exc:
            self._report(exc, began, version)
            named = self._named(exc)
            if named is None:
                raise
            raise named from exc
        guard.queue.succeeded(time.perf_counter() - began)
        return answer

    def _report(self, error: Exception, began: float, version: int) -> None:
        """Tell the guard what an error says about the queue, if anything.

        A worker's exception is an answer, if it can be told from one of this
        process: a built-in one cannot. Silence of the workers is theirs, not
        the broker's. What was said of a queue that the cell has no more
        is no news.
        """
        messaging, circuit = _messaging(), self.queue.guard.queue
        took = time.perf_counter() - began
        if messaging.is_answer(error):
            circuit.succeeded(took)
        elif (
            isinstance(error, messaging.QueueDownError)
            and self.queue.version == version
        ):
            circuit.failed(self.queue.unavailable(str(error)), took)

    def _send_following(self, message: _Message) -> Any:
        version = self.queue.version
        try:
            return self._send_twice(message)
        except Exception as exc:
            if not self._leads_elsewhere(exc, version):
                raise
        # The cell's queue is another one by now, or has a new password.
        return self._send_twice(message)

    def _leads_elsewhere(self, error: Exception, version: int) -> bool:
        """Whether the message was not sent, and another queue may take it."""
        unsent = isinstance(error, _messaging().QueueDownError) and (
            error.unsent
        )
        return unsent and bool(self.queue.leads_elsewhere(version))

    def _send_twice(self, message: _Message) -> Any:
        try:
            return self._send_once(message)
        except Exception as exc:
            if not _may_repeat(exc):
                raise
        # The cache replaces the transport, whose connections had died.
        return self._send_once(message)

    def _named(self, error: Exception) -> Exception | None:
        """The error with the queue's name, None for what is not its own."""
        # Looked up for an error alone: each message would pay for it.
        messaging = _messaging()
        if isinstance(error, messaging.QueueDownError):
            down: Exception = self.queue.unavailable(str(error))
            return down
        if isinstance(error, exception.InvalidURL) and not messaging.is_remote(
            error
        ):
            invalid: Exception = self.queue.invalid(error.reason)
            return invalid
        return None

    def _send_once(self, message: _Message) -> Any:
        with self._borrowed() as transport:
            client = self._client(transport, message.seconds)
            send = transport.call if message.how == 'call' else transport.cast
            return send(
                client, message.context, message.method, message.kwargs
            )

    def _borrowed(self) -> AbstractContextManager[Any]:
        if not self.target.topic:
            raise exception.InvalidInput('target', 'names no topic')
        borrowed: AbstractContextManager[Any] = self.queue.use()
        return borrowed

    def _client(self, transport: Any, seconds: float | None) -> Any:
        target = self.target
        isolation = self.queue.isolation(target.topic)
        if isolation:
            target = target(**isolation)
        options = {
            'timeout': seconds,
            'version_cap': self.version_cap,
            'call_monitor_timeout': self.call_monitor_timeout,
        }
        key = (_key_of(target), *options.values())
        return transport.client(key, target, options)


def _is_duration(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 < value < float('inf')
    )


def _may_repeat(error: Exception) -> bool:
    """Whether the message was not sent, and can be, on a new transport."""
    return isinstance(error, _messaging().QueueDownError) and error.again


def _note_act(context: Any) -> None:
    """From now on the request cannot be repeated as if nothing happened."""
    if isinstance(context, cellplug_context.RequestContext):
        context._request_state.act()


def _messaging() -> Any:
    # Imported at the first message: oslo.messaging takes a third of a second.
    from cellplug.rpc import messaging  # noqa: PLC0415

    return messaging
