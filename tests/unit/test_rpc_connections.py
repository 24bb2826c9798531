"""What cellplug relies on below oslo.messaging's public interface.

If one of these fails after an upgrade, messaging waits without bounds again:
look at cellplug/rpc/connections.py.
"""

from __future__ import annotations

import testtools
from kombu.utils import url as kombu_url

from cellplug import exception
from cellplug.rpc import connections
from cellplug.rpc import messaging
from cellplug.rpc import settings
from cellplug.rpc.quiet import impl_rabbit
from cellplug.rpc.quiet import oslo_messaging
from cellplug.testing import deployment

SETTINGS = settings.RPCSettings(
    connect_timeout=0.5, call_timeout=1, stop_timeout=1, server_threads=1
)


class TransportTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = self.useFixture(deployment.ConfFixture()).conf

    def transport(self, url: str) -> messaging.Transport:
        return messaging.Transport(self.conf, url, SETTINGS)

    def test_a_rabbit_transport_opens_bounded_connections(self) -> None:
        pool = self.transport('rabbit://u:p@h/').raw._driver._connection_pool
        self.assertIs(connections.BoundedConnection, pool.connection_cls.func)
        pool._max_size = 0  # all in use, for ever
        self.assertRaises(connections.NoConnectionError, pool.get)

    def test_the_answers_listener_can_be_opened_by_name(self) -> None:
        driver = self.transport('rabbit://u:p@h/').raw._driver
        self.assertTrue(callable(driver._get_reply_q))

    def test_what_is_overridden_is_there(self) -> None:
        for name in (
            '_transform_transport_url',
            'consume',
            'declare_consumer',
            'ensure',
            'set_transport_socket_timeout',
        ):
            self.assertTrue(hasattr(impl_rabbit.Connection, name), name)

    def test_each_host_is_tried(self) -> None:
        for hosts, more in (('a', 0), ('a,b', 1), ('a:1,b:2,c', 2)):
            parsed = oslo_messaging.TransportURL.parse(
                self.conf, f'rabbit://{hosts}/'
            )
            self.assertEqual(more, connections.more_hosts(parsed))

    def test_a_url_means_the_same_to_kombu(self) -> None:
        for user, password, host, vhost, quoted in (
            ('u', 'p', 'h', 'v', 'rabbit://u:p@h:1/v'),
            ('u', 'a/b', 'h', 'v/w', 'rabbit://u:a%2Fb@h:1/v/w'),
            ('a/b', '@:?#', 'h', '/', 'rabbit://a%2Fb:%40%3A%3F%23@h:1//'),
            ('u', 'p', '::1', 'v?', 'rabbit://u:p@[::1]:1/v%3F'),
        ):
            parsed = oslo_messaging.TransportURL.parse(self.conf, quoted)
            made = connections.BoundedConnection._transform_transport_url(
                None, parsed, parsed.hosts[0]
            )
            parts = kombu_url.url_to_parts(made)
            self.assertEqual(
                ('amqp', host, 1, user, password, vhost), tuple(parts[:6])
            )

    def test_a_url_that_oslo_messaging_misreads_is_refused(self) -> None:
        for url in (
            'rabbit://u:se/cret@h/v',
            'rabbit://u:12/cret@h/v',
            'rabbit://u:se?cret@h/v',
            'rabbit://u:se#cret@h/v',
            'rabbit://u:se,cret@h/v',
        ):
            error = self.assertRaises(
                exception.InvalidURL, self.transport, url
            )
            self.assertNotIn('cret', str(error), url)

    def test_a_query_that_cannot_be_used_is_refused(self) -> None:
        error = self.assertRaises(
            exception.InvalidURL,
            self.transport,
            'rabbit://u:p@h/v?heartbeat_rate=secret',
        )
        self.assertNotIn('secret', str(error))


class TimedOutTest(testtools.TestCase):
    def test_silence_is_found_below_what_wraps_it(self) -> None:
        def wrapped(inner: Exception) -> Exception:
            try:
                try:
                    raise inner
                except Exception as exc:
                    raise OSError('outer') from exc
            except OSError as exc:
                return exc

        self.assertTrue(connections.timed_out(wrapped(TimeoutError())))
        self.assertFalse(connections.timed_out(wrapped(BrokenPipeError())))
        self.assertFalse(connections.timed_out(None))
