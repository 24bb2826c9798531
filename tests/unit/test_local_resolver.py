"""The ``local`` resolver in front of a source that the test controls."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import types
import uuid
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import testtools

from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug import objects
from cellplug import opts
from cellplug.testing import deployment
from cellplug_drivers.resolver.local import driver

PATIENCE = 30.0
CAPABILITY = interfaces.ResolverCapability


def make_cell(name: str, generation: int = 1) -> objects.CellMapping:
    return objects.CellMapping(
        uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        name=name,
        database_connection='sqlite://',
        transport_url='none:///',
        generation=generation,
    )


class Source(interfaces.Resolver):
    """Cells and instances in two dictionaries; notes what it is asked.

    :ivar answered: called with each answer before it goes out.
    """

    capabilities = frozenset({CAPABILITY.INSTANCES})

    def __init__(self) -> None:
        self.cells: dict[str, objects.CellMapping] = {}
        self.instances: dict[str, objects.InstanceMapping] = {}
        self.asked: list[Any] = []
        self.forgotten: list[Any] = []
        self.answered: Any = lambda: None

    def place(self, instance: str, cell: str, generation: int = 1) -> str:
        known = self.cells.setdefault(cell, make_cell(cell))
        self.instances[instance] = objects.InstanceMapping(
            instance_uuid=instance,
            cell_uuid=known.uuid,
            project_id='p',
            generation=generation,
        )
        return instance

    def change(self, cell: str, **values: Any) -> objects.CellMapping:
        known = self.cells[cell]
        values.setdefault('generation', known.generation + 1)
        self.cells[cell] = dataclasses.replace(known, **values)
        return self.cells[cell]

    def _filled(self, instance: str) -> objects.InstanceMapping:
        found = self.instances[instance]
        [cell] = [c for c in self.cells.values() if c.uuid == found.cell_uuid]
        # Each answer of a real source is made of fresh objects, too.
        return dataclasses.replace(found, cell=dataclasses.replace(cell))

    def get_cell(self, cell: str) -> objects.CellMapping:
        self.asked.append(cell)
        found = [c for c in self.cells.values() if cell in (c.uuid, c.name)]
        self.answered()
        if not found:
            raise exception.CellMappingNotFound(cell)
        return found[0]

    def list_cells(self) -> list[objects.CellMapping]:
        self.asked.append('all')
        return list(self.cells.values())

    def get_instance(self, instance_uuid: str) -> objects.InstanceMapping:
        self.asked.append(instance_uuid)
        if instance_uuid not in self.instances:
            raise exception.InstanceMappingNotFound(instance_uuid)
        found = self._filled(instance_uuid)
        self.answered()
        return found

    def get_instances(
        self, instance_uuids: Iterable[str]
    ) -> dict[str, objects.InstanceMapping]:
        uuids = list(instance_uuids)
        self.asked.append(uuids)
        found = {u: self._filled(u) for u in uuids if u in self.instances}
        self.answered()
        return found

    def forget_cell(self, cell_uuid: str) -> None:
        self.forgotten.append(cell_uuid)

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        self.forgotten.append((instance_uuid, below_generation))

    def close(self) -> None: ...


class LocalTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.source = Source()
        self.now = 1000.0
        self.make()

    def make(self, ttl: float = 5.0, max_entries: int = 100) -> None:
        host: Any = types.SimpleNamespace(load=lambda *_: self.source)
        options = types.SimpleNamespace(
            backend='source', ttl=ttl, max_entries=max_entries
        )
        self.local = driver.LocalResolver(
            options, host, timer=lambda: self.now
        )

    @contextlib.contextmanager
    def under_way(self, question: Any, *arguments: Any) -> Iterator[None]:
        """A question that has its answer, and returns after the block.

        What it returned is ``self.late`` then.
        """
        answered, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            self.source.answered = lambda: None
            answered.set()
            assert go_on.wait(PATIENCE)

        def ask() -> None:
            self.late = question(*arguments)

        self.source.answered = hold
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            self.assertTrue(answered.wait(PATIENCE))
            yield
        finally:
            go_on.set()
            thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())

    def questions(self, call: Any, *arguments: Any) -> list[Any]:
        """What the source was asked for in the course of a call."""
        before = len(self.source.asked)
        call(*arguments)
        return self.source.asked[before:]


class TestRemembering(LocalTestCase):
    def test_an_instance_is_asked_for_once(self) -> None:
        self.source.place('i', 'cell1')
        first = self.local.get_instance('i')
        self.assertEqual(first, self.local.get_instance('i'))
        self.assertEqual('cell1', self.local.get_instance('i').cell.name)
        self.assertEqual(['i'], self.source.asked)

    def test_a_cell_is_asked_for_once_by_name_and_once_by_uuid(self) -> None:
        self.source.place('i', 'cell1')
        cell = self.source.cells['cell1']
        for _ in range(3):
            self.assertEqual(cell, self.local.get_cell('cell1'))
            self.assertEqual(cell, self.local.get_cell(cell.uuid))
        self.assertEqual(['cell1', cell.uuid], self.source.asked)

    def test_a_listing_is_always_the_sources(self) -> None:
        self.source.place('i', 'cell1')
        self.assertEqual(1, len(self.local.list_cells()))
        self.source.place('j', 'cell2')
        self.assertEqual(2, len(self.local.list_cells()))

    def test_of_many_only_the_unknown_are_asked_for_in_one_call(self) -> None:
        for instance in 'abcd':
            self.source.place(instance, 'cell1')
        self.local.get_instance('a')
        self.local.get_instances('ab')
        found = self.local.get_instances(iter('dabcdxa'))
        self.assertEqual(set('abcd'), set(found))
        self.assertEqual({'cell1'}, {m.cell.name for m in found.values()})
        self.assertEqual(['a', ['b'], ['d', 'c', 'x']], self.source.asked)
        self.assertEqual([], self.questions(self.local.get_instances, 'abcd'))
        self.assertEqual([], self.questions(self.local.get_instances, ()))

    def test_what_does_not_exist_is_asked_for_again(self) -> None:
        for _ in range(2):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                self.local.get_instance,
                'i',
            )
            self.assertEqual({}, self.local.get_instances(['i']))
            self.assertRaises(
                exception.CellMappingNotFound, self.local.get_cell, 'cell1'
            )
        self.source.place('i', 'cell1')
        self.assertEqual('cell1', self.local.get_cell('cell1').name)
        self.assertEqual('cell1', self.local.get_instance('i').cell.name)

    def test_while_the_source_is_down_the_known_go_on(self) -> None:
        self.source.place('i', 'cell1')
        self.source.place('j', 'cell1')
        self.local.get_instance('i')

        def fail() -> None:
            raise exception.DatabaseUnavailable('API database', 'gone')

        self.source.answered = fail
        self.assertEqual('cell1', self.local.get_instance('i').cell.name)
        for _ in range(2):
            self.assertRaises(
                exception.DatabaseUnavailable, self.local.get_instance, 'j'
            )
            self.assertRaises(
                exception.DatabaseUnavailable, self.local.get_instances, 'ij'
            )

    def test_a_mapping_whose_cell_is_gone_is_not_kept(self) -> None:
        self.source.place('i', 'cell1')
        whole = self.source._filled
        self.source._filled = lambda i: dataclasses.replace(
            whole(i), cell=None
        )
        self.assertIsNone(self.local.get_instance('i').cell)
        self.source._filled = whole
        self.assertEqual('cell1', self.local.get_instance('i').cell.name)


class TestBounds(LocalTestCase):
    def test_an_answer_is_too_old_after_its_time_to_live(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')
        self.local.get_cell('cell1')
        self.now += 4.999
        self.assertEqual([], self.questions(self.local.get_instance, 'i'))
        self.assertEqual([], self.questions(self.local.get_cell, 'cell1'))
        self.now += 0.001
        self.assertEqual(['i'], self.questions(self.local.get_instance, 'i'))
        self.assertEqual(
            ['cell1'], self.questions(self.local.get_cell, 'cell1')
        )

    def test_the_age_counts_from_the_question(self) -> None:
        self.source.place('i', 'cell1')

        def be_slow() -> None:
            self.now += 4

        for question, argument in (
            (self.local.get_instance, 'i'),
            (self.local.get_instances, ['i']),
            (self.local.get_cell, 'cell1'),
        ):
            self.source.answered = be_slow
            question(argument)
            self.source.answered = lambda: None
            self.assertEqual([], self.questions(question, argument))
            self.now += 1
            self.assertEqual([argument], self.questions(question, argument))
            self.now += 10

    def test_a_cell_ages_although_its_instances_are_younger(self) -> None:
        self.source.place('i', 'cell1')
        older = self.source.cells['cell1']
        self.source.change('cell1')
        self.local.get_instance('i')
        self.source.cells['cell1'] = older
        self.now += 3
        self.source.place('j', 'cell1')
        self.local.get_instance('j')
        self.now += 2
        self.assertEqual(['j'], self.questions(self.local.get_instance, 'j'))

    def test_answers_age_whatever_else_of_the_cell_is_asked(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')
        self.local.get_cell('cell1')
        for _ in range(2):
            self.now += 2
            self.source.place('j', 'cell1')
            self.local.forget_instance('j')
            self.local.get_instance('j')
        self.now += 1
        self.assertEqual(
            ['cell1'], self.questions(self.local.get_cell, 'cell1')
        )
        self.assertEqual(['i'], self.questions(self.local.get_instance, 'i'))

    def test_without_time_to_live_nothing_is_remembered(self) -> None:
        self.make(ttl=0.0)
        self.source.place('i', 'cell1')
        for _ in range(2):
            self.assertEqual(
                ['i'], self.questions(self.local.get_instance, 'i')
            )

    def test_the_oldest_go_where_there_is_no_room(self) -> None:
        self.make(max_entries=10)
        instances = [self.source.place(f'i{n}', 'cell1') for n in range(30)]
        for instance in instances:
            self.local.get_instance(instance)
        self.assertEqual(
            [instances[:20]],
            self.questions(self.local.get_instances, instances),
        )

    def test_forgetting_takes_no_room(self) -> None:
        self.make(max_entries=10)
        for number in range(3000):
            self.local.forget_instance(f'i{number}', number)
        memory = self.local._memory()
        self.assertLess(len(memory._fences), 2000)
        self.assertEqual(0, len(memory._instances))


class TestForgetting(LocalTestCase):
    def test_a_moved_instance_is_asked_for_again(self) -> None:
        self.source.place('i', 'cell1', 1)
        self.local.get_instance('i')
        self.source.place('i', 'cell2', 2)
        self.local.forget_instance('i', 2)
        self.assertEqual('cell2', self.local.get_instance('i').cell.name)

    def test_versions_from_the_generation_on_stay(self) -> None:
        self.source.place('i', 'cell1', 2)
        self.local.get_instance('i')
        self.local.forget_instance('i', 2)
        self.assertEqual([], self.questions(self.local.get_instance, 'i'))
        self.local.forget_instance('i')
        self.assertEqual(['i'], self.questions(self.local.get_instance, 'i'))

    def test_a_changed_cell_is_asked_for_again(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')
        self.local.get_cell('cell1')
        changed = self.source.change('cell1', transport_url='fake://b/')
        self.local.forget_cell(changed.uuid)
        self.assertEqual(changed, self.local.get_instance('i').cell)
        self.assertEqual(changed, self.local.get_cell('cell1'))

    def test_a_name_that_went_to_another_cell_leads_there(self) -> None:
        # Somebody else renamed cell1; here a new cell1 is created.
        self.source.place('i', 'cell1')
        self.local.get_cell('cell1')
        self.source.change('cell1', name='old')
        made = dataclasses.replace(make_cell('x'), name='cell1')
        self.source.cells['x'] = made
        self.local.forget_cell(made.uuid)
        self.assertEqual(made, self.local.get_cell('cell1'))

    def test_the_backend_is_told(self) -> None:
        self.local.forget_instance('i', 7)
        self.local.forget_instance('i')
        self.local.forget_cell('c')
        self.assertEqual([('i', 7), ('i', None), 'c'], self.source.forgotten)

    def test_a_backend_that_fails_to_forget_stops_nothing(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')

        def fail(*_: Any) -> None:
            raise RuntimeError('no')

        self.source.forget_instance = fail  # type: ignore[method-assign]
        self.source.forget_cell = fail  # type: ignore[method-assign]
        for forget in (self.local.forget_instance, self.local.forget_cell):
            self.local.get_instance('i')
            self.assertRaises(RuntimeError, forget, 'i')
            self.assertEqual(
                ['i'], self.questions(self.local.get_instance, 'i')
            )

    def test_a_reload_forgets_everything(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')
        self.local.get_cell('cell1')
        self.local.reload()
        self.source.place('j', 'cell1')
        self.local.get_instance('j')
        self.assertEqual(['i'], self.questions(self.local.get_instance, 'i'))
        self.assertEqual(
            ['cell1'], self.questions(self.local.get_cell, 'cell1')
        )

    def test_what_is_unmapped_elsewhere_does_not_come_back(self) -> None:
        # The cell was forgotten, so the source is asked, and knows better.
        self.source.place('i', 'cell1')
        self.source.place('j', 'cell1')
        for ask in (
            lambda: self.assertRaises(
                exception.InstanceMappingNotFound,
                self.local.get_instance,
                'i',
            ),
            lambda: self.local.get_instances(['i']),
        ):
            self.source.place('i', 'cell1')
            self.local.get_instance('i')
            self.local.forget_cell('c')
            del self.source.instances['i']
            ask()
            self.local.get_instance('j')
            self.assertEqual({}, self.local.get_instances(['i']))


class TestNewerVersions(LocalTestCase):
    def test_a_newer_cell_reaches_the_instances_known(self) -> None:
        self.source.place('i', 'cell1')
        self.source.place('j', 'cell1')
        self.local.get_instance('i')
        self.local.get_cell('cell1')
        newer = self.source.change('cell1', name='renamed')
        self.local.get_instance('j')
        self.assertEqual(newer, self.local.get_instance('i').cell)
        self.assertRaises(
            exception.CellMappingNotFound, self.local.get_cell, 'cell1'
        )

    def test_an_older_answer_brings_no_older_cell_back(self) -> None:
        self.source.place('i', 'cell1')
        self.source.place('j', 'cell1')
        older = self.source.cells['cell1']
        newer = self.source.change('cell1', transport_url='fake://b/')
        self.local.get_instance('i')
        self.source.cells['cell1'] = older
        self.assertEqual(newer, self.local.get_instance('j').cell)
        self.local.get_cell('cell1')
        for instance in 'ij':
            found = self.local.get_instance(instance)
            self.assertEqual(newer, found.cell)

    def test_an_older_answer_that_comes_late_is_set_right(self) -> None:
        self.source.place('i', 'cell1', 1)
        with self.under_way(self.local.get_instance, 'i'):
            self.source.place('i', 'cell2', 2)
            self.local.get_instance('i')
        self.assertEqual('cell2', self.late.cell.name)
        self.assertEqual('cell2', self.local.get_instance('i').cell.name)

    def test_instances_of_a_cell_share_one_object(self) -> None:
        self.source.place('i', 'cell1')
        self.source.place('j', 'cell1')
        found = self.local.get_instances('ij')
        self.assertIs(found['i'].cell, found['j'].cell)


class TestGenerationsBack(LocalTestCase):
    """The database was restored, or a server's clock went back."""

    def test_a_newer_instance_counts_until_it_is_too_old(self) -> None:
        self.source.place('i', 'cell1', 7)
        self.local.get_instance('i')
        self.source.place('i', 'cell2', 6)
        self.now += 5
        self.assertEqual('cell2', self.local.get_instance('i').cell.name)
        found = self.local.get_instances(['i'])
        self.assertEqual('cell2', found['i'].cell.name)
        self.assertEqual([], self.questions(self.local.get_instance, 'i'))

    def test_so_does_a_newer_cell(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')
        self.local.get_cell('cell1')
        self.source.change('cell1', transport_url='fake://b/', generation=0)
        self.now += 5
        found = self.local.get_instance('i').cell
        self.assertEqual('fake://b/', found.transport_url)
        found = self.local.get_cell('cell1')
        self.assertEqual('fake://b/', found.transport_url)
        self.assertEqual([], self.questions(self.local.get_cell, 'cell1'))

    def test_a_newer_instance_brings_no_cell_that_is_too_old(self) -> None:
        self.source.place('i', 'cell1', 1)
        self.source.place('j', 'cell2', 1)
        self.local.get_instance('j')
        self.now += 4
        with self.under_way(self.local.get_instance, 'i'):
            self.source.place('i', 'cell2', 2)
            self.source.change('cell2', transport_url='b:', generation=0)
            self.local.get_instance('i')
            self.now += 2
        self.assertEqual('cell1', self.late.cell.name)


class TestRaces(LocalTestCase):
    """A question was answered before, and returns after, the forgetting."""

    def test_a_late_answer_does_not_fill(self) -> None:
        questions = (
            lambda: self.local.get_instance('i'),
            lambda: self.local.get_instances('ij'),
        )
        generation = 1
        self.source.place('j', 'cell1')
        for question in questions:
            self.source.place('i', 'cell1', generation)
            self.local.forget_instance('i')
            with self.under_way(question):
                generation += 1
                self.source.place('i', 'cell2', generation)
                self.local.forget_instance('i', generation)
            self.assertEqual('cell2', self.local.get_instance('i').cell.name)

    def test_a_late_answer_does_not_fill_after_an_unmap(self) -> None:
        for question, argument in (
            (self.local.get_instance, 'i'),
            (self.local.get_instances, ['i']),
        ):
            self.source.place('i', 'cell1')
            with self.under_way(question, argument):
                del self.source.instances['i']
                self.local.forget_instance('i')
            self.assertRaises(
                exception.InstanceMappingNotFound,
                self.local.get_instance,
                'i',
            )

    def test_many_others_may_be_forgotten_meanwhile(self) -> None:
        self.source.place('i', 'cell1', 1)
        with self.under_way(self.local.get_instance, 'i'):
            self.source.place('i', 'cell2', 2)
            self.local.forget_instance('i', 2)
            for number in range(3000):
                self.local.forget_instance(f'other{number}')
        self.assertEqual('cell2', self.local.get_instance('i').cell.name)

    def test_forgetting_another_instance_disturbs_nothing(self) -> None:
        self.source.place('i', 'cell1')
        with self.under_way(self.local.get_instance, 'i'):
            self.local.forget_instance('j')
        self.assertEqual([], self.questions(self.local.get_instance, 'i'))

    def test_a_late_cell_does_not_fill(self) -> None:
        self.source.place('i', 'cell1')
        for question, argument in (
            (self.local.get_cell, 'cell1'),
            (self.local.get_instance, 'i'),
            (self.local.get_instances, ['i']),
        ):
            self.local.forget_cell('any')
            with self.under_way(question, argument):
                changed = self.source.change('cell1')
                self.local.forget_cell(changed.uuid)
            # In this order: what the first asks for would help the second.
            self.assertEqual([argument], self.questions(question, argument))
            self.assertEqual(changed, self.local.get_cell('cell1'))
            self.assertEqual(changed, self.local.get_instance('i').cell)

    def test_a_late_answer_does_not_fill_after_a_reload(self) -> None:
        self.source.place('i', 'cell1', 1)
        with self.under_way(self.local.get_instance, 'i'):
            self.source.place('i', 'cell2', 1)
            self.local.reload()
        self.assertEqual('cell2', self.local.get_instance('i').cell.name)

    def test_the_backend_has_forgotten_before_we_have(self) -> None:
        # It would tell the old version until it was told to forget.
        self.source.place('i', 'cell1', 1)
        self.local.get_instance('i')

        def forget(instance: str, below: int | None = None) -> None:
            self.local.get_instance('i')
            del self.source.instances['i']

        self.source.forget_instance = forget  # type: ignore[method-assign]
        self.local.forget_instance('i')
        self.assertRaises(
            exception.InstanceMappingNotFound, self.local.get_instance, 'i'
        )

    def test_the_backend_has_forgotten_a_cell_before_we_have(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')

        def forget(cell: str) -> None:
            self.local.get_instance('i')
            self.local.get_cell('cell1')
            self.source.change('cell1')

        self.source.forget_cell = forget  # type: ignore[method-assign]
        self.local.forget_cell('any')
        self.assertEqual(2, self.local.get_instance('i').cell.generation)
        self.assertEqual(2, self.local.get_cell('cell1').generation)

    def test_what_has_yet_to_be_committed_is_not_filled(self) -> None:
        # The move is part of a transaction that is still open: others read
        # the old version until it commits, and may not keep it.
        self.source.place('i', 'cell1', 1)
        self.local.forget_instance('i', 2)
        self.assertEqual('cell1', self.local.get_instance('i').cell.name)
        self.source.place('i', 'cell2', 2)
        self.assertEqual('cell2', self.local.get_instance('i').cell.name)

    def test_no_thread_sees_an_older_version_than_was_forgotten(self) -> None:
        for number in range(3):
            self.source.place('i', f'cell{number}', 0)
        done, wrong, looks = threading.Event(), [], [0] * 8
        newest = 0

        def look(number: int) -> None:
            while not done.is_set():
                least = newest
                ask = self.local.get_instances if number % 2 else None
                found = (
                    ask(['i'])['i'] if ask else self.local.get_instance('i')
                )
                looks[number] += 1
                if found.generation < least:
                    wrong.append((least, found.generation))

        threads = [
            threading.Thread(target=look, args=[number], daemon=True)
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for generation in range(1, 2000):
            self.source.place('i', f'cell{generation % 3}', generation)
            self.local.forget_instance('i', generation)
            newest = generation
        done.set()
        for thread in threads:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())
        self.assertEqual([], wrong)
        self.assertGreater(min(looks), 0)


class TestFork(LocalTestCase):
    def in_child(self, call: Any) -> str:
        readable, writable = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(writable, repr(call()).encode())
            finally:
                os._exit(0)
        os.close(writable)
        killer = threading.Timer(PATIENCE, os.kill, (pid, 9))
        killer.start()
        with open(readable, 'rb') as pipe:
            answer = pipe.read().decode()
        os.waitpid(pid, 0)
        killer.cancel()
        self.assertTrue(answer, 'the child hung or died')
        return answer

    def test_a_child_begins_with_nothing_and_a_lock_of_its_own(self) -> None:
        self.source.place('i', 'cell1')
        self.local.get_instance('i')

        def call() -> Any:
            asked = self.questions(self.local.get_instance, 'i')
            again = self.questions(self.local.get_instance, 'i')
            self.local.forget_instance('i')
            return asked, again

        # Another thread of the parent is filling at the moment of the fork.
        with self.local._memory()._lock:
            answer = self.in_child(call)
        self.assertEqual("(['i'], [])", answer)
        self.assertEqual([], self.questions(self.local.get_instance, 'i'))

    def test_a_child_keeps_nothing_of_the_parents(self) -> None:
        self.local._memory()
        answer = self.in_child(
            lambda: self.local._memory() and len(self.local._memories)
        )
        self.assertEqual('1', answer)


class TestLoading(testtools.TestCase):
    def load(self, **options: Any) -> Any:
        conf = self.useFixture(
            deployment.ConfFixture(
                {f'resolver_local.{k}': v for k, v in options.items()}
            )
        ).conf
        host: Any = types.SimpleNamespace()
        loaded = loader.Loader(conf, host)
        self.addCleanup(loaded.close)
        self.source = Source()

        def load(interface: str, name: str) -> Any:
            if name == 'source':
                return self.source
            return loaded.load(interface, name)

        host.load = load
        self.prepare()
        return loaded.load('resolver', 'local')

    def prepare(self) -> None:
        """Nothing, unless a test has something to do with the source."""

    def test_it_is_loaded_by_its_name(self) -> None:
        local = self.load(backend='source')
        self.source.place('i', 'cell1')
        self.assertEqual('cell1', local.get_instance('i').cell.name)
        local.get_instance('i')
        self.assertEqual(['i'], self.source.asked)

    def test_it_does_not_stand_in_front_of_itself(self) -> None:
        error = self.assertRaises(
            exception.DriverLoadError, self.load, backend='local'
        )
        self.assertIn('local -> local', str(error))

    def test_it_can_what_its_backend_can(self) -> None:
        local = self.load(backend='source')
        self.assertEqual(
            {CAPABILITY.CACHES, CAPABILITY.INSTANCES}, local.capabilities
        )
        theirs = {CAPABILITY.OWN_CELLS, CAPABILITY.CACHES}
        self.prepare = lambda: setattr(  # type: ignore[method-assign]
            self.source, 'capabilities', frozenset(theirs)
        )
        local = self.load(backend='source')
        self.assertEqual(theirs, local.capabilities)

    def test_a_backend_that_answers_by_project_is_refused(self) -> None:
        self.prepare = lambda: setattr(  # type: ignore[method-assign]
            self.source, 'capabilities', frozenset(CAPABILITY)
        )
        error = self.assertRaises(
            exception.ConfigurationError, self.load, backend='source'
        )
        self.assertIn('[resolver_local] backend', str(error))

    def test_its_options_are_in_the_sample(self) -> None:
        groups = dict(opts.list_opts())
        self.assertEqual(
            {'backend', 'ttl', 'max_entries'},
            {option.name for option in groups['resolver_local']},
        )

    def test_options_out_of_bounds_are_refused(self) -> None:
        fixture = deployment.ConfFixture({'resolver_local.ttl': 1})
        conf = self.useFixture(fixture).conf
        for name, value in (
            ('ttl', -1),
            ('ttl', float('inf')),
            ('max_entries', 0),
        ):
            self.assertRaises(
                ValueError, conf.set_override, name, value, 'resolver_local'
            )
