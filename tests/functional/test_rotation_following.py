"""What a running process takes up of what became of its cells."""

from __future__ import annotations

import logging
import threading

from fixtures import FakeLogger

import cellplug
from cellplug import exception
from cellplug.testing import fixtures as cellplug_fixtures
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.functional import helpers_memcached

SECRET = 'do-not-show-me'


class FollowingCase(helpers.DeploymentTestCase):
    """One process that edits cells, and another one that follows."""

    resolver = 'database'
    interval = 3600.0
    """A round happens when a test says so."""

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(FakeLogger(level=logging.INFO))
        self.deploy(
            options={
                'cells.follow_interval': self.interval,
                'resolver.driver': self.resolver,
                **self.resolver_options(),
            }
        )
        self.cell = self.deployment.cells[0]
        # The fixture's router stays the editor's; tests use the other one.
        self.editor = self.deployment.router
        self.database = cellplug.Database()
        self.router = self.deployment.open_router(self.database)
        self.serve(self.database)

    def resolver_options(self):
        return {}

    def round(self):
        self.router._parts.follower.follow()

    def move(self, cell=None):
        """Have the cell's database be another one, which says so."""
        cell = cell or self.cell
        moved = self.deployment.fresh_database()
        self.editor.cells.update(cell.uuid, database_connection=moved)
        helpers.make_notes(moved, 'moved')
        return moved


class FollowingTest(FollowingCase):
    def test_who_was_targeted_long_ago_follows(self):
        cctxt = self.targeted('cell1')
        self.assertEqual(['cell1'], self.words(cctxt))
        self.move()
        self.assertEqual(['cell1'], self.words(cctxt))
        self.round()
        self.assertEqual(['moved'], self.words(cctxt))

    def test_an_open_transaction_ends_where_it_began(self):
        former = self.cell.database_connection
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt):
            self.move()
            self.round()
            helpers.add(cctxt, 'late')
        self.assertEqual(['cell1', 'late'], helpers.stored(former))
        self.assertEqual(['moved'], self.words(cctxt))

    def test_other_cells_stay_as_they_are(self):
        one, two = self.targeted('cell1'), self.targeted('cell2')
        engines = self.router._parts.registry.engines(two.db_connection)
        self.move()
        self.round()
        self.assertEqual(['moved'], self.words(one))
        self.assertIs(
            engines, self.router._parts.registry.engines(two.db_connection)
        )

    def test_a_state_is_followed(self):
        self.targeted('cell1')
        self.editor.cells.update('cell1', state='no_new')
        self.round()
        newest = self.router._parts.registry.newest(self.cell.uuid)
        self.assertEqual('no_new', newest.state)

    def test_a_deleted_cell_is_gone_for_who_was_targeted(self):
        cctxt, other = self.targeted('cell1'), self.targeted('cell2')
        self.round()
        self.editor.cells.delete('cell1')
        self.round()
        self.assertRaises(exception.CellMappingNotFound, self.words, cctxt)
        self.assertEqual(['cell2'], self.words(other))

    def test_a_cell_that_comes_back_is_taken_up(self):
        """As it was: its row was restored from a copy."""
        cctxt = self.targeted('cell1')
        self.targeted('cell2')
        self.round()
        listed = self.router.cells.list()
        resolver = self.router._parts.resolver
        self.patch(
            resolver, 'list_cells',
            lambda: [one for one in listed if one.name != 'cell1'],
        )  # fmt: skip
        self.round()
        self.assertRaises(exception.CellMappingNotFound, self.words, cctxt)
        self.patch(resolver, 'list_cells', lambda: listed)
        self.round()
        self.assertEqual(['cell1'], self.words(cctxt))

    def test_one_that_cannot_be_taken_up_is_left_alone(self):
        """A stranger's driver fails for one cell; the others follow."""
        cells = self.deployment.cells
        contexts = [self.targeted(cell.name) for cell in cells]

        def forget(uuid):
            if uuid == cells[0].uuid:
                raise RuntimeError(SECRET)

        self.patch(self.router._parts.resolver, 'forget_cell', forget)
        for cell in cells:
            self.move(cell)
        self.round()
        self.round()
        self.assertEqual(
            [[cells[0].name], *[['moved'] for _ in cells[1:]]],
            [self.words(context) for context in contexts],
        )
        self.assertEqual(1, self.log.output.count('stays as it was'))
        self.assertNotIn(SECRET, self.log.output)

    def test_a_list_without_any_cell_is_not_believed(self):
        cctxt = self.targeted('cell1')
        self.round()
        self.patch(self.router._parts.resolver, 'list_cells', list)
        self.round()
        self.assertEqual(['cell1'], self.words(cctxt))

    def test_a_mapping_that_was_given_by_hand_is_kept(self):
        cell = cellplug.CellMapping(
            uuid='5b1e7c9a-40d2-4683-9c1f-0a2b3c4d5e6f',
            name='elsewhere',
            database_connection=self.cell.database_connection,
            transport_url='none:///',
        )
        registry = self.router._parts.registry
        registry.attach(cell)
        for _ in range(2):
            self.round()
        self.assertEqual(cell, registry.newest(cell.uuid))

    def test_a_url_that_cannot_be_used_changes_nothing_and_is_told_once(self):
        cctxt = self.targeted('cell1')
        listed = self.router.cells.list()
        bad = f'mysql://u:{SECRET}@h/d'
        broken = cellplug.CellMapping(
            uuid=self.cell.uuid,
            name='cell1',
            database_connection=bad,
            transport_url=self.cell.transport_url,
            generation=self.cell.generation + 1,
        )
        self.patch(
            self.router._parts.resolver, 'list_cells',
            lambda: [broken, *listed[1:]],
        )  # fmt: skip
        for _ in range(3):
            self.round()
        self.assertEqual(['cell1'], self.words(cctxt))
        self.assertEqual(1, self.log.output.count('stays as it was'))
        self.assertNotIn(SECRET, self.log.output)

    def test_a_resolver_that_is_down_is_told_once_and_changes_nothing(self):
        cctxt = self.targeted('cell1')

        def down():
            raise exception.DatabaseUnavailable('the API database', 'gone')

        resolver = self.router._parts.resolver
        listing = resolver.list_cells
        self.patch(resolver, 'list_cells', down)
        for _ in range(3):
            self.round()
        self.assertEqual(['cell1'], self.words(cctxt))
        self.assertEqual(1, self.log.output.count('is not followed for now'))
        self.patch(resolver, 'list_cells', listing)
        self.move()
        self.round()
        self.assertEqual(['moved'], self.words(cctxt))
        self.assertEqual(1, self.log.output.count('is followed again'))

    def test_a_process_that_works_with_no_cell_asks_nobody(self):
        asked = []
        self.patch(
            self.router._parts.resolver,
            'list_cells',
            lambda: asked.append(1) or [],
        )
        self.round()
        self.assertEqual([], asked)


class FollowingLocalTest(FollowingCase):
    """A memory in front of the source is made to forget."""

    resolver = 'local'

    def resolver_options(self):
        return {'resolver_local.ttl': 3600}

    def test_it_is_the_source_that_is_followed(self):
        cctxt = self.targeted('cell1')
        self.assertEqual(['cell1'], self.words(cctxt))
        self.move()
        self.assertEqual(
            self.cell.generation,
            self.router.cells.get('cell1').generation,
            'the memory knows better than it should',
        )
        self.round()
        self.assertEqual(['moved'], self.words(cctxt))
        self.assertEqual(
            self.editor.cells.get('cell1').generation,
            self.router.cells.get('cell1').generation,
        )


class FollowingMemcachedTest(FollowingCase):
    """What all processes share is made to forget, too."""

    resolver = 'memcached'

    def resolver_options(self):
        memcached = self.useFixture(cellplug_fixtures.MemcachedFixture())
        return {
            'resolver_memcached.servers': [memcached.address],
            'resolver_memcached.prefix': memcached.prefix,
            'resolver_memcached.encryption_keys': [helpers_memcached.KEY],
            'resolver_memcached.ttl': 3600,
        }

    def test_it_is_the_source_that_is_followed(self):
        cctxt = self.targeted(self.cell.uuid)
        self.assertEqual(['cell1'], self.words(cctxt))
        # By somebody who tells memcached nothing.
        stranger = cellplug.Database()
        conf = self.deployment.conf
        conf.set_override('driver', 'database', 'resolver')
        self.editor = self.deployment.open_router(stranger)
        self.move()
        stale = self.router.cells.get(self.cell.uuid).generation
        self.assertEqual(self.cell.generation, stale)
        self.round()
        self.assertEqual(['moved'], self.words(cctxt))
        self.assertLess(
            stale, self.router.cells.get(self.cell.uuid).generation
        )


class BackgroundTest(FollowingCase):
    interval = 0.1

    def followers(self):
        return [
            one
            for one in threading.enumerate()
            if one.name == 'cellplug-janitor'
        ]

    def test_it_happens_by_itself(self):
        cctxt = self.targeted('cell1')
        self.assertEqual(['cell1'], self.words(cctxt))
        self.move()
        databases.poll_until(
            lambda: self.words(cctxt) == ['moved'], 'nobody follows'
        )

    def test_a_child_of_a_fork_follows_by_itself(self):
        cctxt = self.targeted('cell1')
        self.assertEqual(['cell1'], self.words(cctxt))
        moved, follows = databases.barrier(2), databases.barrier(2)

        def child():
            assert self.words(cctxt) == ['cell1']
            moved.wait(helpers.PATIENCE)
            databases.poll_until(
                lambda: self.words(cctxt) == ['moved'], 'the child stays'
            )
            follows.wait(helpers.PATIENCE)

        def parent():
            moved.wait(helpers.PATIENCE)
            self.move()
            follows.wait(helpers.PATIENCE)

        with databases.in_background(parent) as outcome:
            self.assertEqual([0], databases.in_processes(child, ()))
        self.assertEqual([None], outcome)

    def test_a_closed_router_follows_no_more_and_complains_of_nothing(self):
        before = len(self.followers())
        cctxt = self.targeted('cell1')
        self.words(cctxt)
        self.assertEqual(before + 2, len(self.followers()))
        self.router.close()
        databases.poll_until(
            lambda: len(self.followers()) <= before, 'a thread is left'
        )
        self.assertNotIn('failed', self.log.output)


class OffTest(FollowingCase):
    interval = 0.0

    def test_nobody_asks(self):
        before = threading.active_count()
        self.words(self.targeted('cell1'))
        self.assertEqual(before + 1, threading.active_count())
