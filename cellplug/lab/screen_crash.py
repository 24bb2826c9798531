"""What people see of a run in which processes were killed."""

from __future__ import annotations

from collections.abc import Iterator

import rich.console
import rich.table
import rich.text

from cellplug.lab import books
from cellplug.lab import crash as lab_crash
from cellplug.lab import drawing
from cellplug.lab import people
from cellplug.lab import quotas
from cellplug.lab import report as lab_report
from cellplug.lab import screen_quotas


def tables(
    console: rich.console.Console,
    report: lab_report.Report,
    crash: lab_crash.Crash,
) -> Iterator[rich.console.RenderableType]:
    """Who was killed, what became of requests, and the books."""
    yield _kills(console, crash)
    yield '\n'.join(_summary(crash))
    if crash.before.books is not None and report.check.books is not None:
        yield _books(console, crash.before.books, report.check.books)


def _kills(
    console: rich.console.Console, crash: lab_crash.Crash
) -> rich.table.Table:
    table = drawing.Table(console, 'Killed with -9')
    table.columns_of('Process')
    table.columns_of('After', justify='right')
    table.columns_of('While at')
    for one in crash.kills:
        table.add_row(one.process, f'{one.seconds:.2f} s', one.doing)
    return table


def _summary(crash: lab_crash.Crash) -> Iterator[str]:
    ended = ', '.join(
        f'{count} {outcome}'
        for outcome, count in sorted(crash.requests.items())
    )
    yield f'[bold]Chosen by:[/] --seed {crash.seed}'
    yield f'[bold]Requests that ended:[/] {ended}'
    if crash.samples:
        yield (
            f'[bold]Meanwhile[/] the books were read {crash.samples} times: '
            + (
                'beyond a limit'
                if crash.problems
                else 'never beyond a limit, never below zero'
            )
        )
    found = list(screen_quotas.counts(crash.settled)) or ['nothing']
    yield f'[bold]Left behind:[/] {", ".join(found)}'


def _books(
    console: rich.console.Console,
    before: list[books.Entry],
    after: list[books.Entry],
) -> rich.table.Table:
    """Each usage beside what is there, before and after it was settled."""
    table = drawing.Table(
        console, 'The books, before and after expiry and refresh'
    )
    table.columns_of('\nUser', '\nResource')
    for when in ('Before', 'After'):
        table.columns_of(
            f'{when}\nin use', '\nreserved', '\nin cells', justify='right'
        )
    then = {(one.user, one.resource): one for one in _ours(before)}
    for one in _ours(after):
        former = then.get((one.user, one.resource))
        is_first = one.resource == quotas.RESOURCES[0]
        table.add_row(
            screen_quotas.named(one.user) if is_first else '',
            one.resource,
            *_figures(former),
            *_figures(one),
        )
    return table


def _ours(entries: list[books.Entry]) -> list[books.Entry]:
    return [one for one in entries if one.project == people.PROJECT]


def _figures(entry: books.Entry | None) -> list[rich.text.Text]:
    if entry is None:
        return [rich.text.Text('-')] * 3
    right = 'green' if entry.is_balanced else ''
    return [
        _figure(entry.in_use, right or _red(entry.in_use != entry.counted)),
        _figure(entry.reserved, right or _red(entry.reserved != 0)),
        _figure(entry.counted, right),
    ]


def _figure(value: int, style: str) -> rich.text.Text:
    return rich.text.Text(str(value), style=style)


def _red(is_wrong: bool) -> str:
    return 'red' if is_wrong else ''
