"""A conformance report as people read it: by area, with the reasons."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

_WIDTH = 78
_WORDS = {'passed': 'passed', 'failed': 'FAILED', 'not_run': 'not run'}
_GRADES = {
    'complete': 'every check that applies was run and passed',
    'partial': 'nothing failed, but not all that applies could be run',
    'failed': 'the driver does not keep its contract',
}


def text(report: Mapping[str, Any]) -> str:
    """The report, ending with its grade.

    :param report: what ``driver check -f json`` prints.
    """
    return '\n'.join([*_lines(report), ''])


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f'{report["interface"]} driver {report["driver"]} of '
        f'{report["origin"]}'
    )
    widest = max((len(one['name']) for one in report['checks']), default=0)
    for area, checks in itertools.groupby(
        report['checks'], key=lambda one: one['area']
    ):
        yield ''
        yield from _area(area, list(checks), widest)
    yield ''
    yield (
        f'{report["passed"]} passed, {report["failed"]} failed, '
        f'{report["not_run"]} not run'
    )
    grade = report['grade']
    yield f'grade: {grade} ({_GRADES[grade]})'


def _area(
    area: str, checks: list[Mapping[str, Any]], widest: int
) -> Iterator[str]:
    width = widest + 11
    run = [one for one in checks if one['outcome'] != 'not_run']
    passed = sum(one['outcome'] == 'passed' for one in run)
    tally = f'{passed} of {len(run)}' if run else 'none run'
    yield f'{area}{tally:>{max(0, width - len(area))}}'
    yield '-' * width
    for one in checks:
        name = one['name'].replace('_', ' ')
        yield f'  {name:<{widest}}  {_WORDS[one["outcome"]]}'
        yield from textwrap.wrap(
            one['detail'],
            _WIDTH,
            initial_indent='      ',
            subsequent_indent='      ',
        )
