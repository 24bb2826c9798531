"""What a cell is open for: each state, in each way to work on a cell."""

from __future__ import annotations

import contextlib
import uuid

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

import cellplug
from cellplug import exception
from cellplug.rpc.quiet import oslo_messaging
from tests.functional import helpers_deployment as helpers
from tests.functional import test_fork


class Worker:
    """What a server of the cell's offers; it writes where it is told to."""

    def __init__(self, add):
        self._add = add

    def note(self, context, word):
        self._add(context, word)
        return word

    def echo(self, context, word):
        return word


class StateTests:
    """A context from before, and new ones, in a cell of each state."""

    def setUp(self):
        super().setUp()
        self.deploy(2)
        self.cell, self.other = self.deployment.cells
        self.instance = str(uuid.uuid4())
        self.router.instances.map(self.context(), self.instance, 'cell1')
        self.before = self.targeted('cell1')

    def set(self, state):
        return self.router.cells.update('cell1', state=state)

    def forbidden(self, call, *args, state, what=''):
        """The call is refused, and the refusal says why."""
        error = self.assertRaises(exception.CellStateForbids, call, *args)
        self.assertEqual(self.cell.uuid, error.cell_uuid)
        self.assertEqual('cell1', error.cell_name)
        self.assertEqual(state, error.state)
        self.assertEqual(
            f"cell 'cell1' ({self.cell.uuid}) is {state}: {error.what}",
            str(error),
        )
        if what:
            self.assertEqual(what, error.what)

    def test_enabled_and_no_new_let_all_pass(self):
        for state in ('enabled', 'no_new'):
            self.set(state)
            for cctxt in (self.before, self.targeted('cell1')):
                self.add(cctxt, state)
                self.assertIn(state, self.words(cctxt))
                self.assertIn(state, self.words_alone(cctxt))
            self.assertEqual(
                ['cell1'],
                self.router.run(self.context(), self.instance, self.words)[:1],
            )

    def test_read_only_reads(self):
        self.set('read_only')
        for cctxt in (self.before, self.targeted('cell1')):
            self.assertEqual(['cell1'], self.words(cctxt))
            self.assertEqual(['cell1'], self.words_alone(cctxt))
            with self.database.reader.using(cctxt):
                self.assertEqual(['cell1'], self.words(cctxt))

    def test_read_only_takes_no_writes(self):
        self.set('read_only')
        alone = self.database.writer.independent(helpers.add)
        ways = (
            lambda cctxt: self.add(cctxt, 'x'),
            lambda cctxt: self.database.writer.using(cctxt).__enter__(),
            lambda cctxt: alone(cctxt, 'x'),
            self.database.get_session,
            self.database.get_engine,
        )
        for cctxt in (self.before, self.targeted('cell1')):
            for way in ways:
                self.forbidden(
                    way, cctxt, state='read_only', what='it takes no writes'
                )
        self.forbidden(
            self.router.run,
            self.context(),
            self.instance,
            lambda cctxt: self.add(cctxt, 'x'),
            state='read_only',
        )
        self.assertEqual(
            ['cell1'], helpers.stored(self.cell.database_connection)
        )

    def test_read_only_keeps_nothing_that_a_reader_writes(self):
        self.set('read_only')
        reader = self.database.reader
        for access in (reader, reader.single, reader.connection):
            with contextlib.suppress(
                oslo_exception.DBError, sa.exc.DBAPIError
            ):
                with access.using(self.targeted('cell1')) as session:
                    session.execute(sa.insert(helpers.NOTE), {'word': 'x'})
        self.assertEqual(
            ['cell1'], helpers.stored(self.cell.database_connection)
        )

    def test_read_only_refuses_the_writer_inside_a_reader_of_another(self):
        self.set('read_only')
        context = self.context()
        with self.database.writer.using(self.targeted('cell2', context)):
            cctxt = self.targeted('cell1', context)
            self.forbidden(self.add, cctxt, 'x', state='read_only')
            self.add(self.targeted('cell2', context), 'y')
        self.assertEqual(
            ['cell2', 'y'], helpers.stored(self.other.database_connection)
        )

    def test_disabled_is_not_targeted(self):
        self.set('disabled')
        owned = self.context()
        for call, args in (
            (self.router.target_cell, (self.context(), 'cell1')),
            (self.router.target_cell, (self.context(), self.cell)),
            (self.router.target_cell, (self.context(), self.cell.uuid)),
            (self.router.target_instance, (self.context(), self.instance)),
            (self.router.set_target_cell, (owned, 'cell1')),
            (self.router.run, (self.context(), self.instance, self.words)),
        ):
            self.forbidden(
                call, *args, state='disabled', what='nothing is done in it'
            )
        self.assertIsNone(owned.db_connection)
        self.assertIsNone(owned.cell_uuid)

    def test_disabled_refuses_who_was_there_before(self):
        self.words(self.before)
        self.set('disabled')
        for call in (
            lambda: self.words(self.before),
            lambda: self.words_alone(self.before),
            lambda: self.add(self.before, 'x'),
            lambda: self.database.get_session(self.before),
        ):
            self.forbidden(call, state='disabled')
        self.assertEqual(
            ['cell1'], helpers.stored(self.cell.database_connection)
        )

    def test_what_is_open_ends_as_it_began(self):
        with self.database.writer.using(self.before):
            self.add(self.before, 'one')
            self.set('disabled')
            self.add(self.before, 'two')
        self.forbidden(self.add, self.before, 'three', state='disabled')
        self.assertEqual(
            ['cell1', 'one', 'two'],
            helpers.stored(self.cell.database_connection),
        )

    def test_the_others_are_not_concerned(self):
        for state in ('read_only', 'disabled'):
            self.set(state)
            self.add(self.targeted('cell2'), state)
        self.assertEqual(
            ['cell2', 'read_only', 'disabled'],
            self.words(self.targeted('cell2')),
        )

    def test_enabled_again_all_is_as_before(self):
        self.set('disabled')
        self.forbidden(self.words, self.before, state='disabled')
        self.set('enabled')
        self.add(self.before, 'x')
        self.assertEqual(['cell1', 'x'], self.words(self.targeted('cell1')))

    def test_another_process_obeys_when_it_looks_the_cell_up(self):
        other = cellplug.Database()
        words = other.reader(helpers.words)
        with self.deployment.open_router(other) as router:
            with router.target_cell(self.context(), 'cell1') as cctxt:
                words(cctxt)
                self.set('disabled')
                self.forbidden(
                    router.target_cell,
                    self.context(),
                    'cell1',
                    state='disabled',
                )
                # The newest mapping counts, however the context came to be.
                self.forbidden(words, cctxt, state='disabled')

    def test_a_child_of_a_fork_obeys(self):
        self.set('disabled')

        def child():
            try:
                self.words(self.before)
            except exception.CellStateForbids as exc:
                return exc.state
            return None

        self.assertEqual('disabled', test_fork.in_child(child))

    def test_what_cellplug_does_itself_is_done_in_any_state(self):
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'moved')
        for state in ('read_only', 'disabled'):
            self.set(state)
            self.router.cells.claim('cell1')
            report = self.router.health(
                ['cell1'], probe=True, timeout=helpers.PATIENCE
            )[self.cell.uuid]
            self.assertEqual(0, report.database.failures)
            self.assertEqual(state, report.state)
        self.router.cells.update('cell1', database_connection=url)
        self.set('enabled')
        self.assertEqual(['moved'], self.words(self.before))

    def test_a_scatter_says_that_it_was_not_asked(self):
        self.set('disabled')
        result = self.router.scatter_gather(self.context(), self.words)
        self.assertEqual(
            {self.other.uuid: ['cell2']}, result.partial(min_cells=1)
        )
        self.assertIn('is disabled', result.failed[self.cell.uuid].reason)
        self.set('read_only')
        result = self.router.scatter_gather(self.context(), self.words)
        self.assertEqual(2, len(result.complete()))


class TestStatesOnSqlite(StateTests, helpers.DeploymentTestCase):
    pass


class TestStatesOnMariaDB(StateTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestStatesOnPostgreSQL(StateTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestMessages(helpers.DeploymentTestCase):
    """Messages to a cell, and what its workers may do then."""

    def setUp(self):
        super().setUp()
        self.deploy(1)
        self.cctxt = self.targeted('cell1')
        target = oslo_messaging.Target(topic='work', server='one')
        server = self.router.rpc_server('cell1', target, Worker(self.add))
        server.start()
        self.addCleanup(server.stop)
        self.client = self.router.rpc_client(
            self.cctxt, oslo_messaging.Target(topic='work')
        )

    def set(self, state):
        self.router.cells.update('cell1', state=state)

    def test_read_only_cells_take_messages_but_their_workers_no_writes(self):
        self.set('read_only')
        self.assertEqual('x', self.client.call(self.cctxt, 'echo', word='x'))
        error = self.assertRaises(
            exception.CellStateForbids,
            self.client.call,
            self.cctxt,
            'note',
            word='x',
        )
        self.assertEqual('read_only', error.state)

    def test_disabled_cells_take_no_messages(self):
        self.client.call(self.cctxt, 'note', word='x')
        self.set('disabled')
        for send in (self.client.call, self.client.cast):
            error = self.assertRaises(
                exception.CellStateForbids, send, self.cctxt, 'echo', word='x'
            )
            self.assertEqual('disabled', error.state)
        self.set('enabled')
        self.assertEqual('x', self.client.call(self.cctxt, 'echo', word='x'))
