"""The suite of resolvers: what changed, and what they have to forget."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug import objects
from cellplug.objects import identifiers
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import resolver_base

_MOMENT = 0.2
"""Seconds for a look-up to join one that is under way, if it would."""


class ForgettingChecks(resolver_base.ResolverCase):
    """What a process was told to forget never comes back."""

    def test_a_changed_cell_is_seen_once_forgotten(self) -> None:
        cell = self.put_cell()
        self.subject.get_cell(cell.uuid)
        self.subject.get_cell(cell.name)
        self.subject.list_cells()
        changed = self.change_cell(cell, state=objects.CellState.NO_NEW)
        self.assertEqual(changed, self.subject.get_cell(cell.uuid))
        self.assertEqual(changed, self.subject.get_cell(cell.name))
        self.assertEqual([changed], self.subject.list_cells())

    def test_a_changed_cell_is_seen_through_its_instances(self) -> None:
        cell = self.put_cell()
        one = self.put_instance(cell)
        uuid = one.instance_uuid
        self.find(uuid)
        self.find_many([uuid])
        changed = self.change_cell(cell, state=objects.CellState.NO_NEW)
        self.assertEqual(changed, self.find(uuid).cell)
        self.assertEqual(changed, self.find_many([uuid])[uuid].cell)

    def test_a_renamed_cell_is_found_by_its_new_name_alone(self) -> None:
        cell = self.put_cell()
        self.subject.get_cell(cell.name)
        renamed = self.change_cell(cell, name='suite-renamed')
        self.assertEqual(renamed, self.subject.get_cell('suite-renamed'))
        self.refused(
            exception.CellMappingNotFound, self.subject.get_cell, cell.name
        )

    def test_a_removed_cell_is_not_found_any_more(self) -> None:
        cell, other = self.put_cell(), self.put_cell()
        self.subject.get_cell(cell.uuid)
        self.subject.get_cell(cell.name)
        self.subject.list_cells()
        self.remove_cell(cell)
        for name in (cell.uuid, cell.name):
            self.refused(
                exception.CellMappingNotFound, self.subject.get_cell, name
            )
        self.assertEqual([other], self.subject.list_cells())

    def test_a_new_cell_is_found_where_there_was_none(self) -> None:
        cell = self.new_cell()
        for name in (cell.uuid, cell.name):
            self.refused(
                exception.CellMappingNotFound, self.subject.get_cell, name
            )
        self.subject.list_cells()
        stored = self.change_cell(cell)
        self.assertEqual(stored, self.subject.get_cell(cell.uuid))
        self.assertEqual(stored, self.subject.get_cell(cell.name))
        self.assertEqual([stored], self.subject.list_cells())

    def test_a_moved_instance_is_seen_once_forgotten(self) -> None:
        cell, other = self.put_cell(), self.put_cell()
        one = self.put_instance(cell)
        uuid = one.instance_uuid
        self.find(uuid)
        self.find_many([uuid])
        moved = self.move(one, other)
        self.assertEqual(moved, self.find(uuid))
        self.assertEqual(other, self.find(uuid).cell, 'its cell')
        self.assertEqual({uuid: moved}, self.find_many([uuid]))
        self.assertLess(one.generation, moved.generation)

    def test_an_unmapped_instance_is_not_found_any_more(self) -> None:
        cell = self.put_cell()
        one, other = self.put_instance(cell), self.put_instance(cell)
        self.find(one.instance_uuid)
        self.find_many([one.instance_uuid, other.instance_uuid])
        self.unmap(one)
        self.refused(
            exception.InstanceMappingNotFound, self.find, one.instance_uuid
        )
        self.assertEqual(
            {other.instance_uuid: other},
            self.find_many([one.instance_uuid, other.instance_uuid]),
        )

    def test_a_new_instance_is_found_where_there_was_none(self) -> None:
        cell = self.put_cell()
        self.put_instance(cell)  # or the check does not apply
        uuid = identifiers.new_uuid()
        self.refused(exception.InstanceMappingNotFound, self.find, uuid)
        self.find_many([uuid])
        stored = self.put_instance(cell, uuid)
        self.subject.forget_instance(uuid, stored.generation)
        self.assertEqual(stored, self.find(uuid))
        self.assertEqual({uuid: stored}, self.find_many([uuid]))

    def test_forgetting_an_older_version_loses_nothing(self) -> None:
        cell, other = self.put_cell(), self.put_cell()
        one = self.put_instance(cell)
        moved = self.move(one, other)
        self.find(one.instance_uuid)
        self.subject.forget_instance(one.instance_uuid, one.generation)
        self.assertEqual(moved, self.find(one.instance_uuid))

    def test_forgetting_the_unknown_is_ignored(self) -> None:
        cell = self.put_cell()
        self.subject.forget_cell(identifiers.new_uuid())
        self.subject.forget_instance(identifiers.new_uuid())
        self.subject.forget_instance(identifiers.new_uuid(), 17)
        self.assertEqual(cell, self.subject.get_cell(cell.uuid))

    # -- a look-up that finishes late --------------------------------------

    def _finish_late(
        self,
        look_up: Callable[[], Any],
        change: Callable[[], Any],
        check: Callable[[], object],
    ) -> None:
        """Change the truth while a look-up stands still with the old one.

        A second look-up, which begins after the change, must not be handed
        the answer of the first either.
        """
        with self.held() as hold:
            late = doing.Background(look_up)
            if late.done(0) or not hold.wait_reached():
                self.fail('the look-up never asked the source')
            change()
            second = doing.Background(check)
            second.started.wait()
            second.done(_MOMENT)
            hold.release()
            second.result()
            with contextlib.suppress(exception.CellplugError):
                late.result()
        check()
        check()

    @base.area('threads')
    def test_a_late_look_up_brings_no_old_instance_back(self) -> None:
        cell, other = self.put_cell(), self.put_cell()
        one = self.put_instance(cell)
        uuid = one.instance_uuid
        self._finish_late(
            lambda: self.find(uuid),
            lambda: self.move(one, other),
            lambda: self.assertEqual(other.uuid, self.find(uuid).cell_uuid),
        )

    @base.area('threads')
    def test_a_late_bulk_look_up_brings_no_old_instance_back(self) -> None:
        cell, other = self.put_cell(), self.put_cell()
        one = self.put_instance(cell)
        uuid = one.instance_uuid

        def check() -> None:
            found = self.find_many([uuid])
            self.assertEqual(other.uuid, found[uuid].cell_uuid)
            self.assertEqual(other.uuid, self.find(uuid).cell_uuid)

        self._finish_late(
            lambda: self.find_many([uuid]),
            lambda: self.move(one, other),
            check,
        )

    @base.area('threads')
    def test_a_late_look_up_brings_no_unmapped_instance_back(self) -> None:
        one = self.put_instance(self.put_cell())
        uuid = one.instance_uuid
        self._finish_late(
            lambda: self.find(uuid),
            lambda: self.unmap(one),
            lambda: self.refused(
                exception.InstanceMappingNotFound, self.find, uuid
            ),
        )

    @base.area('threads')
    def test_a_late_miss_hides_no_new_instance(self) -> None:
        cell = self.put_cell()
        self.put_instance(cell)  # or the check does not apply
        uuid = identifiers.new_uuid()

        def change() -> None:
            stored = self.put_instance(cell, uuid)
            self.subject.forget_instance(uuid, stored.generation)

        self._finish_late(
            lambda: self.find(uuid),
            change,
            lambda: self.assertEqual(cell.uuid, self.find(uuid).cell_uuid),
        )

    @base.area('threads')
    def test_a_late_look_up_brings_no_old_cell_back(self) -> None:
        cell = self.put_cell()
        state = objects.CellState.NO_NEW

        def check() -> None:
            for name in (cell.uuid, cell.name):
                self.assertIs(state, self.subject.get_cell(name).state)

        self._finish_late(
            lambda: self.subject.get_cell(cell.uuid),
            lambda: self.change_cell(cell, state=state),
            check,
        )

    @base.area('threads')
    def test_a_late_listing_brings_no_old_cell_back(self) -> None:
        cell = self.put_cell()
        state = objects.CellState.NO_NEW

        def check() -> None:
            listed = self.subject.list_cells()
            self.assertEqual([state], [one.state for one in listed])
            self.assertIs(state, self.subject.get_cell(cell.uuid).state)

        self._finish_late(
            self.subject.list_cells,
            lambda: self.change_cell(cell, state=state),
            check,
        )
