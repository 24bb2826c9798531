"""What people see: progress while it runs, then where everything went."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from typing import TextIO

import rich.box
import rich.console
import rich.progress
import rich.table
import rich.text

from cellplug.lab import check as lab_check
from cellplug.lab import report as lab_report
from cellplug.lab import traffic as lab_traffic
from cellplug.objects import urls

MOST_ROWS = 40
"""Above so many instances there is a summary for each cell alone."""

_MOST_LANES = 10
_COLOURS = ('cyan', 'magenta', 'yellow', 'blue', 'green', 'bright_red')
_WITH_REQUESTS = 100
_WITH_URLS = 90


@contextlib.contextmanager
def progress(stream: TextIO) -> Iterator[lab_traffic.Progress]:
    """A line that is gone afterwards, if the stream is a terminal."""
    console = rich.console.Console(file=stream)
    bar = rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn('{task.description}'),
        rich.progress.BarColumn(bar_width=30),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # The lab prints when it is done, and never meanwhile.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        yield _Progress(bar)


class _Progress:
    def __init__(self, bar: rich.progress.Progress) -> None:
        self._bar = bar
        self._task: rich.progress.TaskID | None = None

    def phase(self, title: str, total: int | None = None) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total)

    def step(self) -> None:
        if self._task is not None:
            self._bar.advance(self._task)


def show(report: lab_report.Report, stream: TextIO) -> None:
    """Print a report, in colour if the stream is a terminal."""
    _Screen(_console(stream), report).show()


def show_check(outcome: lab_check.Outcome, stream: TextIO) -> None:
    """Print the outcome of a check."""
    _check(_console(stream), outcome)


def _console(stream: TextIO) -> rich.console.Console:
    return rich.console.Console(file=stream, highlight=False)


class _Screen:
    def __init__(
        self, console: rich.console.Console, report: lab_report.Report
    ) -> None:
        self._console = console
        self._report = report
        self._styles = {
            cell.uuid: _COLOURS[(number - 1) % len(_COLOURS)]
            for number, cell in enumerate(report.cells)
        }
        self._styles[report.cells[0].uuid] = 'red'

    def show(self) -> None:
        report = self._report
        self._console.print(
            f'[bold]cellplug lab[/] - {len(report.cells) - 1} cells on '
            f'{report.kind}'
        )
        self._console.print()
        if len(report.placed) <= MOST_ROWS:
            self._console.print(self._instances())
        self._console.print(self._cells())
        self._console.print(self._requests())
        _check(self._console, report.check)
        self._console.print(
            f'[dim]{sum(one.count for one in report.latencies)} requests; '
            f'{report.seconds:.1f} s, start and end included.[/]'
        )
        self._what_next()

    def _table(self, title: str) -> rich.table.Table:
        return rich.table.Table(
            title=title,
            title_justify='left',
            title_style='bold',
            box=rich.box.SIMPLE_HEAD,
            pad_edge=False,
            header_style='dim',
        )

    def _instances(self) -> rich.table.Table:
        """One row for each instance, its cell as a place in a lane."""
        report = self._report
        table = self._table('Where each instance went')
        table.add_column('Instance', no_wrap=True)
        table.add_column('UUID', no_wrap=True, overflow='ellipsis')
        lanes = len(report.cells) <= _MOST_LANES
        if lanes:
            table.add_column(
                ' '.join(str(n) for n in range(len(report.cells))),
                no_wrap=True,
            )
        table.add_column('Cell', no_wrap=True)
        table.add_column('State', no_wrap=True)
        if self._console.width >= _WITH_REQUESTS:
            table.add_column('Requests', no_wrap=True, overflow='ellipsis')
        for one in report.placed:
            style = self._styles[one.cell_uuid]
            cells = [rich.text.Text(one.name), rich.text.Text(one.uuid)]
            if lanes:
                cells.append(self._lane(one.cell_uuid))
            cells.append(
                rich.text.Text(report.name_of(one.cell_uuid), style=style)
            )
            cells.append(rich.text.Text(one.state, style=_STATES[one.state]))
            if self._console.width >= _WITH_REQUESTS:
                cells.append(
                    rich.text.Text(' '.join(one.requests), style='dim')
                )
            table.add_row(*cells)
        return table

    def _lane(self, cell_uuid: str) -> rich.text.Text:
        """A dot under the cell's number."""
        full, empty = ('●', '·') if self._is_unicode() else ('#', '.')
        lane = rich.text.Text()
        for number, cell in enumerate(self._report.cells):
            if number:
                lane.append(' ')
            if cell.uuid == cell_uuid:
                lane.append(full, style=self._styles[cell_uuid])
            else:
                lane.append(empty, style='dim')
        return lane

    def _is_unicode(self) -> bool:
        return self._console.encoding.startswith('utf')

    def _cells(self) -> rich.table.Table:
        """One row for each cell, with what it got and what it holds."""
        report = self._report
        table = self._table('The cells')
        table.add_column('Cell', no_wrap=True)
        table.add_column('UUID', no_wrap=True, overflow='ellipsis')
        table.add_column('Booted', justify='right')
        table.add_column('Holds', justify='right')
        if self._console.width >= _WITH_URLS:
            table.add_column('Database', no_wrap=True, overflow='ellipsis')
        booted = report.booted()
        for cell in report.cells:
            row = [
                rich.text.Text(cell.name, style=self._styles[cell.uuid]),
                rich.text.Text(cell.uuid),
                rich.text.Text(str(booted[cell.uuid])),
                rich.text.Text(str(report.check.rows.get(cell.name, '?'))),
            ]
            if self._console.width >= _WITH_URLS:
                url = urls.mask(cell.database_connection)
                row.append(rich.text.Text(url, style='dim'))
            table.add_row(*row)
        return table

    def _requests(self) -> rich.table.Table:
        """One row for each kind of request: how often, how long."""
        table = self._table('The requests (milliseconds)')
        table.add_column('Request', no_wrap=True)
        for name in ('Count', 'Median', '95 %', 'Longest'):
            table.add_column(name, justify='right', no_wrap=True)
        table.add_column('Way', style='dim', no_wrap=True, overflow='ellipsis')
        for one in self._report.latencies:
            table.add_row(
                one.request,
                str(one.count),
                *(f'{t * 1000:.1f}' for t in (one.median, one.p95)),
                f'{one.longest * 1000:.1f}',
                _WAYS[one.request],
            )
        return table

    def _what_next(self) -> None:
        """Name the commands that show what was kept."""
        directory = self._report.directory
        if directory is None:
            return
        where = shlex.quote(directory)
        conf = shlex.quote(f'{directory}/cellplug.conf')
        manage = f'cellplug-manage --config-file {conf}'
        uuid = self._report.placed[0].uuid
        self._console.print()
        self._console.print(f'[bold]Kept in {where}; look at it with:[/]')
        for line in (
            f'{manage} cell list',
            f'{manage} instance show {uuid}',
            f'cellplug-manage lab check {where}',
            f'cellplug-manage lab run --directory {where}',
        ):
            self._console.print(f'  {line}', markup=False, soft_wrap=True)


_STATES = {'active': 'green', 'error': 'red', 'deleted': 'dim'}
_WAYS = {
    'boot': 'map, target, call the worker',
    'show': 'target by uuid, read the cell',
    'reboot': 'target by uuid, call the worker',
    'delete': 'target, call the worker, unmap',
    'list': 'read every cell, one by one',
}


def _check(console: rich.console.Console, outcome: lab_check.Outcome) -> None:
    """Say what was looked at, and what was found."""
    good, bad = ('✓', '✗') if console.encoding.startswith('utf') else '+-'
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
            f'{outcome.mappings} mappings and {sum(outcome.rows.values())} '
            f'rows of {len(outcome.rows)} cells.'
        )
        return
    rows = sum(outcome.rows.values())
    databases = len(outcome.rows)
    lines = [
        f'{outcome.mappings} mappings: each instance lies in its cell alone',
        f'{rows} rows in {databases} databases: none without a mapping',
        f'{outcome.deleted} deleted instances: no mapping, no row is left',
    ]
    for line in lines:
        console.print(f'[green]{good}[/] {line}')
