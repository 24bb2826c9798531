"""The suite of resolvers: threads, forks, and a source that is down."""

from __future__ import annotations

import os
import threading
import traceback
import unittest
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug import objects
from cellplug.objects import identifiers
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import resolver_base

THREADS = 8
ROUNDS = 20
BACK_IN = 30.0
"""Seconds within which a driver finds out that its source is back."""

Call = Callable[[], Any]


class TroubleChecks(resolver_base.ResolverCase):
    """Right answers or honest errors, whatever happens."""

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

    # -- failure -----------------------------------------------------------

    def _calls(self) -> list[tuple[str, Call]]:
        """Look-ups of what the driver was never asked for."""
        uuid = identifiers.new_uuid()
        calls: list[tuple[str, Call]] = []
        if self.source.breaks_cells:
            calls += [
                ('get_cell by uuid', lambda: self.subject.get_cell(uuid)),
                ('get_cell by name', lambda: self.subject.get_cell('suite-x')),
            ]
        if self.can(resolver_base.Capability.INSTANCES):
            calls += [
                ('get_instance', lambda: self.find(uuid)),
                ('get_instances', lambda: self.find_many([uuid])),
            ]
        return calls

    def _honest(self, what: str, call: Call) -> Exception:
        """Make the call on a broken source; what it raised."""
        try:
            answer = doing.bounded(call)
        except resolver_base.NOT_FOUND as exc:
            self.fail(f'{what}: "unknown" is presented as "none": {exc}')
        except exception.CellplugError as exc:
            return exc
        except doing.Failed as exc:
            self.fail(f'{what}: {exc}')
        except Exception as exc:
            raise self.failureException(
                f'{what} raised {base.describe(exc)}, which is no '
                'CellplugError'
            ) from exc
        self.fail(f'{what}: answered {answer!r} without its source')
        raise AssertionError

    @base.area('failure')
    def test_without_its_source_it_says_so(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            for what, call in self._calls():
                self._honest(what, call)

    @base.area('failure')
    def test_what_it_knows_is_right_without_its_source_too(self) -> None:
        cell = self.put_cell()
        self.subject.get_cell(cell.uuid)
        self.subject.list_cells()
        with self.broken():
            for call, right in (
                (lambda: self.subject.get_cell(cell.uuid), cell),
                (self.subject.list_cells, [cell]),
            ):
                try:
                    self.assertEqual(right, doing.bounded(call))
                except resolver_base.NOT_FOUND as exc:
                    self.fail(f'"unknown" is presented as "none": {exc}')
                except exception.CellplugError:
                    pass

    @base.area('failure')
    def test_a_source_that_is_back_is_used_again(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            for what, call in self._calls():
                self._honest(what, call)
        cell = self.put_cell()
        found = doing.eventually(
            lambda: self.subject.get_cell(cell.uuid), BACK_IN
        )
        self.assertEqual(cell, found)
        self.exercise(self.subject)

    @base.area('failure')
    def test_forgetting_raises_nothing_without_the_source(self) -> None:
        self.exercise(self.subject)
        uuid = identifiers.new_uuid()
        with self.broken():
            doing.bounded(self.subject.forget_cell, uuid)
            doing.bounded(self.subject.forget_instance, uuid)
            doing.bounded(self.subject.forget_instance, uuid, 17)

    @base.area('failure')
    def test_it_can_be_built_without_its_source(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            host = self.make_host()
            driver = doing.bounded(host.build, self.interface, self.driver)
        doing.eventually(lambda: self.exercise(driver), BACK_IN)

    @base.area('failure')
    def test_it_can_be_closed_without_its_source(self) -> None:
        self.exercise(self.subject)
        with self.broken():
            doing.bounded(self.subject.close)

    # -- secrets -----------------------------------------------------------

    @base.area('secrets')
    def test_errors_show_no_secret(self) -> None:
        self.exercise(self.subject)
        errors = [
            self.refused(
                exception.CellMappingNotFound, self.subject.get_cell, 'nobody'
            )
        ]
        with self.broken():
            errors += [self._honest(*pair) for pair in self._calls()]
        for error in errors:
            text = ''.join(traceback.format_exception(error))
            self.hide_check('an error', text)
        self.hide_check('the log', self.log.text())
