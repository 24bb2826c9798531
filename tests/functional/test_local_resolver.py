"""The ``local`` resolver in front of the ``database`` resolver."""

from __future__ import annotations

import os
import secrets
import uuid

import sqlalchemy as sa

import cellplug
from cellplug import exception
from cellplug.testing import fixtures
from tests.functional import databases
from tests.functional import helpers_deployment as helpers

OPTIONS = {
    'resolver.driver': 'local',
    'resolver_local.backend': 'database',
}


class LocalTests:
    def given(self, ttl=3600.0):
        """Two cells, an instance in the first that everyone looked up."""
        self.deploy(2, options={**OPTIONS, 'resolver_local.ttl': ttl})
        self.instance = str(uuid.uuid4())
        self.router.instances.map(self.context(), self.instance, 'cell1')
        # A router of its own is what another process has: it shares nothing.
        self.elsewhere = self.deployment.open_router(cellplug.Database())
        for router in (self.router, self.elsewhere):
            self.assertEqual('cell1', self.cell_of_instance(router))

    def cell_of_instance(self, router=None):
        found = (router or self.router).instances.get(
            self.context(), self.instance
        )
        self.assertEqual(found.cell_uuid, found.cell.uuid)
        return found.cell.name

    def move(self, router, cell):
        """A move by somebody who knows the mapping as it is."""
        known = router.instances.list(self.context())[0]
        return router.instances.move(
            self.context(),
            self.instance,
            cell,
            expected_generation=known.generation,
        )

    def test_a_look_up_asks_the_database_once(self):
        self.given()
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            connection.execute(sa.text('DELETE FROM instance_mapping'))
        with self.router.target_instance(
            self.context(), self.instance
        ) as cctxt:
            self.assertEqual(['cell1'], self.words(cctxt))

    def test_a_move_is_seen_here_at_once(self):
        self.given()
        self.move(self.router, 'cell2')
        self.assertEqual('cell2', self.cell_of_instance())
        with self.router.target_instance(
            self.context(), self.instance
        ) as cctxt:
            self.assertEqual(['cell2'], self.words(cctxt))

    def test_an_unmap_is_seen_here_at_once(self):
        self.given()
        self.router.instances.unmap(self.context(), self.instance)
        self.assertRaises(
            exception.InstanceMappingNotFound, self.cell_of_instance
        )
        self.router.instances.map(self.context(), self.instance, 'cell2')
        self.assertEqual('cell2', self.cell_of_instance())

    def test_a_changed_cell_is_seen_here_at_once(self):
        self.given()
        self.router.cells.get('cell1')
        self.router.cells.update('cell1', name='renamed')
        self.assertEqual('renamed', self.cell_of_instance())
        self.assertEqual('renamed', self.router.cells.get('renamed').name)
        self.assertRaises(
            exception.CellMappingNotFound, self.router.cells.get, 'cell1'
        )

    def test_a_deleted_cell_is_gone_here_at_once(self):
        self.given()
        self.router.cells.get('cell2')
        self.router.cells.delete('cell2')
        self.assertRaises(
            exception.CellMappingNotFound,
            self.router.target_cell,
            self.context(),
            'cell2',
        )

    def test_a_cell_has_its_times_however_it_was_met_first(self):
        self.given()
        self.assertIsNotNone(self.router.cells.get('cell1').created_at)

    def test_elsewhere_changes_are_seen_within_the_time_to_live(self):
        self.given(ttl=0.2)
        self.move(self.router, 'cell2')
        databases.poll_until(
            lambda: self.cell_of_instance(self.elsewhere) == 'cell2',
            'another process never sees the move',
        )
        self.router.cells.update('cell2', name='renamed')
        databases.poll_until(
            lambda: self.cell_of_instance(self.elsewhere) == 'renamed',
            'another process never sees the new name',
        )
        self.router.instances.unmap(self.context(), self.instance)

        def gone():
            try:
                self.cell_of_instance(self.elsewhere)
            except exception.InstanceMappingNotFound:
                return True
            return False

        databases.poll_until(gone, 'another process never sees the unmap')

    def test_elsewhere_a_route_is_looked_up_again_once_it_was_stale(self):
        self.given()
        self.move(self.router, 'cell2')
        met = []

        def work(cctxt):
            [word] = self.elsewhere_words(cctxt)
            met.append(word)
            if word == 'cell1':
                raise exception.StaleRoute(self.instance, 1)
            return word

        self.elsewhere_words = self.elsewhere.database.reader(helpers.words)
        self.assertEqual(
            'cell2', self.elsewhere.run(self.context(), self.instance, work)
        )
        self.assertEqual(['cell1', 'cell2'], met)

    def test_many_come_from_memory_and_the_database(self):
        self.given()
        further = [str(uuid.uuid4()) for _ in range(3)]
        self.router.instances.map_many(
            self.context(), {further[0]: 'cell1', further[1]: 'cell2'}
        )
        found = self.router.instances.get_many(
            self.context(), [self.instance, *further]
        )
        self.assertEqual(
            {self.instance: 'cell1', further[0]: 'cell1', further[1]: 'cell2'},
            {one: mapping.cell.name for one, mapping in found.items()},
        )

    def test_a_child_looks_for_itself(self):
        self.given()
        self.move(self.elsewhere, 'cell2')
        self.assertEqual('cell1', self.cell_of_instance())
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = 0 if self.cell_of_instance() == 'cell2' else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(0, os.waitstatus_to_exitcode(status))


class TestLocalOnSQLite(LocalTests, helpers.DeploymentTestCase):
    backend = 'sqlite'


class TestLocalInFrontOfMemcached(LocalTests, helpers.DeploymentTestCase):
    """Three words of configuration."""

    backend = 'sqlite'

    def deploy(self, cells=2, *, options=None, **keywords):
        memcached = self.useFixture(fixtures.MemcachedFixture())
        chain = {
            'resolver_local.backend': 'memcached',
            'resolver_memcached.backend': 'database',
            'resolver_memcached.servers': [memcached.address],
            'resolver_memcached.prefix': memcached.prefix,
            'resolver_memcached.encryption_keys': [secrets.token_hex(32)],
            # Others see a changed cell no sooner.
            'resolver_memcached.ttl': 1,
        }
        return super().deploy(cells, options={**options, **chain}, **keywords)
