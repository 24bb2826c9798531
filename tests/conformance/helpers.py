"""Drivers with one defect each, and the check that has to find it."""

from __future__ import annotations

import contextlib
import unittest
from collections.abc import Iterator
from typing import Any
from unittest import mock

from cellplug.testing import conformance
from cellplug.testing.conformance import doing
from tests.conformance import memory_quota
from tests.conformance import memory_resolver


class QuotaHarness(conformance.Harness):
    """Books that all drivers of a check share."""

    shared = False

    def __init__(self) -> None:
        self.books = memory_quota.Books()

    def attach(self, driver: Any) -> None:
        driver.books = self.books

    def break_source(self) -> None:
        self.books.reachable = False

    def mend_source(self) -> None:
        self.books.reachable = True


class ResolverHarness(conformance.ResolverHarness):
    """Records that all drivers of a check share."""

    shared = False

    def __init__(self) -> None:
        self.records = memory_resolver.Records()

    def attach(self, driver: Any) -> None:
        driver.records = self.records

    def put_cell(self, cell: Any) -> Any:
        self.records.cells[cell.uuid] = cell
        return cell

    def remove_cell(self, cell_uuid: str) -> None:
        del self.records.cells[cell_uuid]

    def put_instance(self, instance: Any) -> Any:
        self.records.instances[instance.instance_uuid] = instance
        return instance

    def remove_instance(self, instance_uuid: str) -> None:
        del self.records.instances[instance_uuid]

    def break_source(self) -> None:
        self.records.reachable = False

    def mend_source(self) -> None:
        self.records.reachable = True

    @contextlib.contextmanager
    def hold_source(self) -> Iterator[conformance.Hold]:
        hold = conformance.Hold()
        self.records.answered = hold.stop_here
        try:
            yield hold
        finally:
            hold.release()
            self.records.answered = memory_resolver.nothing


class BrokenTestCase(unittest.TestCase):
    """Runs one check of a suite against a driver."""

    suite: type[Any]
    correct: type[Any]
    harness: Any = conformance.Harness

    def outcome(self, driver: type[Any], check: str) -> unittest.TestResult:
        bound: Any = type(
            'Bound',
            (self.suite, unittest.TestCase),
            {'driver': driver, 'harness': self.harness},
        )
        result = unittest.TestResult()
        bound(f'test_{check}').run(result)
        return result

    def assert_caught(self, driver: type[Any], check: str) -> None:
        """The check passes for the correct driver, and not for this one."""
        self.assert_passes(check)
        self.assert_fails(driver, check)

    def assert_passes(self, check: str) -> None:
        right = self.outcome(self.correct, check)
        self.assertTrue(right.wasSuccessful(), right.failures + right.errors)
        self.assertEqual([], right.skipped, 'the check was not run')

    def assert_fails(self, driver: type[Any], check: str) -> None:
        wrong = self.outcome(driver, check)
        self.assertEqual([], wrong.skipped, 'the check was not run')
        self.assertFalse(wrong.wasSuccessful(), f'{check} sees nothing')


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Wait half a second for what will never be."""
    patient = doing.eventually

    def eventually(condition: Any, seconds: float) -> Any:
        return patient(condition, 0.5)

    with mock.patch.object(doing, 'eventually', eventually):
        yield
