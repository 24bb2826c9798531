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

from cellplug import exception
from cellplug import loader
from cellplug.testing.conformance import base
from cellplug.testing.conformance import finding
from cellplug.testing.conformance import harnesses
from cellplug.testing.conformance import placement
from cellplug.testing.conformance import quota
from cellplug.testing.conformance import resolver
from cellplug.testing.conformance import transport_cache

SUITES: Mapping[str, type[base.Suite]] = types.MappingProxyType(
    {
        'resolver': resolver.ResolverSuite,
        'transport_cache': transport_cache.TransportCacheSuite,
        'quota': quota.QuotaSuite,
        'placement': placement.PlacementSuite,
    }
)
"""The suite of each interface."""

BUILT = 'the_driver_can_be_built'
"""The only check of a driver that cannot."""

_BARE = frozenset({'False is not true', 'True is not false'})
"""What unittest says of a condition, which tells nobody anything."""


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

    :ivar interface: ``resolver``, ``transport_cache``, ``quota`` or
        ``placement``.
    :ivar driver: the driver's name.
    :ivar checks: in the order of the areas, then of names.
    :ivar built: False if the driver or its source could not be set up. Then
        no check would have ended otherwise: there is one, which says why.
    """

    interface: str
    driver: str
    checks: tuple[Check, ...]
    built: bool = True

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
    starting: Callable[[str], None] | None = None,
) -> Report:
    """Run the interface's suite against an installed driver.

    The driver is built once before: one that cannot be has a report of that
    alone.

    The truth that the suite changes is the harness's: by default a scratch
    database, never the one that ``conf`` names.

    :param interface: ``resolver``, ``transport_cache``, ``quota`` or
        ``placement``.
    :param name: the driver's name.
    :param options: values for its own group; they win over all others.
    :param harness: makes the harness; by default that of
        :func:`.finding.find_harness`.
    :param conf: a parsed configuration to take the driver's own options from.
    :param progress: called with each check as it ends.
    :param starting: called with the name of each check as it begins.
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
        '_formatMessage': _said,
        BUILT: base.area('life')(lambda self: None),
    }
    bound: type[unittest.TestCase] = type(
        'Conformance', (SUITES[interface], unittest.TestCase), binding
    )
    failure = _build(bound, starting)
    if failure is not None:
        if progress is not None:
            progress(failure)
        return Report(interface, name, (failure,), built=False)
    result = _Result(progress, starting)
    unittest.defaultTestLoader.loadTestsFromTestCase(bound).run(result)
    order = sorted(
        result.checks, key=lambda c: (base.AREAS.index(c.area), c.name)
    )
    return Report(interface, name, tuple(order))


def _build(
    bound: type[unittest.TestCase], starting: Callable[[str], None] | None
) -> Check | None:
    """Build the driver as each check does; the failure, if it cannot be."""
    case = bound(BUILT)
    result = _Result(None, starting)
    case.run(result)
    (check,) = result.checks
    # What fails later than that is for the checks to tell apart.
    if hasattr(case, 'subject') or check.outcome is not Outcome.FAILED:
        return None
    return check


def _said(case: object, msg: object, standard: str) -> str:
    """What a failed assertion says: what it is about, then the values.

    Of what unittest says, a diff would not be read in one line.
    """
    first = standard.strip().partition('\n')[0]
    fact = first.partition(' differ: ')[2] or first
    if ' != ' not in first:
        fact = standard.strip()
    if msg is None:
        return fact
    return str(msg) if fact in _BARE else f'{msg}: {fact}'


class _Result(unittest.TestResult):
    """Notes each test's end as a check."""

    def __init__(
        self,
        progress: Callable[[Check], None] | None,
        starting: Callable[[str], None] | None,
    ) -> None:
        super().__init__()
        self.checks: list[Check] = []
        self._progress = progress
        self._starting = starting
        self._found: dict[str, tuple[Outcome, str]] = {}

    def startTest(self, test: Any) -> None:  # noqa: N802
        super().startTest(test)
        if self._starting is not None:
            self._starting(_name(test))

    def _note(self, test: Any, outcome: Outcome, detail: str) -> None:
        # The first failure tells more than what followed from it.
        known = self._found.get(test.id(), (Outcome.PASSED, ''))
        if known[0] is not Outcome.FAILED:
            self._found[test.id()] = outcome, ' '.join(detail.split())

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        kind = err[0].__name__
        # These say by themselves what they are.
        known = issubclass(err[0], exception.DriverError)
        said = str(err[1]) if known else f'{kind}: {err[1]}'
        self._note(test, Outcome.FAILED, said)

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
            _name(test),
            base.area_of(test, method),
            outcome,
            detail,
            applies=not detail.startswith(base.DOES_NOT_APPLY),
        )
        self.checks.append(check)
        if self._progress is not None:
            self._progress(check)


def _name(test: Any) -> str:
    method: str = test.id().rpartition('.')[2]
    return method.removeprefix('test_')
