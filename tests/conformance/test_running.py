"""Running a suite from a program."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import socket
from collections.abc import Iterator
from typing import Any
from unittest import mock

import testtools
from oslo_config import cfg

from cellplug import exception
from cellplug import loader
from cellplug.loader import checking
from cellplug.testing import conformance
from cellplug.testing.conformance import doing
from tests.conformance import helpers
from tests.conformance import memory_quota
from tests.conformance import memory_transport_cache

Outcome = conformance.Outcome


class Leaky(memory_transport_cache.MemoryCache):
    """Closes nothing."""

    def drop(self, shelf: Any, url: str) -> None:
        shelf.entries.pop(url, None)


@contextlib.contextmanager
def standing_in(found: type[Any]) -> Iterator[None]:
    """A block in which every driver's name leads to this class."""
    with contextlib.ExitStack() as stack:
        for module in (loader, checking):
            stack.enter_context(
                mock.patch.object(module, 'load_class', lambda *_: found)
            )
        yield


class Unbuilt(memory_transport_cache.MemoryCache):
    """Cannot be built."""

    def __init__(self, options: Any, host: Any) -> None:
        raise ValueError('no rocket')


class Wordy(memory_transport_cache.MemoryCache):
    """Declares badly an option that holds a secret, and opens a socket."""

    def __init__(self, options: Any, host: Any) -> None:
        super().__init__(options, host)
        with contextlib.suppress(OSError):
            socket.create_connection(('127.0.0.1', 1), 1)

    @classmethod
    def options(cls) -> list[cfg.Opt]:
        return [cfg.StrOpt('password', default='x', help='What it is for.')]


class TestRun(testtools.TestCase):
    def test_a_driver_without_a_fault_is_complete(self) -> None:
        seen: list[conformance.Check] = []
        report = conformance.run(
            'transport_cache', 'none', progress=seen.append
        )
        self.assertEqual(conformance.Grade.COMPLETE, report.grade)
        self.assertEqual(0, report.exit_code)
        self.assertEqual(
            sorted(map(repr, report.checks)), sorted(map(repr, seen))
        )
        self.assertEqual(
            set(), {one.area for one in seen} - set(conformance.AREAS)
        )
        other = next(c for c in seen if c.name.startswith('keeps_declared'))
        self.assertIs(Outcome.NOT_RUN, other.outcome)
        self.assertFalse(other.applies)
        self.assertIn('does not declare KEEPS', other.detail)

    def test_a_fault_is_named_in_one_line(self) -> None:
        with standing_in(Leaky):
            report = conformance.run('transport_cache', 'mine')
        self.assertEqual(conformance.Grade.FAILED, report.grade)
        self.assertEqual(1, report.exit_code)
        failed = {
            one.name: one
            for one in report.checks
            if one.outcome is Outcome.FAILED
        }
        check = failed['close_closes_each_once']
        self.assertEqual('life', check.area)
        self.assertIn('times that it was closed', check.detail)
        self.assertNotIn('\n', check.detail)
        self.assertEqual(
            report.count(Outcome.FAILED),
            len(failed),
        )
        self.assertEqual(
            report.as_dict(), json.loads(json.dumps(report.as_dict()))
        )

    def test_what_the_harness_cannot_do_makes_it_partial(self) -> None:
        class Harness(conformance.DatabaseHarness):
            def break_source(self) -> None:
                raise exception.NotSupported('cannot be broken here')

        report = conformance.run('resolver', 'database', harness=Harness)
        self.assertEqual(conformance.Grade.PARTIAL, report.grade)
        self.assertEqual(0, report.exit_code)
        details = {
            one.detail
            for one in report.checks
            if one.outcome is Outcome.NOT_RUN and one.applies
        }
        self.assertEqual({'cannot be broken here'}, details)

    def test_so_does_what_the_harness_does_not_say(self) -> None:
        """Whether processes share the source, where a check has to know."""

        class Silent(helpers.QuotaHarness):
            shared = None

        found = {}
        with standing_in(memory_quota.MemoryQuota):
            for harness in (helpers.QuotaHarness, Silent):
                report = conformance.run('quota', 'mine', harness=harness)
                found[harness] = (
                    report.grade,
                    {one for one in report.checks if 'processes' in one.name},
                )
        grade, checks = found[helpers.QuotaHarness]
        self.assertEqual(conformance.Grade.COMPLETE, grade)
        self.assertEqual(3, len(checks))
        self.assertEqual({False}, {one.applies for one in checks})
        grade, checks = found[Silent]
        self.assertEqual(conformance.Grade.PARTIAL, grade)
        self.assertEqual({Outcome.NOT_RUN}, {one.outcome for one in checks})
        self.assertEqual({True}, {one.applies for one in checks})
        for one in checks:
            self.assertIn('set its "shared"', one.detail)

    def test_a_driver_that_cannot_be_built_is_told_once(self) -> None:
        ended: list[conformance.Check] = []
        begun: list[str] = []
        with standing_in(Unbuilt):
            report = conformance.run(
                'transport_cache',
                'mine',
                progress=ended.append,
                starting=begun.append,
            )
        self.assertIs(False, report.built)
        self.assertEqual(1, report.exit_code)
        (check,) = report.checks
        self.assertEqual([check], ended)
        self.assertEqual([check.name], begun)
        self.assertEqual('the_driver_can_be_built', check.name)
        self.assertEqual(
            "transport_cache driver 'mine': it cannot be built: "
            'ValueError: no rocket',
            check.detail,
        )

    def test_so_is_a_source_that_does_not_start(self) -> None:
        class Harness(conformance.Harness):
            def start(self) -> None:
                raise OSError('no server here')

        report = conformance.run('transport_cache', 'none', harness=Harness)
        self.assertIs(False, report.built)
        self.assertEqual(
            ['OSError: no server here'], [one.detail for one in report.checks]
        )

    def test_checks_are_named_as_they_begin(self) -> None:
        events: list[tuple[str, str]] = []
        report = conformance.run(
            'transport_cache',
            'none',
            progress=lambda check: events.append(('ended', check.name)),
            starting=lambda name: events.append(('begun', name)),
        )
        self.assertIs(True, report.built)
        self.assertEqual(('begun', 'the_driver_can_be_built'), events.pop(0))
        for begun, ended in zip(events[::2], events[1::2], strict=True):
            self.assertEqual(('begun', begun[1]), begun)
            self.assertEqual(('ended', begun[1]), ended)
        self.assertEqual(len(report.checks), len(events) // 2)

    def test_a_reason_is_free_of_what_unittest_says_around_it(self) -> None:
        with standing_in(Wordy):
            report = conformance.run('transport_cache', 'mine')
        details = {one.name: one.detail for one in report.checks}
        self.assertEqual(
            'password lacks secret=True',
            details['options_with_secrets_say_so'],
        )
        self.assertRegex(
            details['the_constructor_connects_to_nothing'],
            r"\Aconnected to: \[\] != \[[^\[\]]*'?127.0.0.1[^\[\]]*\]\Z",
        )

    def test_a_driver_that_is_not_there_is_no_report(self) -> None:
        self.assertRaises(
            exception.UnknownDriver, conformance.run, 'resolver', 'nobody'
        )


class TestFindHarness(testtools.TestCase):
    def test_by_the_drivers_name_or_the_interfaces_default(self) -> None:
        self.assertIs(
            conformance.DatabaseHarness,
            conformance.find_harness('resolver', 'nobody'),
        )
        self.assertIs(
            conformance.Harness,
            conformance.find_harness('transport_cache', 'nobody'),
        )
        found = conformance.find_harness('resolver', 'static')
        self.assertEqual('StaticHarness', found.__name__)

    def test_one_that_cannot_be_imported_is_one_line(self) -> None:
        point = importlib.metadata.EntryPoint(
            'resolver_mine', 'nobody.here:Harness', 'cellplug.conformance'
        )
        with mock.patch.object(
            importlib.metadata, 'entry_points', lambda **_: (point,)
        ):
            error = self.assertRaises(
                exception.DriverLoadError,
                conformance.find_harness,
                'resolver',
                'mine',
            )
        self.assertIn('nobody.here:Harness', str(error))
        self.assertNotIn('\n', str(error))


class TestHold(testtools.TestCase):
    def test_the_first_waits_and_the_others_pass(self) -> None:
        harness = helpers.ResolverHarness()
        with harness.hold_source() as hold:
            late = doing.Background(hold.stop_here)
            self.assertTrue(hold.wait_reached())
            hold.stop_here()
            self.assertFalse(late.done(0))
            hold.release()
            late.result()
