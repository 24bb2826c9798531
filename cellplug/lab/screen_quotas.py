"""What people see of quotas: limits, usages, and what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

import rich.console
import rich.table
import rich.text

from cellplug.lab import drawing
from cellplug.lab import people
from cellplug.lab import quotas
from cellplug.lab import report as lab_report
from cellplug.lab import settling

UNLIMITED = 'no'
EVERYBODY = 'all'
"""Who a project's total is of."""


def tables(
    console: rich.console.Console, report: lab_report.Report
) -> Iterator[rich.table.Table]:
    """The quotas in the end, and what they refused; none without limits."""
    if report.quotas:
        yield _usages(console, report)
    if report.refused:
        yield _refused(console, report)


def _usages(
    console: rich.console.Console, report: lab_report.Report
) -> rich.table.Table:
    table = drawing.Table(console, f'The quotas of project {people.PROJECT}')
    table.columns_of('User', 'Resource')
    table.columns_of(
        'Limit', 'In use', 'Reserved', 'Free', 'In the cells', justify='right'
    )
    counted = report.counted()
    for row in report.quotas:
        is_first = row.resource == quotas.RESOURCES[0]
        there = counted.get((row.user, row.resource), '?')
        usage = row.usage
        table.add_row(
            named(row.user) if is_first else '',
            row.resource,
            limit(usage.limit),
            str(usage.in_use),
            str(usage.reserved),
            UNLIMITED if row.free is None else str(row.free),
            rich.text.Text(
                str(there), style='green' if there == usage.in_use else 'red'
            ),
        )
    return table


def _refused(
    console: rich.console.Console, report: lab_report.Report
) -> rich.table.Table:
    """What was beyond a limit, with how much could still have been had."""
    table = drawing.Table(console, 'Refused over quota')
    table.columns_of('User', 'Wanted', 'Over quota')
    table.columns_of('Limit', 'Used', 'Free', justify='right')
    for one in report.refused:
        wanted = [one.user, f'1 {one.flavor}']
        for over in one.overs:
            table.add_row(
                *wanted,
                over.resource,
                *(str(n) for n in (over.limit, over.used, over.free)),
            )
            wanted = ['', '']
    return table


def named(user: str) -> str:
    """Whose usage it is."""
    return user or EVERYBODY


def limit(value: int) -> str:
    """A limit, for people."""
    return UNLIMITED if value < 0 else str(value)


def left(settled: settling.Settled) -> Iterator[str]:
    """What a former run had left behind, if anything."""
    said = ', '.join(counts(settled))
    if said:
        yield f'A former run was cut short. Settled: {said}.'


def counts(settled: settling.Settled) -> Iterator[str]:
    """What was left behind, each kind that there was."""
    words: Mapping[str, int] = {
        'reservation expired': settled.expired,
        'half-made instance forgotten': len(settled.forgotten),
    }
    for word, count in words.items():
        if count:
            noun, _, verb = word.rpartition(' ')
            yield f'{count} {noun}{"" if count == 1 else "s"} {verb}'
