"""The suite of resolvers: threads and forks."""

from __future__ import annotations

import os
import threading
import unittest

from cellplug import objects
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import resolver_base

THREADS = 8
ROUNDS = 20


class TogetherChecks(resolver_base.ResolverCase):
    """Right answers, whoever else asks."""

    # -- threads -----------------------------------------------------------

    @base.area('threads')
    def test_many_threads_get_right_answers(self) -> None:
        cells = [self.put_cell() for _ in range(4)]
        pairs = self._mapped(cells)

        def work(number: int) -> None:
            for step in range(ROUNDS):
                self._check_one(cells, pairs, number + step)

        doing.together(THREADS, work)

    def _mapped(
        self, cells: list[objects.CellMapping]
    ) -> list[objects.InstanceMapping]:
        """An instance in each cell, if there can be any."""
        if not self.can(resolver_base.Capability.INSTANCES):
            return []
        try:
            return [self.put_instance(cell) for cell in cells]
        except unittest.SkipTest:
            return []

    def _check_one(
        self,
        cells: list[objects.CellMapping],
        mapped: list[objects.InstanceMapping],
        number: int,
    ) -> None:
        cell = cells[number % len(cells)]
        self.assertEqual(cell, self.subject.get_cell(cell.uuid))
        self.assertEqual(cell, self.subject.get_cell(cell.name))
        self.assertEqual(cells, self.subject.list_cells())
        if mapped:
            one = mapped[number % len(mapped)]
            uuid = one.instance_uuid
            self.assertEqual(one, self.find(uuid))
            self.assertEqual({uuid: one}, self.find_many([uuid]))

    @base.area('threads')
    def test_threads_that_look_up_see_every_move(self) -> None:
        cells = [self.put_cell(), self.put_cell()]
        one = self.put_instance(cells[0])
        uuid = one.instance_uuid
        told = [one.generation]
        stop: list[bool] = []

        def work(number: int) -> None:
            if number:
                while not stop:
                    known = told[0]
                    found = self.find(uuid).generation
                    self.assertLessEqual(known, found, 'an older version')
                return
            try:
                for step in range(ROUNDS):
                    moved = self.move(one, cells[(step + 1) % 2])
                    told[0] = moved.generation
            finally:
                stop.append(True)

        doing.together(4, work)

    # -- fork --------------------------------------------------------------

    @base.area('fork')
    def test_a_child_and_its_parent_both_get_answers(self) -> None:
        cells = [self.put_cell() for _ in range(3)]
        mapped = self._mapped(cells)
        self._check_one(cells, mapped, 0)

        def work() -> None:
            for number in range(ROUNDS):
                self._check_one(cells, mapped, number)

        child = doing.Child(work)
        try:
            work()
        finally:
            child.wait()
        work()

    @base.area('fork')
    def test_a_child_of_a_busy_parent_gets_answers(self) -> None:
        outside = self._keep_out()
        cells = [self.put_cell() for _ in range(3)]
        mapped = self._mapped(cells)
        stop: list[bool] = []

        def busy() -> None:
            number = 0
            while not stop:
                number += 1
                self._forget_all(cells, mapped)
                self._check_one(cells, mapped, number)

        def work() -> None:
            outside.release()
            self._check_one(cells, mapped, 0)

        running = [doing.Background(busy) for _ in range(3)]
        try:
            for _ in range(10):
                with outside:
                    child = doing.Child(work)
                child.wait()
        finally:
            stop.append(True)
            for one in running:
                one.result()

    def _keep_out(self) -> threading.Lock:
        """A lock: while it is held, no thread is inside the source.

        Where the source bears a fork at any time, it keeps nobody out.
        """
        outside = threading.Lock()
        if not self.source.forks_busy:
            if not self.host.gates:
                self.not_applicable('its source bears no fork while in use')
            for gate in self.host.gates.values():
                gate.one_at_a_time = outside
        return outside

    def _forget_all(
        self,
        cells: list[objects.CellMapping],
        mapped: list[objects.InstanceMapping],
    ) -> None:
        for cell in cells:
            self.subject.forget_cell(cell.uuid)
        for one in mapped:
            self.subject.forget_instance(one.instance_uuid)

    @base.area('fork')
    def test_a_child_waits_for_no_look_up_of_its_parent(self) -> None:
        cells = [self.put_cell() for _ in range(2)]
        mapped = self._mapped(cells)
        with self.held() as hold:
            late = doing.Background(self.subject.get_cell, cells[0].uuid)
            if not hold.wait_reached():
                self.fail('the look-up never asked the source')
            try:
                doing.Child(lambda: self._check_one(cells, mapped, 0)).wait()
            finally:
                hold.release()
            self.assertEqual(cells[0], late.result())

    @base.area('fork')
    def test_a_child_that_closes_leaves_the_parent_alone(self) -> None:
        self.exercise(self.subject)
        parent = os.getpid()

        def work() -> None:
            self.assertNotEqual(parent, os.getpid())
            self.exercise(self.subject)
            self.subject.close()

        doing.Child(work).wait()
        self.exercise(self.subject)
