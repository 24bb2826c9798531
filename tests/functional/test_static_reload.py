"""Static cells at work: no API database, and files that change under it."""

from __future__ import annotations

import threading
import uuid

import testtools

import cellplug
from cellplug import exception
from cellplug import rpc
from cellplug.testing import fixtures as cellplug_fixtures
from tests.functional import helpers_deployment as helpers
from tests.unit import helpers_static

UUIDS = helpers_static.UUIDS


class Endpoint:
    """A worker that reads and writes its own cell."""

    def __init__(self, database: cellplug.Database) -> None:
        self._add = database.writer(helpers.add)
        self._words = database.reader(helpers.words)

    def note(self, context, word):
        self._add(context, word)
        return self._words(context)


class StaticTestCase(testtools.TestCase):
    """A router that has nothing but a file with cells and rules."""

    backend = 'sqlite'

    def setUp(self):
        super().setUp()
        self.files = self.useFixture(
            helpers_static.StaticFixture(
                'east',
                'west',
                backend=self.backend,
                options={
                    'resolver_static': {
                        'instances': 'rules',
                        'projects': 'acme:west',
                        'default_cell': 'east',
                    }
                },
            )
        )
        self.database = cellplug.Database()
        self.router = self.files.open_router(database=self.database)
        self.files.claim(self.router)
        for name in ('east', 'west'):
            helpers.make_notes(self.url(name), f'first of {name}')
        self.add = self.database.writer(helpers.add)
        self.words = self.database.reader(helpers.words)

    def url(self, name):
        return self.files.sections[f'cell_{name}']['database_connection']

    def edit(self, group, **values):
        self.files.sections[group].update(values)
        self.files.write()

    def context(self, project_id='p'):
        return cellplug.RequestContext(user_id='u', project_id=project_id)

    def serve(self, name):
        target = rpc.Target(topic='notes', server=name)
        server = self.router.rpc_server(
            name, target, [Endpoint(self.database)]
        )
        server.start()
        self.addCleanup(server.stop)

    def call(self, cctxt, word):
        client = self.router.rpc_client(cctxt, rpc.Target(topic='notes'))
        return client.call(cctxt, 'note', word=word)


class StaticTests:
    def test_a_request_is_routed_without_an_api_database(self):
        self.serve('west')
        instance = str(uuid.uuid4())
        with self.router.target_instance(
            self.context('acme'), instance
        ) as cctxt:
            self.add(cctxt, 'written')
            self.assertEqual(['first of west', 'written'], self.words(cctxt))
            self.assertEqual(
                ['first of west', 'written', 'told'], self.call(cctxt, 'told')
            )
        with self.router.target_cell(self.context(), 'east') as cctxt:
            self.assertEqual(['first of east'], self.words(cctxt))
        self.assertEqual(
            ['first of west', 'written', 'told'],
            helpers.stored(self.url('west')),
        )

    def test_an_edited_database_is_followed_by_who_is_targeted(self):
        with self.router.target_cell(self.context(), 'east') as cctxt:
            self.assertEqual(['first of east'], self.words(cctxt))
            moved = self.files.fresh_database()
            self.edit('cell_east', database_connection=moved)
            self.router.reload()
            self.router.cells.claim('east')
            helpers.make_notes(moved, 'moved')
            self.assertEqual(['moved'], self.words(cctxt))
        with self.router.target_cell(self.context(), 'west') as cctxt:
            self.assertEqual(['first of west'], self.words(cctxt))

    def test_an_open_transaction_ends_where_it_began(self):
        former = self.url('east')
        with self.router.target_cell(self.context(), 'east') as cctxt:
            with self.database.writer.using(cctxt) as session:
                self.assertTrue(session)
                helpers.add(cctxt, 'before')
                moved = self.files.fresh_database()
                self.edit('cell_east', database_connection=moved)
                self.router.reload()
                helpers.add(cctxt, 'after')
        self.assertEqual(
            ['first of east', 'before', 'after'], helpers.stored(former)
        )

    def test_a_removed_cell_is_gone_for_who_is_targeted_too(self):
        with self.router.target_cell(self.context(), 'east') as cctxt:
            self.assertEqual(['first of east'], self.words(cctxt))
            del self.files.sections['cell_east']
            self.edit('resolver_static', cells='west', default_cell='west')
            self.router.reload()
            for use in (
                lambda: self.words(cctxt),
                lambda: self.router.target_cell(self.context(), 'east'),
                lambda: self.router.target_cell(self.context(), UUIDS['east']),
            ):
                self.assertRaises(exception.CellMappingNotFound, use)
        # Whose default was east is now in the west.
        with self.router.target_instance(
            self.context(), str(uuid.uuid4())
        ) as cctxt:
            self.assertEqual(['first of west'], self.words(cctxt))

    def test_a_cell_that_is_used_while_it_goes_does_not_come_back(self):
        # A mapping that somebody looked up before the reload.
        stale = self.router.cells.get('east')
        del self.files.sections['cell_east']
        self.edit('resolver_static', cells='west', default_cell='west')
        self.router.reload()
        self.assertRaises(
            exception.CellMappingNotFound,
            self.router.target_cell,
            self.context(),
            stale,
        )

    def test_a_bad_file_changes_nothing_for_anybody(self):
        before = self.router.cells.list()
        moved = self.files.fresh_database()
        self.edit('cell_east', database_connection=moved)
        self.edit('cell_west', transport_url='amqp://u:pa55word@h/')
        refusal = self.assertRaises(
            exception.ConfigurationError, self.router.reload
        )
        self.assertIn('[cell_west] transport_url', str(refusal))
        self.assertNotIn('pa55word', str(refusal))
        self.assertEqual(before, self.router.cells.list())
        with self.router.target_cell(self.context(), 'east') as cctxt:
            self.assertEqual(['first of east'], self.words(cctxt))

    def test_readers_see_one_version_while_it_changes(self):
        stop, problems = threading.Event(), []

        def read():
            while not stop.is_set():
                states = {
                    cell.state
                    for cell in self.router.cells.list()
                    if cell.name in ('east', 'west')
                }
                if len(states) != 1:
                    problems.append(states)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        try:
            for number in range(20):
                state = ('no_new', 'enabled')[number % 2]
                for name in ('east', 'west'):
                    self.files.sections[f'cell_{name}']['state'] = state
                self.files.write()
                self.router.reload()
        finally:
            stop.set()
            for reader in readers:
                reader.join(helpers.PATIENCE)
        self.assertEqual([], problems)


class TestOnSQLite(StaticTests, StaticTestCase):
    pass


class TestOnMariaDB(StaticTests, StaticTestCase):
    backend = 'mariadb'


class TestOnRabbitMQ(StaticTestCase):
    def test_an_edited_queue_is_followed_by_who_is_targeted(self):
        former, later = (
            self.useFixture(cellplug_fixtures.QueueFixture()).url
            for _ in range(2)
        )
        # Close before the virtual hosts go.
        self.addCleanup(self.router.close)
        self.edit('cell_east', transport_url=former)
        self.router.reload()
        self.serve('east')
        with self.router.target_cell(self.context(), 'east') as cctxt:
            self.assertIn('one', self.call(cctxt, 'one'))
            self.edit('cell_east', transport_url=later)
            # A worker on the new queue, in a router of its own.
            database = cellplug.Database()
            elsewhere = self.files.open_router(database=database)
            self.addCleanup(elsewhere.close)
            endpoint = Endpoint(database)
            endpoint.note = lambda context, word: f'{word} elsewhere'
            server = elsewhere.rpc_server(
                'east', rpc.Target(topic='notes', server='new'), [endpoint]
            )
            server.start()
            self.addCleanup(server.stop)
            self.router.reload()
            self.assertEqual('two elsewhere', self.call(cctxt, 'two'))
