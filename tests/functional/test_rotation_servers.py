"""RPC servers that go on where their cell's queue is by now."""

from __future__ import annotations

import logging
import threading

from fixtures import FakeLogger

from cellplug import rpc
from cellplug.testing import fixtures as cellplug_fixtures
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_rotation
from tests.functional import test_rotation


class Worker:
    """Answers with its name, or when it is let."""

    def __init__(self, name):
        self.name = name
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def who(self, context):
        return self.name

    def wait(self, context):
        self.entered.set()
        self.go_on.wait(helpers.PATIENCE)
        return self.name


class ServersCase(test_rotation.RotationTestCase):
    options = {  # noqa: RUF012 (read only)
        'cells.follow_interval': 3600,
        'rpc.call_timeout': 20,
        'rpc.connect_timeout': 3,
        'rpc.server_threads': 2,
    }

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(FakeLogger(level=logging.INFO))
        self.service, self.worker = self.process(), self.process()
        self.endpoint = Worker('worker')
        self.server = self.worker.router.rpc_server(
            self.cell.uuid,
            rpc.Target(topic='work', server='w'),
            [self.endpoint],
        )
        self.server.start()
        # Before its account goes.
        self.addCleanup(self.deployment._close_routers)
        self.addCleanup(self.endpoint.go_on.set)

    def update(self, url):
        self.cell = self.deployment.router.cells.update(
            self.cell, transport_url=url
        )

    def follow(self):
        self.worker.router._parts.follower.follow()

    def call(self, method, router=None):
        """Call as a process does that knows the newest URL."""
        router = router or self.deployment.router
        context = self.deployment.context()
        with router.target_cell(context, self.cell.uuid) as cctxt:
            client = router.rpc_client(cctxt, rpc.Target(topic='work'))
            return client.call(cctxt, method)

    def until_it_listens(self, user):
        databases.poll_until(
            lambda: self.broker.count().get(user), 'the server stays'
        )

    def until_it_left(self, user):
        databases.poll_until(
            lambda: user not in self.broker.count(),
            'connections stay open at the former account',
        )


class ServersTest(ServersCase):
    def test_it_goes_over_to_another_account(self):
        former = helpers_rotation.user_of(self.cell.transport_url)
        self.assertEqual('worker', self.call('who'))
        url = self.broker.add()
        self.update(url)
        self.follow()
        self.until_it_left(former)
        self.broker.drop(former)
        self.assertEqual('worker', self.call('who'))

    def test_what_is_worked_on_is_finished(self):
        former = helpers_rotation.user_of(self.cell.transport_url)
        with databases.in_background(
            lambda: self.call('wait', self.service.router)
        ) as outcome:
            self.assertTrue(self.endpoint.entered.wait(helpers.PATIENCE))
            url = self.broker.add()
            self.update(url)
            self.follow()
            self.until_it_listens(helpers_rotation.user_of(url))
            self.assertEqual('worker', self.call('who'))
            self.endpoint.go_on.set()
        self.assertEqual(['worker'], outcome)
        self.service.router._parts.follower.follow()
        self.until_it_left(former)

    def test_what_cannot_be_reached_leaves_the_former_one_and_is_told(self):
        before = self.cell.transport_url
        kept = self.targeted(self.service)
        client = self.service.router.rpc_client(kept, rpc.Target(topic='work'))
        bad = before.replace(
            helpers_rotation.password_of(before), 'do-not-show-me'
        )
        self.update(bad)
        for _ in range(2):
            self.follow()
            databases.poll_until(
                lambda: 'goes on at the former' in self.log.output,
                'nobody complains',
            )
            databases.poll_until(
                lambda: not self.server._following._turn.locked(), 'it hangs'
            )
        self.assertEqual(1, self.log.output.count('goes on at the former'))
        # By one that was aimed at it before.
        self.assertEqual('worker', client.call(kept, 'who'))
        self.update(before)
        self.follow()
        self.assertEqual('worker', self.call('who'))
        self.assertNotIn('do-not-show-me', self.log.output)

    def test_after_a_move_both_are_listened_to_for_a_while(self):
        """Those who have not followed yet still get an answer."""
        elsewhere = self.useFixture(cellplug_fixtures.QueueFixture())
        self.addCleanup(self.deployment._close_routers)
        kept = self.targeted(self.service)
        client = self.service.router.rpc_client(kept, rpc.Target(topic='work'))
        self.assertEqual('worker', client.call(kept, 'who'))
        self.update(elsewhere.url)
        self.follow()
        databases.poll_until(
            lambda: 'listens at the new' in self.log.output, 'it stays'
        )
        self.assertEqual('worker', self.call('who'))
        # By one that has not followed yet.
        self.assertEqual('worker', client.call(kept, 'who'))

    def test_a_server_that_is_stopped_meanwhile_stays_stopped(self):
        former = helpers_rotation.user_of(self.cell.transport_url)
        url = self.broker.add()
        self.update(url)
        self.follow()
        self.server.stop()
        for user in (former, helpers_rotation.user_of(url)):
            self.until_it_left(user)

    def test_closing_the_router_ends_both(self):
        former = helpers_rotation.user_of(self.cell.transport_url)
        with databases.in_background(
            lambda: self.call('wait', self.service.router)
        ):
            self.assertTrue(self.endpoint.entered.wait(helpers.PATIENCE))
            url = self.broker.add()
            self.update(url)
            self.follow()
            self.until_it_listens(helpers_rotation.user_of(url))
            self.endpoint.go_on.set()
        self.service.router.close()
        self.worker.router.close()
        self.deployment.router.close()
        for user in (former, helpers_rotation.user_of(url)):
            self.until_it_left(user)

    def test_a_handler_that_hangs_keeps_nobody_from_closing(self):
        kept = self.targeted(self.service)
        client = self.service.router.rpc_client(kept, rpc.Target(topic='work'))
        # Nobody waits for its answer, which would never come.
        client.cast(kept, 'wait')
        self.assertTrue(self.endpoint.entered.wait(helpers.PATIENCE))
        self.update(self.broker.add())
        self.follow()
        databases.poll_until(
            lambda: 'listens at the new' in self.log.output, 'it stays'
        )
        with databases.in_background(self.worker.router.close) as closed:
            pass
        self.assertEqual([None], closed)
        self.assertIn('left behind', self.log.output)
        self.endpoint.go_on.set()


class StopUnderLoadTest(ServersCase):
    """Of two servers one stops and starts again while calls are made."""

    def test_no_call_is_lost(self):
        other = self.process()
        second = other.router.rpc_server(
            self.cell.uuid,
            rpc.Target(topic='work', server='other'),
            [Worker('other')],
        )
        second.start()
        kept = self.targeted(self.service)
        client = self.service.router.rpc_client(kept, rpc.Target(topic='work'))

        def call():
            client.call(kept, 'who')

        with helpers_rotation.Load(*[call] * 4) as load:
            for _ in range(8):
                load.reach(50)
                second.stop()
                load.reach(20)
                second.start()
            load.reach(50)
        self.assertEqual([], load.failures)
