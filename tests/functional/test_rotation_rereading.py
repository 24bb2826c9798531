"""Who cannot reach a cell looks it up again before a request hears of it.

No process follows by itself here: what was edited is found by failing.
"""

from __future__ import annotations

import threading
import uuid

from cellplug import exception
from cellplug.cells import rereading
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_rotation
from tests.functional import test_rotation

OPTIONS = {'cells.follow_interval': 0}


class RereadingCase(test_rotation.RotationTestCase):
    """A process that worked with a cell whose account is gone now."""

    options = {  # noqa: RUF012 (read only)
        **OPTIONS,
        # A pooled connection that was ended is noticed before it is used.
        'cell_database.ping_after': 0,
    }

    def setUp(self):
        super().setUp()
        self.service = self.process()
        self.asked = []
        resolver = self.service.router._parts.resolver
        get_cell = resolver.get_cell

        def counted(cell):
            self.asked.append(cell)
            return get_cell(cell)

        self.patch(resolver, 'get_cell', counted)
        self.kept = self.targeted(self.service)
        self.service.add(self.kept, 'before')
        self.asked.clear()

    def revoke(self, **changed):
        """Rotate without waiting for anybody, and revoke at once."""
        former = self.cell
        self.cell = self.deployment.router.cells.update(former, **changed)
        if 'database_connection' in changed:
            self.accounts.drop(
                helpers_rotation.user_of(former.database_connection)
            )
        if 'transport_url' in changed:
            user = helpers_rotation.user_of(former.transport_url)
            self.broker.drop(user)
            databases.poll_until(
                lambda: user not in self.broker.count(),
                'the broker keeps connections of a user that is gone',
            )


class DatabaseMixin:
    def test_a_kept_context_reads_and_writes_on(self):
        self.revoke(database_connection=self.accounts.add())
        self.assertEqual(1, self.service.words(self.kept))
        self.service.add(self.kept, 'after')
        self.assertEqual(2, self.service.words(self.kept))
        self.assertEqual([self.cell.uuid], self.asked)

    def test_a_block_opens_too(self):
        self.revoke(database_connection=self.accounts.add())
        with self.service.database.writer.using(self.kept) as session:
            self.assertTrue(session)
            helpers.add(self.kept, 'after')
        self.assertEqual(2, self.service.words(self.kept))

    def test_many_at_once_ask_once(self):
        self.revoke(database_connection=self.accounts.add())
        race = databases.Race(
            *[lambda: self.service.words(self.kept)] * test_rotation.THREADS
        )
        self.assertEqual([1] * test_rotation.THREADS, race.outcomes)
        self.assertEqual([self.cell.uuid], self.asked)

    def test_run_goes_on(self):
        self.revoke(database_connection=self.accounts.add())
        context = self.deployment.context()
        self.service.router.run(
            context, self.instance, self.service.add, 'run'
        )
        self.assertEqual(2, self.service.words(self.kept))

    def test_a_cell_that_did_not_change_fails_as_it_did(self):
        self.accounts.drop(
            helpers_rotation.user_of(self.cell.database_connection)
        )
        refusal = self.assertRaises(
            exception.CellUnavailable, self.service.words, self.kept
        )
        self.assertEqual(self.cell.uuid, refusal.cell_uuid)
        self.assertNotIn(
            helpers_rotation.password_of(self.cell.database_connection),
            str(refusal),
        )

    def test_an_api_database_that_is_down_hides_nothing(self):
        self.accounts.drop(
            helpers_rotation.user_of(self.cell.database_connection)
        )

        def down(cell):
            raise exception.DatabaseUnavailable('the API database', 'gone')

        self.patch(self.service.router._parts.resolver, 'get_cell', down)
        refusal = self.assertRaises(
            exception.CellUnavailable, self.service.words, self.kept
        )
        self.assertEqual('database', refusal.part)


class TestMariaDB(DatabaseMixin, RereadingCase):
    pass


class TestPostgreSQL(DatabaseMixin, RereadingCase):
    backend = 'postgresql'


class QueueTest(RereadingCase):
    def test_a_kept_client_sends_on(self):
        worker = self.process()
        server = self.serve(worker)
        client = self.client(self.service, self.kept)
        self.assertEqual('one', client.call(self.kept, 'note', word='one'))
        server.stop()
        self.revoke(transport_url=self.broker.add())
        # The worker is started anew, and finds the new account.
        again = self.process()
        self.serve(again)
        self.assertEqual('two', client.call(self.kept, 'note', word='two'))
        client.cast(self.kept, 'note', word='three')
        databases.poll_until(
            lambda: self.service.words(self.kept) == 4, 'the cast is lost'
        )

    def test_the_first_message_too(self):
        self.revoke(transport_url=self.broker.add())
        worker = self.process()
        self.serve(worker)
        client = self.client(self.service, self.kept)
        self.assertEqual('one', client.call(self.kept, 'note', word='one'))

    def test_a_queue_that_did_not_change_fails_as_it_did(self):
        self.broker.drop(helpers_rotation.user_of(self.cell.transport_url))
        client = self.client(self.service, self.kept)
        refusal = self.assertRaises(
            exception.CellUnavailable,
            client.call, self.kept, 'note', word='one',
        )  # fmt: skip
        self.assertEqual('message queue', refusal.part)


class RunTest(helpers.DeploymentTestCase):
    """A memory of the route, and of the cell, that is wrong."""

    def test_run_forgets_how_the_cell_was_reached(self):
        self.deploy(
            options={
                **OPTIONS,
                'resolver.driver': 'local',
                'resolver_local.ttl': 3600,
            }
        )
        instance, (cell, _) = str(uuid.uuid4()), self.deployment.cells
        self.router.instances.map(self.context(), instance, cell)
        forgotten = []
        resolver = self.router._parts.resolver
        forget = resolver.forget_cell
        self.patch(
            resolver,
            'forget_cell',
            lambda cell: forgotten.append(cell) or forget(cell),
        )
        calls = []

        def work(cctxt):
            calls.append(cctxt)
            if len(calls) == 1:
                raise exception.CellUnavailable(
                    cell.uuid, cell.name, 'gone', before_first_statement=True
                )
            return self.words(cctxt)

        self.assertEqual(
            ['cell1'], self.router.run(self.context(), instance, work)
        )
        self.assertEqual([cell.uuid], forgotten)

    def test_a_cell_that_is_refused_unasked_costs_no_look_up(self):
        self.deploy(options=OPTIONS)
        instance, (cell, _) = str(uuid.uuid4()), self.deployment.cells
        self.router.instances.map(self.context(), instance, cell)
        asked = []
        resolver = self.router._parts.resolver
        get_instance = resolver.get_instance
        self.patch(
            resolver,
            'get_instance',
            lambda uuid: asked.append(uuid) or get_instance(uuid),
        )

        def work(cctxt):
            raise exception.CellUnavailable(
                cell.uuid,
                cell.name,
                'refused',
                before_first_statement=True,
                refused=True,
            )

        self.assertRaises(
            exception.CellUnavailable,
            self.router.run, self.context(), instance, work,
        )  # fmt: skip
        self.assertEqual([instance], asked)


class Resolver:
    """Counts who asks; answers when it is let."""

    def __init__(self):
        self.asked = 0
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.inside = None

    def forget_cell(self, uuid):
        pass

    def attach(self, mapping):
        raise AssertionError('nothing was found')

    def get_cell(self, uuid):
        self.asked += 1
        self.entered.set()
        self.go_on.wait(helpers.PATIENCE)
        if self.inside is not None:
            self.inside()
        raise exception.CellMappingNotFound(uuid)


class RateTest(helpers.DeploymentTestCase):
    """How often a cell that fails is asked about."""

    def setUp(self):
        super().setUp()
        self.now = 100.0
        self.resolver = Resolver()
        self.rereading = rereading.Rereading(1.0, lambda: self.now)
        self.rereading.resolver = self.resolver
        self.rereading.registry = self.resolver

    def test_once_a_second_for_each_cell(self):
        for _ in range(3):
            self.rereading.reread('one')
            self.rereading.reread('two')
        self.assertEqual(2, self.resolver.asked)
        self.now += 1.1
        self.rereading.reread('one')
        self.assertEqual(3, self.resolver.asked)

    def test_those_who_ask_again_and_again_are_answered_some_day(self):
        for _ in range(30):
            self.now += 0.1
            self.rereading.reread('one')
        self.assertEqual(3, self.resolver.asked)

    def test_who_comes_meanwhile_waits_for_the_same_answer(self):
        self.resolver.go_on.clear()
        with databases.in_background(lambda: self.rereading.reread('one')):
            self.assertTrue(self.resolver.entered.wait(helpers.PATIENCE))
            with databases.in_background(
                lambda: self.rereading.reread('one')
            ) as second:
                self.assertEqual([], second)
                self.resolver.go_on.set()
        self.assertEqual([None], second)
        self.assertEqual(1, self.resolver.asked)

    def test_a_resolver_that_works_on_that_cell_does_not_wait_for_itself(self):
        self.resolver.inside = lambda: self.rereading.reread('one')
        self.rereading.reread('one')
        self.assertEqual(1, self.resolver.asked)

    def test_a_strangers_error_is_not_the_requests(self):
        def fail():
            raise RuntimeError('do-not-show-me')

        self.resolver.inside = fail
        self.rereading.reread('one')
