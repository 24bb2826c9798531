"""RabbitMQ connections of oslo.messaging, with every wait of them bounded.

oslo.messaging bounds what a *sender* waits for a connection (``retry``), but
opens the connection on which answers arrive with endless retries, whatever
timeout the call names: the first call on a transport whose broker is down
never returns, and holds a lock that all later calls wait for. A message that
the broker does not confirm is waited for as long as a call for its answer,
and a connection that is being closed for up to five seconds.

There is no public way to change that: this module reaches below
oslo.messaging's public interface, and a test pins what it uses there.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import struct
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib import parse

import amqp.exceptions
import kombu.exceptions

from cellplug.rpc.quiet import common
from cellplug.rpc.quiet import impl_rabbit
from cellplug.rpc.quiet import oslo_messaging

_POLL = 1.0
"""Seconds until a listener notices that it is to stop."""

_POLL_MEMORY = 0.001
"""Seconds between two looks at a queue in this process's memory."""

_PRIVATE_GROUPS = (
    ('oslo_messaging._tracing.client', 'oslo_messaging_tracing'),
    ('oslo_messaging._metrics.client', 'oslo_messaging_metrics'),
)

CONNECTION_ERRORS = (
    amqp.exceptions.AMQPError,
    kombu.exceptions.KombuError,
    kombu.exceptions.OperationalError,
    OSError,
)

_NONSENSE = (LookupError, UnicodeError, struct.error)
"""What amqp trips over where what answers is no broker."""


class NoConnectionError(oslo_messaging.MessagingException):  # type: ignore[misc]
    """A connection could not be opened; the reason holds no URL."""


class BoundedConnection(impl_rabbit.Connection):  # type: ignore[misc]
    """A connection that is opened or refused, and a message likewise.

    Each host of the transport URL is tried once. Listening goes on as in
    oslo.messaging: a listener that was connected reconnects for ever.

    :param patience: seconds for each answer of the broker.
    """

    def __init__(
        self,
        patience: float,
        conf: Any,
        url: Any,
        purpose: Any,
        retry: int | None = None,
    ) -> None:
        self._patience = patience
        self._declaring = self._closing = False
        self._bounded: tuple[Any, float | None] = (None, None)
        self._more_hosts = more_hosts(url)
        try:
            super().__init__(conf, url, purpose, retry=self._more_hosts)
        except (*CONNECTION_ERRORS, *_NONSENSE) as exc:
            with contextlib.suppress(*CONNECTION_ERRORS, AttributeError):
                self.connection.collect()
            why = reason(exc)
            if isinstance(exc, _NONSENSE):
                why = 'what answers is no message broker'
            raise NoConnectionError(why) from exc
        poll: float = vars(self)['_poll_timeout']
        self._poll_timeout = min(poll, _POLL)
        transport = self.connection.transport
        if getattr(transport, 'polling_interval', None) == 0:
            # kombu+memory: a listener would keep a core busy by itself.
            transport.polling_interval = _POLL_MEMORY

    def _transform_transport_url(
        self,
        url: Any,
        host: Any,
        default_username: str = '',
        default_password: str = '',
        default_hostname: str = '',
    ) -> str:
        """The URL for kombu, with everything in it quoted.

        oslo.messaging leaves slashes as they are. To kombu they end the host:
        it takes a part of the password for the port, and says so.
        """
        scheme = url.transport.replace('kombu+', '').replace('rabbit', 'amqp')
        user = _quote(host.username or default_username)
        password = _quote(host.password or default_password)
        where = host.hostname or default_hostname
        if ':' in where:
            where = f'[{where}]'
        vhost = _quote(url.virtual_host or '')
        port = host.port or 5672
        return f'{scheme}://{user}:{password}@{where}:{port}/{vhost}'

    def ensure(
        self, method: Any, retry: int | None = None, **options: Any
    ) -> Any:
        """Run what needs a connection; what declares queues not for ever."""
        if retry is None and self._declaring:
            retry = self._more_hosts
        return super().ensure(method, retry=retry, **options)

    def declare_consumer(self, consumer: Any) -> Any:
        """Begin to listen on a queue."""
        consumer.callback = self._unless_closing(consumer.callback)
        self._declaring = True
        try:
            return super().declare_consumer(consumer)
        finally:
            self._declaring = False

    def _unless_closing(self, callback: Callable[[Any], None]) -> Any:
        """What takes messages, as long as somebody works on them.

        While a connection closes, oslo.messaging goes on to read from it, and
        would tell the broker that it has what it then forgets. What is not
        acknowledged goes back to the queue.
        """

        def take(message: Any) -> None:
            if not self._closing:
                callback(message)

        return take

    def close(self) -> None:
        """Close it; what arrives meanwhile is for others."""
        self._closing = True
        super().close()

    def consume(self, timeout: float | None = None) -> None:
        """Wait for messages; after a refusal, not again at once.

        The listener's loop knows no pause: a password that was changed on
        the broker would have it ask for a connection all the time.
        """
        try:
            super().consume(timeout=timeout)
        except common.Timeout:
            raise
        except Exception:
            time.sleep(_POLL)
            raise

    def set_transport_socket_timeout(
        self, timeout: float | None = None
    ) -> None:
        """Bound the waits for the broker by ``patience`` as well.

        oslo.messaging sets a bound before each message and another one after
        it. Here they are mostly the same, and set once: what amqp changes in
        between, it puts back.
        """
        bound = self._patience
        seconds = bound if timeout is None else min(timeout, bound)
        sock = getattr(getattr(self.channel, 'connection', None), 'sock', None)
        if sock is None or (sock, seconds) != self._bounded:
            super().set_transport_socket_timeout(seconds)
            self._bounded = (sock, seconds)


def _quote(text: str) -> str:
    return parse.quote(text, safe='')


class _Slots(threading.Condition):
    """What those wait on who find all connections of a pool in use.

    Nobody wakes them when a connection fails to open.
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a connection to become free."""
        bound = self._patience
        if not super().wait(bound if timeout is None else timeout):
            raise NoConnectionError(
                f'all connections have been busy for {bound:g} s'
            )
        return True


def more_hosts(url: Any) -> int:
    """How often to try again so that each host of the URL is tried."""
    return max(len(url.hosts), 1) - 1


def register_private_groups(conf: Any) -> None:
    """Register what oslo.messaging registers on the global CONF alone."""
    for module, group in _PRIVATE_GROUPS:
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        options = getattr(found, group, None)
        if options is not None:
            conf.register_opts(options, group)


def bound(raw: Any, patience: float) -> None:
    """Have a transport open no other connections than bounded ones.

    :param raw: an oslo.messaging transport that has opened none yet.
    """
    pool: Any = getattr(raw._driver, '_connection_pool', None)
    if getattr(pool, 'connection_cls', None) is impl_rabbit.Connection:
        pool.connection_cls = functools.partial(BoundedConnection, patience)
        pool._cond = _Slots(patience)


def listen(raw: Any) -> None:
    """Open the connection on which a transport's answers arrive."""
    open_listener = getattr(raw._driver, '_get_reply_q', None)
    if open_listener is not None:
        open_listener()


def reason(error: BaseException) -> str:
    """What an error says, on one line."""
    return ' '.join(str(error).split()) or type(error).__name__


def timed_out(error: BaseException | None) -> bool:
    """Whether the broker was silent, rather than gone."""
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False
