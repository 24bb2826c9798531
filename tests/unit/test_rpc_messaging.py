"""What a transport says of a message that was not delivered."""

import oslo_messaging
import testtools

from cellplug.rpc import messaging
from cellplug.rpc import settings as rpc_settings
from cellplug.testing import deployment


class Client:
    """A client whose messages meet an error."""

    def __init__(self, cause):
        self.cause = cause

    def cast(self, context, method, **arguments):
        try:
            raise self.cause
        except Exception as exc:
            raise oslo_messaging.MessageDeliveryFailure('lost') from exc

    call = cast


class TestLostMessages(testtools.TestCase):
    def _lost(self, how, cause):
        conf = self.useFixture(deployment.ConfFixture()).conf
        transport = messaging.Transport(
            conf,
            'fake:///',
            rpc_settings.RPCSettings.from_group(conf.rpc),
        )
        self.addCleanup(transport.close)
        error = self.assertRaises(
            messaging.QueueDownError,
            getattr(transport, how),
            Client(cause),
            {},
            'method',
            {},
        )
        self.assertTrue(transport.broken)
        return error

    def test_what_a_dead_connection_lost_may_be_sent_again(self):
        for how in ('call', 'cast'):
            self.assertTrue(self._lost(how, ConnectionResetError()).again)

    def test_what_a_silent_broker_may_have_is_never_sent_again(self):
        for how in ('call', 'cast'):
            self.assertFalse(self._lost(how, TimeoutError()).again)
