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
            f'[bold red]{len(outcome.problems)} problems[/] in '
            f'{outcome.mappings} mappings, {sum(outcome.rows.values())} '
            f'rows of {len(outcome.rows)} cells and '
            f'{len(outcome.books or ())} usages.'
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
