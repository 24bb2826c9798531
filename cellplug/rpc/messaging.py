"""oslo.messaging transports behind bounded calls.

A transport's connections are opened by one thread of its own, while those
who want to send wait for at most ``connect_timeout``. What follows uses
connections that exist, and is bounded by :mod:`cellplug.rpc.connections`.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from oslo_config import cfg

from cellplug import exception
from cellplug.objects import urls
from cellplug.rpc import bounded
from cellplug.rpc import connections
from cellplug.rpc import serializer
from cellplug.rpc import settings as rpc_settings
from cellplug.rpc.quiet import oslo_messaging

LOG = logging.getLogger(__name__)

_PROBE = 'cellplug_probe'
_MOST_CLIENTS = 256
_CLEANUP_ATTEMPTS = 40
# Not OSError: once connected, that one is a worker's own.
DOWN = (
    oslo_messaging.MessageDeliveryFailure,
    connections.NoConnectionError,
)


class QueueDownError(Exception):
    """The broker cannot be reached; translated by whoever knows the cell.

    :ivar again: the message was not sent as a connection had died; on a new
        transport it may well be.
    :ivar unsent: the broker cannot have the message.
    """

    def __init__(
        self, reason: str, *, again: bool = False, unsent: bool = True
    ) -> None:
        super().__init__(reason)
        self.again = again
        self.unsent = unsent


def own_url(conf: cfg.ConfigOpts) -> str:
    """``[DEFAULT] transport_url``, where it was set.

    :raises NotTargeted: where it was not.
    """
    oslo_messaging.TransportURL.parse(conf, 'none:///')
    location = conf.get_location('transport_url')
    if location is None or location.location in (
        cfg.Locations.opt_default,
        cfg.Locations.set_default,
    ):
        raise exception.NotTargeted(
            'the context is aimed at no cell, and [DEFAULT] transport_url is '
            'not set'
        )
    url = urls.check_transport('[DEFAULT] transport_url', conf.transport_url)
    if not urls.has_queue(url):
        raise exception.NotTargeted(
            'the context is aimed at no cell, and [DEFAULT] transport_url '
            'says that this process has no queue'
        )
    return url


def _parse(conf: cfg.ConfigOpts, url: str) -> Any:
    """The URL as oslo.messaging reads it, which has to be as it was meant."""
    urls.check_transport('transport_url', url)
    meant = urls.transport_hosts(url)
    parsed = None
    try:
        parsed = oslo_messaging.TransportURL.parse(conf, url)
        hosts = {(host.hostname or '').lower() for host in parsed.hosts}
        as_meant = hosts - {''} <= meant
    except (oslo_messaging.MessagingException, ValueError):
        as_meant = False
    if not as_meant:
        # Not "from": what oslo.messaging says quotes what it took for a
        # port, which may be a part of the password.
        raise exception.InvalidURL(
            'transport_url',
            'cannot be read by oslo.messaging; percent-encode what is '
            'special in user name, password and virtual host',
        ) from None
    return parsed


class Transport:
    """One oslo.messaging transport; it connects when first used.

    :ivar broken: a message could not be delivered on connections that had
        worked; whoever sends next needs a new transport.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        url: str,
        settings: rpc_settings.RPCSettings,
    ) -> None:
        parsed = _parse(conf, url)
        connections.register_private_groups(conf)
        self.settings = settings
        self.broken = False
        self.raw = self._build(conf, parsed)
        connections.bound(self.raw, settings.connect_timeout)
        # Closing any fake transport empties the queues of all in the process.
        self._is_fake = parsed.transport == 'fake'
        self._retry = connections.more_hosts(parsed)
        self._sends = bounded.Once(self._send_probe)
        self._hears = bounded.Once(lambda: connections.listen(self.raw))
        self._sends.achieved = self._hears.achieved = self._is_fake
        self._serializer = serializer.ContextSerializer()
        self._clients: dict[Any, Any] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._closing: bounded.Task | None = None

    def _build(self, conf: cfg.ConfigOpts, parsed: Any) -> Any:
        try:
            return oslo_messaging.get_rpc_transport(
                conf,
                url=parsed,
                allowed_remote_exmods=list(
                    self.settings.allowed_remote_exmods
                ),
            )
        except (oslo_messaging.DriverLoadFailure, ImportError) as exc:
            raise exception.InvalidURL(
                'transport_url',
                f'oslo.messaging has no working driver for the scheme '
                f'{parsed.transport!r} here',
            ) from exc
        except (cfg.Error, ValueError, RuntimeError):
            # Not "from": it quotes the value.
            raise exception.InvalidURL(
                'transport_url',
                'oslo.messaging cannot use an option in its query',
            ) from None

    # -- sending -----------------------------------------------------------

    def client(self, key: Any, target: Any, options: dict[str, Any]) -> Any:
        """oslo.messaging's own client, kept for the next message.

        :param key: what tells this target and these options from others.
        """
        found = self._clients.get(key)
        if found is None:
            if len(self._clients) >= _MOST_CLIENTS:
                self._clients.clear()
            found = oslo_messaging.get_rpc_client(
                self.raw,
                target,
                serializer=self._serializer,
                retry=self._retry,
                **options,
            )
            self._clients[key] = found
        return found

    def cast(self, client: Any, context: Any, method: str, kw: Any) -> None:
        """Send a message and wait for no answer.

        :raises QueueDownError: if the broker does not take it in time.
        """
        if not self._sends.achieved:
            self.prove()
        try:
            client.cast(context, method, **kw)
        except DOWN as exc:
            raise self._lost(exc) from exc

    def call(self, client: Any, context: Any, method: str, kw: Any) -> Any:
        """Send a message and wait for its answer, as long as the client does.

        :raises QueueDownError: if the broker does not take it in time.
        """
        if not self._hears.achieved:
            self.prove()
            self._achieve(self._hears)
        try:
            return client.call(context, method, **kw)
        except DOWN as exc:
            if is_remote(exc):
                raise
            raise self._lost(exc) from exc

    def prove(self) -> None:
        """Send a message to nobody, unless one was sent before.

        :raises QueueDownError: if the broker refuses, or does not answer
            within ``connect_timeout``.
        """
        if not self._sends.achieved:
            self._achieve(self._sends)

    def _send_probe(self) -> None:
        oslo_messaging.get_rpc_client(
            self.raw, oslo_messaging.Target(topic=_PROBE), retry=self._retry
        ).cast({}, 'noop')

    def _achieve(self, step: bounded.Once) -> None:
        try:
            step.achieve(self.settings.connect_timeout)
        except bounded.OverdueError as exc:
            raise QueueDownError(
                f'no connection within {self.settings.connect_timeout:g} s'
            ) from exc
        except (*DOWN, *connections.CONNECTION_ERRORS) as exc:
            raise down(exc) from exc

    def _lost(self, error: BaseException) -> QueueDownError:
        """What to raise where a message was not delivered.

        It is sent again on a new transport, unless the broker was silent: it
        may have the message, and deliver it when it wakes up.
        """
        self.broken = True
        heard = not connections.timed_out(error)
        return QueueDownError(
            connections.reason(error), again=heard, unsent=heard
        )

    # -- life --------------------------------------------------------------

    def close(self) -> None:
        """Close the connections, in the background. Idempotent.

        To be called when nobody uses the transport any more.
        """
        with self._lock:
            closed, self._closed = self._closed, True
            used = self._sends.attempt or self._hears.attempt
            if not closed and used and not self._is_fake:
                self._closing = bounded.Task(self._cleanup)

    def wait_closed(self, seconds: float | None = None) -> None:
        """Wait for what :meth:`close` began.

        :param seconds: at most so long; by default ``stop_timeout``.
        """
        if self._closing is None:
            return
        if seconds is None:
            seconds = self.settings.stop_timeout
        try:
            self._closing.wait(seconds)
        except bounded.OverdueError:
            LOG.warning('A message queue connection is slow to close')

    def _cleanup(self) -> None:
        for step in (self._sends, self._hears):
            if step.attempt is not None:
                step.attempt.finish()
        # A connection that fails to close ends the clean-up; the next
        # attempt goes on behind it.
        for _ in range(_CLEANUP_ATTEMPTS):
            try:
                self.raw.cleanup()
            except Exception:
                LOG.debug('Closing a transport failed', exc_info=True)
            else:
                return


def down(error: BaseException) -> QueueDownError:
    """The error as one of ours."""
    if isinstance(error, QueueDownError):
        return error
    return QueueDownError(connections.reason(error))


def is_remote(error: BaseException) -> bool:
    """Whether this is a worker's exception, not one of this process."""
    return type(error).__module__.endswith('_Remote')


def is_answer(error: BaseException) -> bool:
    """Whether it was a worker that raised this, whatever it is."""
    return is_remote(error) or isinstance(error, oslo_messaging.RemoteError)


def is_timeout(error: BaseException) -> bool:
    """Whether a call got no answer in time."""
    return isinstance(
        error, oslo_messaging.MessagingTimeout
    ) and not is_remote(error)
