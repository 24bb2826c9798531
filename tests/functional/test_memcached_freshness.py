"""The ``memcached`` resolver returns nothing old: changes, races, replays."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import multiprocessing
import pickle
import uuid
from typing import Any

import fixtures

from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from tests.functional import helpers_memcached as helpers
from tests.functional import test_memcached_resolver as resolver_tests


class ChangeTest(resolver_tests.SharedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.other = self.open(), self.open()
        self.mapping = self.source.map(self.cell1)
        self.instance = self.mapping.instance_uuid

    def both(self) -> list[Any]:
        """What each of them says."""
        found = []
        for one in (self.one, self.other):
            try:
                found.append(one.get_instance(self.instance))
            except exception.InstanceMappingNotFound:
                found.append(None)
        return found

    def test_a_move_is_seen_at_once_by_all(self):
        self.assertEqual([self.mapping] * 2, self.both())
        moved = self.move(self.mapping, self.cell2, self.one)
        self.assertEqual([moved] * 2, self.both())
        self.assertEqual('cell2', self.both()[1].cell.name)

    def test_an_unmapped_instance_is_gone_at_once_for_all(self):
        self.both()
        self.unmap(self.mapping, self.one)
        self.assertEqual([None] * 2, self.both())

    def test_one_that_is_mapped_again_is_back_at_once_for_all(self):
        self.both()
        self.unmap(self.mapping, self.one)
        self.both()
        again = self.source.map(self.cell2, self.instance)
        self.one.forget_instance(self.instance)
        self.assertEqual([again] * 2, self.both())

    def test_that_there_was_none_does_not_hide_a_mapping_made_here(self):
        self.unmap(self.mapping)
        self.assertEqual([None] * 2, self.both())
        made = self.source.map(self.cell1, self.instance)
        self.one.forget_instance(self.instance)
        self.assertEqual([made] * 2, self.both())

    def test_without_a_mark_in_memcached_ttl_is_the_bound(self):
        self.both()
        moved = self.move(self.mapping, self.cell2)
        self.clock.ahead += 59
        self.assertEqual([self.mapping] * 2, self.both())
        self.clock.ahead += 2
        self.assertEqual([moved] * 2, self.both())

    def test_what_was_stored_late_is_as_old_as_its_question(self):
        hold = self.held(lambda: self.one.get_instance(self.instance))
        with hold:
            moved = self.move(self.mapping, self.cell2)
            self.clock.ahead += 20
        self.assertEqual([self.mapping] * 2, self.both())
        self.clock.ahead += 41
        self.assertEqual([moved] * 2, self.both())

    def test_entries_from_the_future_are_ignored(self):
        self.clock.ahead += 10
        self.both()
        self.clock.ahead = 0
        self.asked()
        self.both()
        self.assertNotEqual([], self.asked())

    def test_a_changed_cell_is_seen_at_once_by_who_changed_it(self):
        self.both()
        self.other.get_cell(self.cell1.uuid)
        self.source.edit_cell(self.cell1, 'renamed')
        self.one.forget_cell(self.cell1.uuid)
        here, there = self.both()
        self.assertEqual('renamed', here.cell.name)
        self.assertEqual('cell1', there.cell.name)
        self.assertEqual('renamed', self.one.get_cell(self.cell1.uuid).name)
        self.assertEqual('renamed', self.other.get_cell(self.cell1.uuid).name)
        # It saw the new one now, and has no use for the old.
        self.assertEqual('renamed', self.both()[1].cell.name)

    def test_a_changed_cell_is_seen_by_all_within_ttl(self):
        self.both()
        self.source.edit_cell(self.cell1, 'renamed')
        self.clock.ahead += 61
        self.assertEqual(
            ['renamed'] * 2, [one.cell.name for one in self.both()]
        )

    def test_an_instance_that_names_a_newer_cell_brings_it(self):
        self.both()
        self.other.get_cell(self.cell1.uuid)
        self.source.edit_cell(self.cell1, 'renamed')
        fresh = self.source.map(self.cell1)
        self.one.get_instance(fresh.instance_uuid)
        self.asked()
        found = self.other.get_instance(fresh.instance_uuid)
        self.assertEqual('renamed', found.cell.name)
        self.assertEqual([self.cell1.uuid], self.asked())

    def test_a_cell_never_becomes_older_where_a_newer_one_was_seen(self):
        self.one.get_cell(self.cell1.uuid)
        self.source.edit_cell(self.cell1, 'renamed')
        self.assertEqual('cell1', self.one.get_cell(self.cell1.uuid).name)
        fresh = self.source.map(self.cell1)
        for _ in range(2):
            found = self.one.get_instance(fresh.instance_uuid)
            self.assertEqual('renamed', found.cell.name)
            self.assertEqual(
                'renamed', self.one.get_cell(self.cell1.uuid).name
            )

    def test_cells_that_each_process_has_itself_are_not_shared(self):
        wanted = interfaces.ResolverCapability
        sources, found = [], []
        for number in range(2):
            source = helpers.Source()
            source.capabilities |= {wanted.OWN_CELLS}
            source.cells[self.cell1.uuid] = dataclasses.replace(
                self.cell1, name=f'at {number}', generation=10 - number
            )
            source.instances = self.source.instances
            sources.append(source)
            found.append(self.open(source=source))
        for _ in range(2):
            for number, one in enumerate(found):
                self.assertEqual(
                    (f'at {number}',) * 2,
                    (
                        one.get_cell(self.cell1.uuid).name,
                        one.get_instance(self.instance).cell.name,
                    ),
                )
        self.assertIn(self.instance, sources[0].asked)
        self.assertNotIn(self.instance, sources[1].asked)

    def test_a_deleted_cell_is_gone_and_may_come_again(self):
        for one in (self.one, self.other):
            one.get_cell(self.cell2.uuid)
        del self.source.cells[self.cell2.uuid]
        self.one.forget_cell(self.cell2.uuid)
        for one in (self.one, self.other):
            self.assertRaises(
                exception.CellMappingNotFound, one.get_cell, self.cell2.uuid
            )
        self.source.edit_cell(self.cell2, 'again')
        self.one.forget_cell(self.cell2.uuid)
        for one in (self.one, self.other):
            self.assertEqual('again', one.get_cell(self.cell2.uuid).name)

    def test_forgetting_below_a_generation_keeps_what_is_newer(self):
        moved = self.move(self.mapping, self.cell2)
        self.other.get_instance(self.instance)
        self.one.forget_instance(self.instance, moved.generation)
        self.both()
        self.asked()
        self.assertEqual([moved] * 2, self.both())
        self.assertEqual([], self.asked())

    def test_what_a_backend_says_that_lags_behind_is_not_stored(self):
        moved = self.move(self.mapping, self.cell2, self.one)
        self.source.instances[self.instance] = self.mapping
        self.other.get_instance(self.instance)
        self.source.instances[self.instance] = moved
        self.assertEqual([moved] * 2, self.both())

    def test_more_forgotten_than_can_be_noted_is_forgotten(self):
        self.useFixture(
            fixtures.MonkeyPatch(
                'cellplug_drivers.resolver.memcached.cache.FENCES', 3
            )
        )
        one = self.open()
        mappings = [self.source.map(self.cell1) for _ in range(20)]
        uuids = [mapping.instance_uuid for mapping in mappings]
        one.get_instances(uuids)
        client = self.client()
        keys = [one._keys.instance(uuid) for uuid in uuids]
        old = client.get_many(keys)
        moved = {
            mapping.instance_uuid: self.move(mapping, self.cell2, one)
            for mapping in mappings
        }
        client.set_many(old)
        self.assertEqual(3, len(one._process.cache.fences.standing))
        self.assertEqual(moved, one.get_instances(uuids))
        client.set_many(old)
        for instance in uuids:
            self.assertEqual(moved[instance], one.get_instance(instance))


class RaceTest(resolver_tests.SharedTestCase):
    """A look-up read the old cell, and ends when all is over."""

    def setUp(self) -> None:
        super().setUp()
        self.one, self.other = self.open(), self.open()
        self.mapping = self.source.map(self.cell1)
        self.instance = self.mapping.instance_uuid

    def look_up(self) -> Any:
        return self.one.get_instance(self.instance)

    def look_up_many(self) -> Any:
        return self.one.get_instances([self.instance])

    def moved_meanwhile(self, look_up: Any, *tell: Any) -> list[Any]:
        """What each process says after a late look-up ended."""
        with self.held(look_up):
            self.moved = self.move(self.mapping, self.cell2, *tell)
        return [
            one.get_instance(self.instance) for one in (self.one, self.other)
        ]

    def test_it_never_brings_the_old_cell_back(self):
        for look_up in (self.look_up, self.look_up_many):
            for tell in (self.one, self.other):
                said = self.moved_meanwhile(look_up, tell)
                self.assertEqual([self.moved] * 2, said)
                self.mapping = self.move(self.moved, self.cell1, tell)

    def test_with_plain_sets_it_would(self):
        # So the test before can fail.
        def learn(question: Any, answers: Any) -> None:
            for key, (_, entry) in answers.items():
                sealed = self.one._codec.seal(key, entry)
                self.client().set(key, sealed)

        self.one._process.cache.filling.learn = learn
        said = self.moved_meanwhile(self.look_up, self.other)
        self.assertEqual(self.mapping, said[0])

    def test_with_a_delete_in_place_of_a_tombstone_it_would(self):
        cluster = self.other._process.cache.cluster
        store = cluster.store_many

        def delete(command: str, values: Any, expire: int) -> None:
            if command != 'set_many':
                store(command, values, expire)
                return
            for key in values:
                self.client().delete(key, noreply=False)

        cluster.store_many = delete
        said = self.moved_meanwhile(self.look_up, self.other)
        self.assertEqual(self.mapping, said[0])

    def test_over_an_entry_that_was_old_neither(self):
        # The key is taken when the look-up begins: it has to swap.
        self.look_up()
        self.clock.ahead += 61
        said = self.moved_meanwhile(self.look_up, self.other)
        self.assertEqual([self.moved] * 2, said)

    def test_over_a_tombstone_neither(self):
        self.other.forget_instance(self.instance)
        said = self.moved_meanwhile(self.look_up, self.other)
        self.assertEqual([self.moved] * 2, said)

    def test_what_another_stored_meanwhile_stays(self):
        third = self.open()
        with self.held(self.look_up):
            moved = self.move(self.mapping, self.cell2)
            self.assertEqual(moved, self.other.get_instance(self.instance))
        self.assertEqual(moved, third.get_instance(self.instance))

    def test_that_there_was_none_is_not_stored_after_a_map(self):
        self.unmap(self.mapping)
        for tell in (self.one, self.other):
            with self.held(self.look_up) as hold:
                made = self.source.map(self.cell2, self.instance)
                tell.forget_instance(self.instance)
            self.assertIsInstance(
                hold.results[0], exception.InstanceMappingNotFound
            )
            for one in (self.one, self.other):
                self.assertEqual(made, one.get_instance(self.instance))
            self.unmap(made, self.one, self.other)

    def test_an_unmapped_instance_does_not_come_back(self):
        for tell in (self.one, self.other):
            with self.held(self.look_up):
                self.unmap(self.mapping, tell)
            for one in (self.one, self.other):
                self.assertEqual({}, one.get_instances([self.instance]))
            self.source.map(self.cell1, self.instance)
            tell.forget_instance(self.instance)

    def test_one_that_took_too_long_is_not_stored(self):
        with self.held(self.look_up):
            moved = self.move(self.mapping, self.cell2, self.other)
            # As if the tombstone had had its time.
            self.client().delete(self.one._keys.instance(self.instance))
            self.clock.ahead += 31
        self.assertEqual(moved, self.open().get_instance(self.instance))

    def test_who_comes_after_a_move_does_not_join_one_from_before(self):
        one = self.open(leader_timeout=helpers.PATIENCE)
        joined = self.joined()
        with self.held(lambda: one.get_instance(self.instance)) as hold:
            moved = self.move(self.mapping, self.cell2, one)
            self.assertEqual(moved, one.get_instance(self.instance))
            self.assertFalse(joined.is_set())
        self.assertEqual([self.mapping], hold.results)
        self.assertEqual(moved, one.get_instance(self.instance))

    def test_who_comes_after_a_cell_changed_neither(self):
        one = self.open(leader_timeout=helpers.PATIENCE)
        joined = self.joined()
        with self.held(lambda: one.get_instance(self.instance)):
            self.source.edit_cell(self.cell1, 'renamed')
            one.forget_cell(self.cell1.uuid)
            found = one.get_instance(self.instance)
            self.assertEqual('renamed', found.cell.name)
            self.assertFalse(joined.is_set())
        found = one.get_instance(self.instance)
        self.assertEqual('renamed', found.cell.name)

    def test_a_late_look_up_of_a_cell_does_not_bring_it_back(self):
        for tell in (self.one, self.other):
            self.other.forget_cell(self.cell1.uuid)
            with self.held(lambda: self.one.get_cell(self.cell1.uuid)):
                self.source.edit_cell(self.cell1, f'for {tell}')
                tell.forget_cell(self.cell1.uuid)
            for one in (self.one, self.other):
                found = one.get_cell(self.cell1.uuid)
                self.assertEqual(f'for {tell}', found.name)


class PoisonTest(resolver_tests.SharedTestCase):
    """Somebody else writes to memcached."""

    def setUp(self) -> None:
        super().setUp()
        self.one = self.open()
        self.mapping = self.source.map(self.cell1)
        self.instance = self.mapping.instance_uuid
        self.key = self.one._keys.instance(self.instance)

    def test_what_is_no_entry_is_a_miss_and_replaced(self):
        client = self.client()
        self.one.get_instance(self.instance)
        good = client.get(self.key)
        flipped = good[:-1] + bytes([good[-1] ^ 1])
        for poison in (
            b'',
            b'1',
            good[:20],
            flipped,
            b'2' + good[1:],
            pickle.dumps(self.mapping),
            json.dumps(['i', self.clock(), 1, 'x', 1, 'p', 'u']).encode(),
            bytes(1024 * 1000),
        ):
            for look_up in (
                lambda: self.one.get_instance(self.instance),
                lambda: self.one.get_instances([self.instance])[self.instance],
            ):
                client.set(self.key, poison, noreply=False)
                self.asked()
                self.assertEqual(self.mapping, look_up())
                self.assertEqual(1, len(self.asked()))
                self.assertEqual(self.mapping, look_up())
                self.assertEqual([], self.asked())
        self.assertEqual(1, len(self.log.said(logging.WARNING)))

    def test_an_entry_under_another_key_is_a_miss(self):
        client = self.client()
        victim = self.source.map(self.cell2)
        self.one.get_instance(self.instance)
        self.one.get_cell(self.cell1.uuid)
        for stolen in (self.key, self.one._keys.cell(self.cell1.uuid)):
            client.set(
                self.one._keys.instance(victim.instance_uuid),
                client.get(stolen),
            )
            found = self.one.get_instance(victim.instance_uuid)
            self.assertEqual(victim, found)
        client.set(self.one._keys.cell(self.cell2.uuid), client.get(self.key))
        self.assertEqual(self.cell2, self.one.get_cell(self.cell2.uuid))

    def test_an_old_entry_put_back_is_not_believed_where_it_was_moved(self):
        self.one.get_instance(self.instance)
        old = self.client().get(self.key)
        for again in range(3):
            moved = self.move(self.mapping, self.cell2, self.one)
            self.client().set(self.key, old, noreply=False)
            self.assertEqual(moved, self.one.get_instance(self.instance))
            self.client().set(self.key, old, noreply=False)
            self.clock.ahead += 20 * again
            found = self.one.get_instances([self.instance])
            self.assertEqual({self.instance: moved}, found)

    def test_and_nowhere_else_for_longer_than_ttl(self):
        self.one.get_instance(self.instance)
        other, old = self.open(), self.client().get(self.key)
        moved = self.move(self.mapping, self.cell2, self.one)
        self.client().set(self.key, old, noreply=False)
        self.assertEqual(self.mapping, other.get_instance(self.instance))
        self.clock.ahead += 61
        self.client().set(self.key, old, noreply=False)
        self.assertEqual(moved, other.get_instance(self.instance))

    def test_after_an_unmap_neither(self):
        self.one.get_instance(self.instance)
        old = self.client().get(self.key)
        self.unmap(self.mapping, self.one)
        for _ in range(2):
            self.client().set(self.key, old, noreply=False)
            self.assertEqual({}, self.one.get_instances([self.instance]))

    def test_a_cell_put_back_neither(self):
        self.one.get_cell(self.cell1.uuid)
        key = self.one._keys.cell(self.cell1.uuid)
        old = self.client().get(key)
        self.source.edit_cell(self.cell1, 'renamed')
        self.one.forget_cell(self.cell1.uuid)
        for _ in range(2):
            self.client().set(key, old, noreply=False)
            self.assertEqual(
                'renamed', self.one.get_cell(self.cell1.uuid).name
            )


class ForgettingCellsTest(resolver_tests.SharedTestCase):
    def setUp(self):
        super().setUp()
        self.one = self.open()
        self.mapping = self.source.map(self.cell1)
        self.one.get_instance(self.mapping.instance_uuid)
        self.one.get_cell(self.cell1.uuid)
        self.cache = self.one._process.cache
        self.cache.opened.clear()
        self.source.edit_cell(self.cell1, 'renamed')

    def test_a_thread_before_the_fence_does_not_bring_the_old_one_back(self):
        raise_ = self.cache.fences.raise_

        def between(*args):
            with self.background(lambda: self.one.get_cell(self.cell1.uuid)):
                pass
            raise_(*args)

        with fixtures.MonkeyPatch(
            'cellplug_drivers.resolver.memcached.fences.Fences.raise_',
            lambda _, *args: between(*args),
        ):
            self.one.forget_cell(self.cell1.uuid)
        found = self.one.get_instance(self.mapping.instance_uuid)
        self.assertEqual('renamed', found.cell.name)
        found = self.one.get_instances([self.mapping.instance_uuid])
        (mapping,) = found.values()
        self.assertEqual('renamed', mapping.cell.name)


class GenerationsBackTest(resolver_tests.SharedTestCase):
    """The API database was restored, or a server's clock went back."""

    def setUp(self):
        super().setUp()
        self.one, self.other = self.open(), self.open()
        self.instance = self.source.map(self.cell1).instance_uuid
        self.one.get_instance(self.instance)
        self.one.get_cell(self.cell1.uuid)
        self.restored = dataclasses.replace(
            self.cell1, name='restored', generation=self.cell1.generation - 5
        )
        self.source.cells[self.cell1.uuid] = self.restored

    def expire(self):
        """End this test's entries, as memcached does by its own clock.

        Not with flush_all: other tests share the server.
        """
        keys = self.one._keys
        for key in (
            keys.instance(self.instance),
            keys.cell(self.cell1.uuid),
        ):
            self.assertTrue(self.client().delete(key, noreply=False))

    def check(self):
        for look_up in (
            lambda: self.one.get_cell(self.cell1.uuid),
            lambda: self.one.get_instance(self.instance).cell,
            lambda: (
                self.one.get_instances([self.instance])[self.instance].cell
            ),
        ):
            self.assertEqual('restored', look_up().name)

    def test_a_newer_cell_counts_until_it_is_ttl_old(self):
        self.clock.ahead += 61
        self.expire()
        self.check()
        self.asked()
        self.check()
        self.assertEqual([], self.asked())

    def test_also_where_another_process_fills(self):
        self.clock.ahead += 40
        self.expire()
        self.other.get_instance(self.instance)
        self.other.get_cell(self.cell1.uuid)
        self.one.get_instance(self.instance)
        self.clock.ahead += 21
        self.check()

    def test_a_cell_seen_again_is_young_again(self):
        self.source.cells[self.cell1.uuid] = self.cell1
        self.clock.ahead += 61
        self.one.get_instance(self.instance)
        self.one.get_instance(self.instance)
        self.clock.ahead += 30
        self.asked()
        self.one.get_instance(self.instance)
        self.assertEqual([], self.asked())


class KeysTest(resolver_tests.SharedTestCase):
    """Encryption keys: wrong ones, and new ones."""

    OLD = helpers.KEY
    NEW = base64.b64encode(bytes(range(16))).decode()

    def test_another_key_is_a_miss_with_one_warning(self):
        uuids = [self.source.map(self.cell1).instance_uuid for _ in range(5)]
        one, other = self.open(), self.open(encryption_keys=[self.NEW])
        one.get_instances(uuids)
        self.asked()
        self.assertEqual(5, len(other.get_instances(uuids)))
        self.assertEqual(5, len(one.get_instances(uuids)))
        self.assertEqual(2, len(self.asked()))
        warnings = self.log.said(logging.WARNING)
        self.assertEqual(2, len(warnings), warnings)  # one each
        self.assertIn('encryption_keys', warnings[0])
        self.assertNotIn(self.OLD, ''.join(warnings))

    def test_keys_rotate_without_a_miss(self):
        mapping = self.source.map(self.cell1)
        steps = [
            self.open(encryption_keys=keys)
            for keys in (
                [self.OLD],
                [self.OLD, self.NEW],
                [self.NEW, self.OLD],
            )
        ]
        steps[0].get_instance(mapping.instance_uuid)
        steps[0].get_cell(self.cell1.uuid)
        self.asked()
        for one in steps:
            one.get_instance(mapping.instance_uuid)
        self.assertEqual([], self.asked())
        steps[2].forget_cell(self.cell1.uuid)
        steps[2].get_cell(self.cell1.uuid)
        steps[2].forget_instance(mapping.instance_uuid)
        steps[2].get_instance(mapping.instance_uuid)
        self.assertEqual(2, len(self.asked()))
        steps[1].get_instance(mapping.instance_uuid)
        last = self.open(encryption_keys=[self.NEW])
        last.get_instance(mapping.instance_uuid)
        self.assertEqual([], self.asked())


class Moved(helpers.Source):
    """A source that several processes share: how often it was moved."""

    def __init__(self, count: Any, base: int, instance: str) -> None:
        super().__init__()
        self.count = count
        self.base = base
        self.instance = instance

    def get_instance(self, instance_uuid: str) -> objects.InstanceMapping:
        generation = self.count.value
        cell = list(self.cells.values())[generation % 2]
        return objects.InstanceMapping(
            instance_uuid=instance_uuid,
            cell_uuid=cell.uuid,
            project_id='p',
            generation=self.base + generation,
            cell=cell,
        )


class ProcessesTest(resolver_tests.SharedTestCase):
    def test_no_process_routes_by_what_another_one_forgot(self):
        context = multiprocessing.get_context('fork')
        count, told = context.Value('q', 0), context.Value('q', 0)
        source = Moved(count, 1000, str(uuid.uuid4()))
        source.cells = self.source.cells
        one = self.open(source=source)
        moves, wrong = 300, context.Queue()

        def read() -> None:
            try:
                reads = stale = 0
                while told.value < moves:
                    known = told.value
                    found = one.get_instance(source.instance)
                    reads += 1
                    stale += found.generation < source.base + known
                wrong.put((reads, stale))
            except BaseException as exc:
                wrong.put((0, repr(exc)))

        readers = [context.Process(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(1, moves + 1):
            count.value = number
            one.forget_instance(source.instance, source.base + number)
            told.value = number
            one.get_instance(source.instance)
        said = [wrong.get(timeout=helpers.PATIENCE) for _ in readers]
        for reader in readers:
            reader.join(helpers.PATIENCE)
        self.assertEqual([0] * 3, [stale for _, stale in said])
        self.assertTrue(all(reads for reads, _ in said))
