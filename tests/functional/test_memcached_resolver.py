"""The ``memcached`` resolver while its memcached is well."""

from __future__ import annotations

import logging
import os
import uuid
from typing import Any

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug.testing import deployment
from cellplug.testing import fixtures as cellplug_fixtures
from cellplug_drivers.resolver.memcached import codec
from tests.functional import helpers_memcached as helpers


class SharedTestCase(helpers.MemcachedTestCase):
    """On the memcached that all tests share."""

    def serve(self) -> list[str]:
        shared = self.useFixture(cellplug_fixtures.MemcachedFixture())
        return [shared.address]


class LookUpTest(SharedTestCase):
    def test_what_one_process_looked_up_another_finds_in_memcached(self):
        mapping = self.source.map(self.cell1)
        one, other = self.open(), self.open()
        first = one.get_instance(mapping.instance_uuid)
        self.assertEqual((mapping, self.cell1), (first, first.cell))
        one.get_cell(self.cell1.uuid)
        self.assertEqual(2, len(self.asked()))
        again = other.get_instance(mapping.instance_uuid)
        self.assertEqual((mapping, self.cell1), (again, again.cell))
        self.assertEqual(self.cell1, other.get_cell(self.cell1.uuid))
        self.assertEqual([], self.asked())

    def test_many_ask_the_backend_once_for_all_that_is_missing(self):
        mappings = [self.source.map(self.cell1) for _ in range(20)]
        uuids = [one.instance_uuid for one in mappings]
        none = str(uuid.uuid4())
        one = self.open()
        one.get_instances(uuids[:5])
        self.asked()
        found = one.get_instances(iter([*uuids, none, uuids[0]]))
        self.assertEqual(dict(zip(uuids, mappings, strict=True)), found)
        self.assertEqual({'cell1'}, {m.cell.name for m in found.values()})
        self.assertEqual([sorted([*uuids[5:], none])], self.asked())
        self.assertEqual(found, one.get_instances([*uuids, none]))
        self.assertEqual([], self.asked())
        self.assertEqual({}, one.get_instances([]))

    def test_a_cell_is_found_by_name_and_listed_by_the_backend(self):
        one = self.open()
        self.assertEqual(self.cell2, one.get_cell('cell2'))
        self.assertEqual([self.cell1, self.cell2], one.list_cells())
        self.assertEqual(['cell2', 'all'], self.asked())
        for wrong in ('cell3', str(uuid.uuid4())):
            self.assertRaises(
                exception.CellMappingNotFound, one.get_cell, wrong
            )

    def test_the_times_of_a_cell_come_through(self):
        found = self.open().get_cell(self.cell1.uuid)
        self.assertEqual(self.cell1.created_at, found.created_at)

    def test_that_there_is_none_is_believed_for_a_moment(self):
        one, none = self.open(), str(uuid.uuid4())
        for _ in range(3):
            self.assertRaises(
                exception.InstanceMappingNotFound, one.get_instance, none
            )
        self.assertEqual([none], self.asked())
        self.clock.ahead += 2.5
        self.assertEqual({}, one.get_instances([none]))
        self.assertEqual([[none]], self.asked())

    def test_that_there_is_none_need_not_be_stored(self):
        one, none = self.open(negative_ttl=0), str(uuid.uuid4())
        for _ in range(3):
            self.assertRaises(
                exception.InstanceMappingNotFound, one.get_instance, none
            )
        self.assertEqual(3, len(self.asked()))

    def test_unknown_is_not_none(self):
        one, wanted = self.open(), str(uuid.uuid4())
        self.source.broken = True
        self.assertRaises(
            exception.DatabaseUnavailable, one.get_instance, wanted
        )
        self.source.broken = False
        made = self.source.map(self.cell1, wanted)
        self.assertEqual(made, one.get_instance(wanted))

    def test_an_instance_in_a_cell_that_is_gone_is_not_stored(self):
        mapping = self.source.map(self.cell1)
        one = self.open()
        self.source._instance = lambda uuid: mapping  # its cell is None
        for _ in range(2):
            self.assertIsNone(one.get_instance(mapping.instance_uuid).cell)
        self.assertEqual(2, len(self.asked()))

    def test_hostile_names_are_names(self):
        one = self.open()
        for name in ('', ' ', 'a\r\nflush_all\r\n', 'ü' * 300, '\ud800', '\0'):
            self.assertRaises(
                exception.InstanceMappingNotFound, one.get_instance, name
            )
            self.assertEqual({}, one.get_instances([name]))
            self.assertRaises(
                exception.CellMappingNotFound, one.get_cell, name
            )
            one.forget_instance(name)
            one.forget_cell(name)
        self.assertEqual([], self.log.said(logging.WARNING))

    def test_a_router_takes_it_by_one_word_of_configuration(self):
        self.check_routers({'resolver.driver': 'memcached'})

    def test_it_stands_behind_local_by_three_words(self):
        self.check_routers(
            {
                'resolver.driver': 'local',
                'resolver_local.backend': 'memcached',
                'resolver_local.ttl': 0,
                'resolver_memcached.backend': 'database',
            }
        )

    def check_routers(self, options: dict[str, Any]) -> None:
        """What one router changes, and another one of the deployment sees."""
        deployed = self.useFixture(
            deployment.DeploymentFixture(
                'sqlite',
                2,
                options={
                    'resolver_memcached.servers': self.addresses,
                    'resolver_memcached.prefix': self.prefix,
                    'resolver_memcached.encryption_keys': [helpers.KEY],
                    **options,
                },
            )
        )
        context, instance = deployed.context(), str(uuid.uuid4())
        router = deployed.router
        other = deployed.open_router(cellplug.Database())
        made = router.instances.map(context, instance, 'cell1')
        router.instances.get_many(context, [instance])
        stored = self.client().get(codec.Keys(self.prefix).instance(instance))
        self.assertIsInstance(stored, bytes)
        moved = router.instances.move(
            context, instance, 'cell2', expected_generation=made.generation
        )
        for one in (router, other):
            with one.target_instance(context, instance) as cctxt:
                self.assertEqual(moved.cell_uuid, cctxt.cell_uuid)
        router.cells.update('cell2', name='renamed')
        found = router.instances.get(context, instance)
        self.assertEqual('renamed', found.cell.name)
        router.instances.unmap(context, instance)
        for one in (router, other):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                one.instances.get,
                context,
                instance,
            )


class DriverTest(SharedTestCase):
    def test_without_instances_behind_it_there_are_none(self):
        self.source.capabilities = frozenset()
        one = self.open()
        wanted = interfaces.ResolverCapability
        self.assertEqual(frozenset({wanted.CACHES}), one.capabilities)

        def refuse(*_: Any) -> None:
            raise exception.NotSupported('no instances')

        self.source.get_instance = self.source.get_instances = refuse
        self.assertRaises(exception.NotSupported, one.get_instance, 'x')
        self.assertRaises(exception.NotSupported, one.get_instances, ['x'])
        self.assertEqual(self.cell1, one.get_cell(self.cell1.uuid))

    def test_with_instances_behind_it_it_has_them(self):
        wanted = interfaces.ResolverCapability
        self.assertEqual(
            {wanted.CACHES, wanted.INSTANCES}, set(self.open().capabilities)
        )

    def test_answers_by_project_are_not_shared(self):
        wanted = interfaces.ResolverCapability
        self.source.capabilities = frozenset(
            {wanted.INSTANCES, wanted.BY_PROJECT}
        )
        self.assertRaises(exception.ConfigurationError, self.open)

    def test_bad_options_are_named_in_one_line_without_a_key(self):
        secret = 'c2VjcmV0'
        for options, named in (
            ({'encryption_keys': []}, 'openssl rand'),
            ({'encryption_keys': [helpers.KEY, secret]}, 'key number 2'),
            ({'encryption_keys': [helpers.KEY] * 2}, 'twice'),
            ({'servers': []}, 'servers'),
            ({'servers': ['h:port']}, "'h:port'"),
            ({'servers': ['h:70000']}, "'h:70000'"),
            ({'servers': ['']}, "''"),
            ({'prefix': 'a b'}, "'a b'"),
            ({'prefix': ''}, 'prefix'),
        ):
            error = self.assertRaises(
                exception.ConfigurationError, self.open, **options
            )
            self.assertIn(named, str(error))
            self.assertNotIn('\n', str(error))
            self.assertNotIn(secret, str(error))
            self.assertNotIn(helpers.KEY, str(error))

    def test_building_it_contacts_nothing(self):
        one = self.open(servers=['192.0.2.1:1', 'no.such.host.invalid:2'])
        self.assertEqual([], self.log.records)
        self.assertIn('192.0.2.1:1', repr(one))

    def test_nothing_it_prints_or_stores_shows_a_secret(self):
        mapping = self.source.map(self.cell1)
        one = self.open()
        one.get_instance(mapping.instance_uuid)
        one.get_cell(self.cell1.uuid)
        process = one._process
        shown = [repr(one), repr(vars(one)), repr(vars(process))]
        for part in (process.cache, one._codec, process.instances):
            shown += [repr(part), repr(vars(part))]
        shown += [message.getMessage() for message in self.log.records]
        client = self.client()
        for key in (
            one._keys.instance(mapping.instance_uuid),
            one._keys.cell(self.cell1.uuid),
        ):
            stored = client.get(key)
            self.assertIsInstance(stored, bytes)
            shown.append(repr(stored))
        for secret in (helpers.PASSWORD, helpers.KEY):
            self.assertNotIn(secret, '\n'.join(shown))

    def test_a_password_is_not_in_the_entries_of_instances(self):
        mapping = self.source.map(self.cell1)
        one = self.open()
        one.get_instance(mapping.instance_uuid)
        key = one._keys.instance(mapping.instance_uuid)
        entry = one._codec.open(key, self.client().get(key))
        self.assertIn(self.cell1.uuid, entry)
        self.assertNotIn(helpers.PASSWORD, repr(entry))

    def test_closing_it_closes_its_sockets(self):
        mapping = self.source.map(self.cell1)
        one = self.open()
        one.get_instance(mapping.instance_uuid)
        (node,) = one._process.cache.cluster.clients.values()
        (client,) = node.client_pool.free
        used = node.client_pool.get()
        self.assertIs(client, used)
        one.close()
        one.close()
        self.assertIsNotNone(used.sock)  # Somebody is using it.
        node.client_pool.release(used)
        self.assertIsNone(used.sock)
        self.asked()
        self.assertEqual(mapping, one.get_instance(mapping.instance_uuid))
        self.assertEqual([mapping.instance_uuid], self.asked())
        self.assertEqual((), node.client_pool.free)
        self.assertEqual([], self.log.said(logging.WARNING))

    def test_after_a_reload_nothing_from_before_is_believed(self):
        mapping = self.source.map(self.cell1)
        one = self.open()
        one.get_instance(mapping.instance_uuid)
        self.source.edit_cell(self.cell1, 'renamed')
        moved = self.move(mapping, self.cell2)
        one.reload()
        self.assertEqual(moved, one.get_instance(mapping.instance_uuid))
        self.assertEqual('renamed', one.get_cell(self.cell1.uuid).name)
        self.clock.ahead += 6
        one.get_instance(mapping.instance_uuid)
        self.asked()
        one.get_instance(mapping.instance_uuid)
        self.assertEqual([], self.asked())


class ThreadsTest(SharedTestCase):
    def test_threads_that_miss_one_key_make_one_look_up(self):
        mapping = self.source.map(self.cell1)
        one = self.open(leader_timeout=helpers.PATIENCE)
        found = self.at_once(
            16, lambda: one.get_instance(mapping.instance_uuid)
        )
        self.assertEqual([mapping] * 16, found)
        self.assertEqual([mapping.instance_uuid], self.asked())

    def test_those_that_ask_for_many_as_well(self):
        uuids = [self.source.map(self.cell1).instance_uuid for _ in range(9)]
        one = self.open(leader_timeout=helpers.PATIENCE)
        joined = self.joined()
        with self.held(lambda: one.get_instances(uuids[:6])) as first:
            with self.background(lambda: one.get_instances(uuids)) as second:
                self.assertTrue(joined.wait(helpers.PATIENCE))
                first.go.set()
        self.assertEqual(6, len(first.results[0]))
        self.assertEqual(9, len(second[0]))
        self.assertEqual([sorted(uuids[:6]), sorted(uuids[6:])], self.asked())

    def test_a_leader_that_fails_fails_nobody_else(self):
        mapping = self.source.map(self.cell1)
        one = self.open(leader_timeout=helpers.PATIENCE)
        joined = self.joined()

        def work() -> Any:
            return one.get_instance(mapping.instance_uuid)

        with self.held(work, fails=True) as leader:
            with self.background(work) as follower:
                self.assertTrue(joined.wait(helpers.PATIENCE))
                leader.go.set()
        self.assertIsInstance(leader.results[0], exception.DatabaseUnavailable)
        self.assertEqual([mapping], follower)

    def test_a_leader_that_hangs_holds_up_nobody_for_long(self):
        mapping = self.source.map(self.cell1)
        one = self.open(leader_timeout=0.05)

        def work() -> Any:
            return one.get_instance(mapping.instance_uuid)

        with self.held(work) as leader:
            with self.background(work) as follower:
                pass
            self.assertEqual([mapping], follower)
            self.assertEqual([], leader.results)
        self.assertEqual([mapping], leader.results)

    def test_more_threads_than_connections_wait_for_one(self):
        mappings = [self.source.map(self.cell1) for _ in range(8)]
        uuids = [mapping.instance_uuid for mapping in mappings]
        one = self.open(max_pool_size=2)
        one.get_instances(uuids)
        self.asked()

        def work() -> bool:
            return all(
                one.get_instance(uuid).instance_uuid == uuid
                for uuid in uuids * 20
            )

        self.assertEqual([True] * 16, self.at_once(16, work))
        self.assertEqual([], self.asked())
        (node,) = one._process.cache.cluster.clients.values()
        self.assertEqual(0, len(node.client_pool.used))
        self.assertIn(len(node.client_pool.free), (1, 2))
        self.assertEqual([], self.log.said(logging.WARNING))

    def test_who_gets_no_connection_asks_the_backend(self):
        mapping = self.source.map(self.cell1)
        one = self.open(max_pool_size=1, timeout=0.05)
        one.get_instance(mapping.instance_uuid)
        self.asked()
        (node,) = one._process.cache.cluster.clients.values()
        taken = node.client_pool.get()
        self.assertEqual(mapping, one.get_instance(mapping.instance_uuid))
        self.assertEqual([mapping.instance_uuid], self.asked())
        node.client_pool.release(taken)
        self.assertEqual(mapping, one.get_instance(mapping.instance_uuid))
        self.assertEqual([], self.asked())
        self.assertEqual([], self.log.said(logging.WARNING))


class ForkTest(SharedTestCase):
    def in_child(self, work: Any) -> str:
        """What it returns or raises, run in a child of a fork."""
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                said = str(work())
            except BaseException as exc:
                said = f'{type(exc).__name__}: {exc}'
            os.write(writing, said.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            said = answer.read()
        os.waitpid(pid, 0)
        return said

    def test_a_child_has_connections_and_locks_of_its_own(self):
        mapping = self.source.map(self.cell1)
        one = self.open()
        one.get_instance(mapping.instance_uuid)
        (node,) = one._process.cache.cluster.clients.values()
        mine = node.client_pool.free[0].sock

        def work() -> str:
            found = one.get_instance(mapping.instance_uuid)
            (node,) = one._process.cache.cluster.clients.values()
            (client,) = node.client_pool.free
            theirs = client.sock.getsockname()
            one.close()
            return f'{found.generation} {theirs == mine.getsockname()}'

        locks = (
            one._process.cache.flights._lock,
            one._process.cache.fences._lock,
            node.client_pool._lock,
        )
        for lock in locks:
            lock.acquire()
        try:
            said = self.in_child(work)
        finally:
            for lock in locks:
                lock.release()
        self.assertEqual(f'{mapping.generation} False', said)
        self.asked()
        self.assertEqual(mapping, one.get_instance(mapping.instance_uuid))
        self.assertEqual([], self.asked())
        self.assertIs(mine, node.client_pool.free[0].sock)

    def test_what_the_parent_forgot_is_forgotten_in_the_child(self):
        mapping = self.source.map(self.cell1)
        one = self.open()
        one.get_instance(mapping.instance_uuid)
        key = one._keys.instance(mapping.instance_uuid)
        old = self.client().get(key)
        moved = self.move(mapping, self.cell2, one)
        self.client().set(key, old)
        said = self.in_child(
            lambda: one.get_instance(mapping.instance_uuid).generation
        )
        self.assertEqual(str(moved.generation), said)
