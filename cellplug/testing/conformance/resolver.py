"""The suite of resolvers: what they answer."""

from __future__ import annotations

import contextlib

from cellplug import exception
from cellplug import objects
from cellplug.objects import identifiers
from cellplug.testing.conformance import base
from cellplug.testing.conformance import resolver_base
from cellplug.testing.conformance import resolver_forgetting
from cellplug.testing.conformance import resolver_together
from cellplug.testing.conformance import resolver_trouble

Capability = resolver_base.Capability


class ResolverSuite(
    resolver_forgetting.ForgettingChecks,
    resolver_together.TogetherChecks,
    resolver_trouble.TroubleChecks,
):
    """Whether a resolver keeps :class:`cellplug.interfaces.Resolver`.

    Its harness is a :class:`.harnesses.ResolverHarness`.
    """

    # -- cells -------------------------------------------------------------

    def test_a_cell_is_found_by_uuid_and_by_name(self) -> None:
        cell, other = self.put_cell(), self.put_cell()
        for one in (cell, other):
            self.assertEqual(one, self.subject.get_cell(one.uuid))
            self.assertEqual(one, self.subject.get_cell(one.name))

    def test_a_cell_is_answered_whole(self) -> None:
        disabled = self.put_cell(
            self.new_cell(
                slave_connection='mysql+pymysql://suite@replica.invalid/c',
                state=objects.CellState.DISABLED,
            )
        )
        found = self.subject.get_cell(disabled.uuid)
        self.assertIsInstance(found, objects.CellMapping)
        self.assertEqual(disabled, found)
        self.assertIs(objects.CellState.DISABLED, found.state)

    def test_cell0_is_a_cell_like_any(self) -> None:
        cell0 = self.put_cell(
            self.new_cell(
                'cell0',
                uuid=identifiers.CELL0_UUID,
                transport_url='none:///',
            )
        )
        self.assertEqual(cell0, self.subject.get_cell(cell0.uuid))
        self.assertEqual(cell0, self.subject.get_cell('cell0'))
        self.assertIn(cell0, self.subject.list_cells())

    def test_names_match_exactly(self) -> None:
        self.put_cell(self.new_cell('suite1'))
        self.put_cell(self.new_cell('suite10'))
        for wrong in ('suite', 'SUITE1', 'Suite1', 'suite%', 'suite_', '1'):
            error = self.refused(
                exception.CellMappingNotFound, self.subject.get_cell, wrong
            )
            self.assertEqual(wrong, error.cell)
        self.assertEqual('suite1', self.subject.get_cell('suite1').name)

    def test_a_cell_that_is_not_there_is_not_found(self) -> None:
        self.put_cell()
        for wrong in (identifiers.new_uuid(), 'nobody'):
            error = self.refused(
                exception.CellMappingNotFound, self.subject.get_cell, wrong
            )
            self.assertEqual(wrong, error.cell)

    def test_cells_are_listed_in_the_order_of_their_creation(self) -> None:
        cells = [
            self.put_cell(self.new_cell(name))
            for name in ('suite-c', 'suite-a', 'suite-b', 'suite-0')
        ]
        listed = self.subject.list_cells()
        self.assertIsInstance(listed, list)
        self.assertEqual(cells, [one for one in listed if one in cells])
        self.assertEqual(len(cells), len(listed))

    def test_a_changed_cell_keeps_its_place(self) -> None:
        first, second = self.put_cell(), self.put_cell()
        changed = self.change_cell(first, state=objects.CellState.NO_NEW)
        self.assertEqual([changed, second], self.subject.list_cells())

    def test_generations_grow_with_each_change(self) -> None:
        cell = self.put_cell()
        before = self.subject.get_cell(cell.uuid)
        changed = self.change_cell(cell, state=objects.CellState.READ_ONLY)
        after = self.subject.get_cell(cell.uuid)
        self.assertEqual(cell.generation, before.generation)
        self.assertEqual(changed.generation, after.generation)
        self.assertLess(before.generation, after.generation)

    def test_lists_are_the_callers_own(self) -> None:
        cell = self.put_cell()
        self.subject.list_cells().clear()
        self.assertEqual([cell], self.subject.list_cells())

    # -- instances ---------------------------------------------------------

    def test_an_instance_is_found_with_its_cell(self) -> None:
        cell, other = self.put_cell(), self.put_cell()
        here, there = self.put_instance(cell), self.put_instance(other)
        for one, home in ((here, cell), (there, other), (here, cell)):
            found = self.find(one.instance_uuid)
            self.assertIsInstance(found, objects.InstanceMapping)
            self.assertEqual(one, found)
            self.assertEqual(home, found.cell, 'its cell')

    def test_an_instance_that_is_not_mapped_is_not_found(self) -> None:
        self.put_instance(self.put_cell())
        uuid = identifiers.new_uuid()
        for _ in range(2):
            error = self.refused(
                exception.InstanceMappingNotFound, self.find, uuid
            )
            self.assertEqual(uuid, error.instance_uuid)

    def test_many_instances_are_found_at_once(self) -> None:
        cells = [self.put_cell(), self.put_cell()]
        known = [self.put_instance(cells[n % 2]) for n in range(6)]
        wanted = {one.instance_uuid: one for one in known}
        for _ in range(2):  # a cache answers the second time
            found = self.find_many(list(wanted))
            self.assertEqual(wanted, found)
            for number, one in enumerate(known):
                home = found[one.instance_uuid].cell
                self.assertEqual(cells[number % 2], home, 'its cell')

    def test_instances_without_a_mapping_are_left_out(self) -> None:
        one = self.put_instance(self.put_cell())
        absent = identifiers.new_uuid()
        for _ in range(2):
            self.assertEqual(
                {one.instance_uuid: one},
                self.find_many([absent, one.instance_uuid]),
            )
            self.assertEqual({}, self.find_many([absent]))
        self.assertEqual({}, self.find_many([]))

    def test_uuids_may_be_any_iterable_and_repeat(self) -> None:
        one = self.put_instance(self.put_cell())
        uuid = one.instance_uuid
        self.assertEqual({uuid: one}, self.find_many([uuid, uuid]))
        self.assertEqual({uuid: one}, self.find_many({uuid}))
        self.assertEqual({uuid: one}, self.find_many(iter([uuid])))

    def test_more_instances_than_one_statement_names(self) -> None:
        one = self.put_instance(self.put_cell())
        uuids = [identifiers.new_uuid() for _ in range(1500)]
        uuids.insert(700, one.instance_uuid)
        self.assertEqual({one.instance_uuid: one}, self.find_many(uuids))

    def test_arguments_are_left_as_they_are(self) -> None:
        one = self.put_instance(self.put_cell())
        uuids = [identifiers.new_uuid(), one.instance_uuid]
        asked = list(uuids)
        self.find_many(asked)
        self.assertEqual(uuids, asked)

    def test_answers_are_the_callers_own(self) -> None:
        one = self.put_instance(self.put_cell())
        uuid = one.instance_uuid
        self.find_many([uuid]).clear()
        self.assertEqual({uuid: one}, self.find_many([uuid]))

    # -- capabilities ------------------------------------------------------

    @base.area('capabilities')
    def test_instances_undeclared_are_not_supported(self) -> None:
        if self.can(Capability.INSTANCES):
            self.not_applicable('it declares INSTANCES')
        uuid = identifiers.new_uuid()
        self.refused(exception.NotSupported, self.find, uuid)
        self.refused(exception.NotSupported, self.find_many, [uuid])

    @base.area('capabilities')
    def test_own_instances_and_by_project_come_with_instances(self) -> None:
        found = self.subject.capabilities
        if found & {Capability.OWN_INSTANCES, Capability.BY_PROJECT}:
            self.assertIn(Capability.INSTANCES, found)

    @base.area('capabilities')
    def test_by_project_takes_the_project(self) -> None:
        if not self.can(Capability.BY_PROJECT):
            self.not_applicable('it does not declare BY_PROJECT')
        uuid = identifiers.new_uuid()
        for project in (resolver_base.PROJECT, None):
            # Without a project it may refuse; but it takes the argument.
            with contextlib.suppress(exception.CellplugError):
                self.subject.get_instance(uuid, project_id=project)
            with contextlib.suppress(exception.CellplugError):
                self.subject.get_instances([uuid], project_id=project)

    @base.area('capabilities')
    def test_it_declares_what_stands_behind_it(self) -> None:
        if not self.host.gates:
            self.not_applicable('it stands in front of no other resolver')
        passed_on = {
            Capability.INSTANCES,
            Capability.OWN_CELLS,
            Capability.OWN_INSTANCES,
        }
        behind = set()
        for gate in self.host.gates.values():
            behind |= gate.capabilities & passed_on
        self.assertEqual(behind, self.subject.capabilities & passed_on)

    @base.area('capabilities')
    def test_one_that_remembers_refuses_one_by_project(self) -> None:
        if not self.host.gates or not self.can(Capability.CACHES):
            self.not_applicable('it remembers no other resolver')
        if self.can(Capability.BY_PROJECT):
            self.not_applicable('it declares BY_PROJECT')
        host = self.make_host()
        host.pretended = frozenset({Capability.BY_PROJECT})
        self.refused(
            exception.CellplugError, host.build, self.interface, self.driver
        )

    @base.area('capabilities')
    def test_without_caches_every_answer_is_the_truth(self) -> None:
        if self.can(Capability.CACHES):
            self.not_applicable('it declares CACHES')
        cell, other = self.put_cell(), self.put_cell()
        self.exercise(self.subject)
        self.assertEqual(cell, self.subject.get_cell(cell.uuid))
        changed = self.put_cell(self.new_cell(uuid=cell.uuid))
        self.assertEqual(changed, self.subject.get_cell(cell.uuid))
        one = self.put_instance(other)
        self.assertEqual(one, self.find(one.instance_uuid))
        moved = self.put_instance(changed, one.instance_uuid)
        self.assertEqual(moved, self.find(one.instance_uuid))
