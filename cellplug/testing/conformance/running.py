"""Running a suite from a program, and what came of it."""

from __future__ import annotations

import dataclasses
import enum
import types
import unittest
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

from cellplug import loader
from cellplug.testing.conformance import base
from cellplug.testing.conformance import finding
from cellplug.testing.conformance import harnesses
from cellplug.testing.conformance import quota
from cellplug.testing.conformance import resolver
from cellplug.testing.conformance import transport_cache

SUITES: Mapping[str, type[base.Suite]] = types.MappingProxyType(
    {
        'resolver': resolver.ResolverSuite,
        'transport_cache': transport_cache.TransportCacheSuite,
        'quota': quota.QuotaSuite,
    }
)
"""The suite of each interface."""


class Outcome(enum.StrEnum):
    """What came of one check."""

    PASSED = 'passed'
    FAILED = 'failed'
    NOT_RUN = 'not_run'


class Grade(enum.StrEnum):
    """What came of all checks."""

    COMPLETE = 'complete'
    """Every check that applies to the driver was run and passed."""

    PARTIAL = 'partial'
    """Nothing failed, but the harness could not bring about everything."""

    FAILED = 'failed'
    """At least one check failed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One check and its outcome.

    :ivar name: the suite's method, without ``test_``.
    :ivar area: one of :data:`.base.AREAS`.
    :ivar detail: one line: why it failed or was not run; empty if it passed.
    :ivar applies: False where the driver does not promise what is checked;
        such a check is not run, and does not lower the grade.
    """

    name: str
    area: str
    outcome: Outcome
    detail: str = ''
    applies: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a suite found.

    :ivar interface: ``resolver``, ``transport_cache`` or ``quota``.
    :ivar driver: the driver's name.
    :ivar checks: in the order of the areas, then of names.
    """

    interface: str
    driver: str
    checks: tuple[Check, ...]

    def count(self, outcome: Outcome, area: str | None = None) -> int:
        """How many checks (of an area) came out so."""
        return sum(
            1
            for one in self.checks
            if one.outcome is outcome and area in (None, one.area)
        )

    @property
    def grade(self) -> Grade:
        """The overall result."""
        if self.count(Outcome.FAILED) or not self.checks:
            return Grade.FAILED
        if any(
            one.outcome is Outcome.NOT_RUN and one.applies
            for one in self.checks
        ):
            return Grade.PARTIAL
        return Grade.COMPLETE

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, else 1."""
        return int(self.grade is Grade.FAILED)

    def as_dict(self) -> dict[str, Any]:
        """The whole report, of what JSON knows."""
        return {
            'interface': self.interface,
            'driver': self.driver,
            'grade': str(self.grade),
            'checks': [
                {**dataclasses.asdict(one), 'outcome': str(one.outcome)}
                for one in self.checks
            ],
        }


def run(
    interface: str,
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    harness: Callable[[], harnesses.Harness] | None = None,
    conf: cfg.ConfigOpts | None = None,
    progress: Callable[[Check], None] | None = None,
) -> Report:
    """Run the interface's suite against an installed driver.

    The truth that the suite changes is the harness's: by default a scratch
    database, never the one that ``conf`` names.

    :param interface: ``resolver``, ``transport_cache`` or ``quota``.
    :param name: the driver's name.
    :param options: values for its own group; they win over all others.
    :param harness: makes the harness; by default that of
        :func:`.finding.find_harness`.
    :param conf: a parsed configuration to take the driver's own options from.
    :param progress: called with each check as it ends.
    :raises DriverError: if the driver or its harness cannot be loaded.
    """
    loader.load_class(interface, name)
    binding = {
        'driver': name,
        'options': dict(options or {}),
        'harness': staticmethod(
            harness or finding.find_harness(interface, name)
        ),
        'conf': conf,
    }
    bound: type[unittest.TestCase] = type(
        'Conformance', (SUITES[interface], unittest.TestCase), binding
    )
    result = _Result(progress)
    unittest.defaultTestLoader.loadTestsFromTestCase(bound).run(result)
    order = sorted(
        result.checks, key=lambda c: (base.AREAS.index(c.area), c.name)
    )
    return Report(interface, name, tuple(order))


class _Result(unittest.TestResult):
    """Notes each test's end as a check."""

    def __init__(self, progress: Callable[[Check], None] | None) -> None:
        super().__init__()
        self.checks: list[Check] = []
        self._progress = progress
        self._found: dict[str, tuple[Outcome, str]] = {}

    def _note(self, test: Any, outcome: Outcome, detail: str) -> None:
        # The first failure tells more than what followed from it.
        known = self._found.get(test.id(), (Outcome.PASSED, ''))
        if known[0] is not Outcome.FAILED:
            self._found[test.id()] = outcome, ' '.join(detail.split())

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._note(test, Outcome.FAILED, f'{err[0].__name__}: {err[1]}')

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._note(test, Outcome.FAILED, str(err[1]))

    def addSubTest(  # noqa: N802
        self, test: Any, subtest: Any, err: Any
    ) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, Outcome.FAILED, str(err[1]))

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._note(test, Outcome.NOT_RUN, reason)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        super().stopTest(test)
        method = test.id().rpartition('.')[2]
        outcome, detail = self._found.get(test.id(), (Outcome.PASSED, ''))
        check = Check(
            method.removeprefix('test_'),
            base.area_of(test, method),
            outcome,
            detail,
            applies=not detail.startswith(base.DOES_NOT_APPLY),
        )
        self.checks.append(check)
        if self._progress is not None:
            self._progress(check)
