"""What people see of the check."""

from __future__ import annotations

from collections.abc import Iterator

import rich.console
import rich.text

from cellplug.lab import check as lab_check
from cellplug.lab import drawing


def show(console: rich.console.Console, outcome: lab_check.Outcome) -> None:
    """Say what was looked at, and what was found."""
    good, bad = drawing.marks(console)
    console.print(
        '[bold]The check[/] [dim](each database opened by itself)[/]'
    )
    shown = outcome.problems[: lab_check.MOST_PROBLEMS]
    for problem in shown:
        console.print(rich.text.Text(f'{bad} {problem}', style='red'))
    more = len(outcome.problems) - len(shown)
    if more:
        console.print(f'[red]{bad} and {more} more[/]')
    if not outcome.holds:
        console.print(
            f'[bold red]{_many(len(outcome.problems), "problem")}[/] in '
            f'{_many(outcome.mappings, "mapping")}, '
            f'{_many(sum(outcome.rows.values()), "row")} of '
            f'{_many(len(outcome.rows), "cell")} and '
            f'{_many(len(outcome.books or ()), "usage")}.'
        )
        return
    for line in _looked_at(outcome):
        console.print(f'[green]{good}[/] {line}')
    if outcome.books is None:
        console.print(
            '[dim]Quotas were not checked: the quota driver keeps no usages '
            'in the API database.[/]'
        )


def _looked_at(outcome: lab_check.Outcome) -> Iterator[str]:
    rows = sum(outcome.rows.values())
    databases = len(outcome.rows)
    yield f'{outcome.mappings} mappings: each instance lies in its cell alone'
    yield f'{rows} rows in {databases} databases: none without a mapping'
    yield f'{outcome.deleted} deleted instances: no mapping, no row is left'
    if outcome.books is not None:
        yield (
            f'{len(outcome.books)} quota usages: each is what the cells hold, '
            'none is reserved'
        )


def _many(number: int, noun: str) -> str:
    """The number and the noun, in the plural unless it is one."""
    return f'{number} {noun}' + ('s' if number != 1 else '')
