"""Transport URLs that oslo.messaging reads as they are meant, or not."""

from __future__ import annotations

import testtools

from cellplug import exception
from cellplug.objects import urls
from cellplug.rpc import messaging
from cellplug.rpc import settings
from cellplug.testing import deployment


class TransportURLTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = self.useFixture(deployment.ConfFixture()).conf
        self.settings = settings.RPCSettings.from_group(self.conf.rpc)

    def test_several_hosts_are_one_queue(self) -> None:
        for url in (
            'rabbit://u:p@Host1:5672,u:q@host2:5672/v',
            'rabbit://u:p@host1,u:q@[::1]:5672/v',
        ):
            messaging.Transport(self.conf, url, self.settings).close()

    def test_a_password_that_would_be_read_as_a_host_is_refused(self) -> None:
        error = self.assertRaises(
            exception.InvalidURL,
            messaging.Transport,
            self.conf,
            'rabbit://u:CANARY/CANARY@host/v',
            self.settings,
        )
        self.assertNotIn('CANARY', str(error))
        hidden = error.__suppress_context__ or error.__context__ is None
        self.assertTrue(hidden)

    def test_a_wrong_port_quotes_nothing(self) -> None:
        """The host was forgotten: what stands for the port is a password."""
        error = self.assertRaises(
            exception.InvalidURL,
            urls.check_transport,
            'transport_url',
            'rabbit://user:CANARY',
        )
        self.assertIsNone(error.__cause__)
        self.assertTrue(error.__suppress_context__)
