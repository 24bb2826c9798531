"""oslo.messaging transports behind bounded calls.

oslo.messaging opens the connection on which answers arrive with endless
retries, whatever timeout the call names: the first call on a transport whose
broker is down never returns. So the first message of a transport goes ahead
in a thread that is given up after ``connect_timeout``, and so does the first
call; what follows uses connections that exist, and is bounded by
oslo.messaging itself with ``retry=0``.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

import amqp.exceptions
import kombu.exceptions
from oslo_config import cfg

from cellplug import exception
from cellplug.objects import urls
from cellplug.rpc import bounded
from cellplug.rpc import settings as rpc_settings
from cellplug.rpc.quiet import oslo_messaging

_IN_PROCESS = ('fake:', 'kombu+memory:', 'memory:')
_PROBE_TOPIC = 'cellplug_probe'
_PRIVATE_GROUPS = (
    ('oslo_messaging._tracing.client', 'oslo_messaging_tracing'),
    ('oslo_messaging._metrics.client', 'oslo_messaging_metrics'),
)
_DOWN = (
    oslo_messaging.MessageDeliveryFailure,
    kombu.exceptions.KombuError,
    kombu.exceptions.OperationalError,
    amqp.exceptions.AMQPError,
    OSError,
)


class QueueDownError(Exception):
    """The broker cannot be reached; translated by whoever knows the cell."""


def own_url(conf: cfg.ConfigOpts) -> str:
    """``[DEFAULT] transport_url``, where it was set.

    :raises NotTargeted: where it was not.
    """
    oslo_messaging.TransportURL.parse(conf, 'none:///')
    _register_private_groups(conf)
    location = conf.get_location('transport_url')
    if location is None or location.location in (
        cfg.Locations.opt_default,
        cfg.Locations.set_default,
    ):
        raise exception.NotTargeted(
            'the context is aimed at no cell, and [DEFAULT] transport_url is '
            'not set'
        )
    url: str = conf.transport_url
    return urls.check_transport('[DEFAULT] transport_url', url)


def _register_private_groups(conf: cfg.ConfigOpts) -> None:
    """Register what oslo.messaging registers on the global CONF alone."""
    for module, group in _PRIVATE_GROUPS:
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        options = getattr(found, group, None)
        if options is not None:
            conf.register_opts(options, group)


class Transport:
    """One oslo.messaging transport; it connects when first used.

    :ivar broken: a first message was given up, and a thread may hang in it:
        nobody should use this transport any more.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        url: str,
        settings: rpc_settings.RPCSettings,
    ) -> None:
        urls.check_transport('transport_url', url)
        _register_private_groups(conf)
        self.settings = settings
        self.broken = False
        self._closed = False
        self._lock = threading.Lock()
        self.raw = oslo_messaging.get_rpc_transport(
            conf,
            url=url,
            allowed_remote_exmods=list(settings.allowed_remote_exmods),
        )
        in_process = url.lower().startswith(_IN_PROCESS)
        self._sends = self._hears = in_process

    def cast(self, client: Any, context: Any, method: str, kw: Any) -> None:
        """Send a message and wait for no answer.

        :raises QueueDownError: if the broker does not take it in time.
        """
        self.prove()
        _again_if_lost(lambda: client.cast(context, method, **kw))

    def call(
        self, client: Any, context: Any, method: str, kw: Any, seconds: float
    ) -> Any:
        """Send a message and wait for its answer.

        :param seconds: the client's timeout.
        :raises QueueDownError: if the broker does not take it in time.
        """
        self.prove()
        if self._hears:
            return _again_if_lost(lambda: client.call(context, method, **kw))
        return self._first(
            seconds + self.settings.connect_timeout,
            lambda: self._first_call(client, context, method, kw),
        )

    def _first_call(
        self, client: Any, context: Any, method: str, kw: Any
    ) -> Any:
        try:
            return client.call(context, method, **kw)
        finally:
            # Whatever became of the call: the listener is connected.
            self._hears = True

    def prove(self) -> None:
        """Send a message to nobody, unless one was sent before.

        :raises QueueDownError: if the broker refuses, or does not answer
            within ``connect_timeout``.
        """
        if self._sends:
            return
        probe = oslo_messaging.get_rpc_client(
            self.raw, oslo_messaging.Target(topic=_PROBE_TOPIC), retry=0
        )
        self._first(
            self.settings.connect_timeout, lambda: probe.cast({}, 'noop')
        )
        self._sends = True

    def _first(self, seconds: float, function: Callable[[], Any]) -> Any:
        """Run what may hang in a thread; give the transport up if it does."""
        try:
            return bounded.run(seconds, _translating, function)
        except bounded.OverdueError as exc:
            self.broken = True
            raise QueueDownError(
                f'no connection within {self.settings.connect_timeout:g} s'
            ) from exc

    def close(self) -> None:
        """Close the connections, within ``stop_timeout``. Idempotent."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed or self.broken:
            return
        try:
            bounded.run(self.settings.stop_timeout, self.raw.cleanup)
        except bounded.OverdueError:
            self.broken = True


def _again_if_lost(send: Callable[[], Any]) -> Any:
    """Once more if a pooled connection had died: the broker came back."""
    try:
        return send()
    except oslo_messaging.MessageDeliveryFailure:
        return _translating(send)
    except _DOWN as exc:
        raise _translate(exc) from exc


def _translating(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except _DOWN as exc:
        raise _translate(exc) from exc


def _translate(error: BaseException) -> BaseException:
    """QueueDownError, unless it is an exception of the worker's own."""
    if type(error).__module__.endswith('_Remote'):
        return error
    text = ' '.join(str(error).split())
    return QueueDownError(text or type(error).__name__)


def is_timeout(error: BaseException) -> bool:
    """Whether a call got no answer in time."""
    return isinstance(error, oslo_messaging.MessagingTimeout)


def make_client(
    transport: Transport, target: Any, serializer: Any, **options: Any
) -> Any:
    """oslo.messaging's own client, which does not retry by itself."""
    return oslo_messaging.get_rpc_client(
        transport.raw, target, serializer=serializer, retry=0, **options
    )
