"""When caches of mappings learn of a change: once it was committed."""

import contextlib
import uuid

import fixtures as fakes
from pymysql import err

from cellplug import exception
from cellplug.db import mysql
from cellplug.testing import fixtures
from tests.functional import helpers_deployment as helpers


class ForgettingTests:
    """With a resolver that remembers what it was told."""

    def setUp(self):
        super().setUp()
        self.instance = str(uuid.uuid4())

    def _mapped(self):
        self.router.instances.map(self.context(), self.instance, 'cell1')
        self.assertEqual('cell1', self._cell())

    def _cell(self):
        """Where another request of this process finds the instance."""
        return helpers.in_thread(self._look_up)

    def _look_up(self):
        try:
            found = self.router.instances.get(self.context(), self.instance)
        except exception.InstanceMappingNotFound:
            return None
        return found.cell.name

    def _move(self, context):
        known = self.router.instances.get(context, self.instance)
        self.router.instances.move(
            context,
            self.instance,
            'cell2',
            expected_generation=known.generation,
        )

    def _unmap(self, context):
        self.router.instances.unmap(context, self.instance)

    def test_what_was_unmapped_is_forgotten_at_the_commit(self):
        self._mapped()
        context = self.context()
        with self.database.api.writer.using(context):
            self._unmap(context)
            # It is there until the commit, and may be remembered anew.
            self.assertEqual('cell1', self._cell())
        self.assertIsNone(self._cell())

    def test_what_was_moved_is_forgotten_at_the_commit(self):
        self._mapped()
        context = self.context()
        with self.database.api.writer.using(context):
            self._move(context)
            self.assertEqual('cell1', self._cell())
        self.assertEqual('cell2', self._cell())

    def test_what_was_rolled_back_stays(self):
        self._mapped()
        context = self.context()
        for change in (self._move, self._unmap):
            with (
                contextlib.suppress(LookupError),
                self.database.api.writer.using(context),
            ):
                change(context)
                raise LookupError
            self.assertEqual('cell1', self._cell())

    def test_what_did_not_exist_is_found_once_it_does(self):
        self.assertIsNone(self._cell())
        context = self.context()
        with self.database.api.writer.using(context):
            self.router.instances.map(context, self.instance, 'cell1')
            self.assertIsNone(self._cell())
        self.assertEqual('cell1', self._cell())

    def test_many_that_did_not_exist_are_found_once_they_do(self):
        self.assertIsNone(self._cell())
        uuids = [self.instance, *(str(uuid.uuid4()) for _ in range(600))]
        self.router.instances.map_many(
            self.context(), dict.fromkeys(uuids, 'cell2')
        )
        self.assertEqual('cell2', self._cell())
        self.assertEqual(
            601, self.router.instances.unmap(self.context(), uuids)
        )
        self.assertIsNone(self._cell())


class TestForgettingOfLocal(ForgettingTests, helpers.DeploymentTestCase):
    backend = 'mariadb'

    def setUp(self):
        super().setUp()
        options = {'resolver.driver': 'local', 'resolver_local.ttl': 3600.0}
        self.deploy(2, options=options)

    def _lose_answers(self):
        """From now on commits are made, and their answers lost."""
        commit = mysql.Connection.commit

        def lose(driver):
            commit(driver)
            raise err.OperationalError(2013, 'the answer was lost')

        self.useFixture(
            fakes.MonkeyPatch('cellplug.db.mysql.Connection.commit', lose)
        )

    def test_what_may_have_been_committed_is_forgotten(self):
        self._mapped()
        self._lose_answers()
        self.assertRaises(
            exception.DatabaseUnavailable, self._move, self.context()
        )
        self.assertEqual('cell2', self._cell())

    def test_a_cell_that_may_have_changed_is_forgotten(self):
        self._mapped()
        self._lose_answers()
        self.assertRaises(
            exception.DatabaseUnavailable,
            self.router.cells.update,
            'cell1',
            name='renamed',
        )
        self.assertEqual('renamed', self._cell())


class TestForgettingOfMemcached(ForgettingTests, helpers.DeploymentTestCase):
    backend = 'postgresql'

    def setUp(self):
        super().setUp()
        server = self.useFixture(fixtures.MemcachedFixture())
        options = {
            'resolver.driver': 'local',
            'resolver_local.backend': 'memcached',
            'resolver_local.ttl': 3600.0,
            'resolver_memcached.servers': [server.address],
            'resolver_memcached.encryption_keys': ['5d' * 32],
            'resolver_memcached.prefix': server.prefix,
            'resolver_memcached.negative_ttl': 60.0,
        }
        self.deploy(2, options=options)
