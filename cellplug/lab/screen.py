"""What people see in the end: where everything went."""

from __future__ import annotations

import pathlib
import shlex
import shutil
import sys
from typing import Any
from typing import TextIO

import rich.box
import rich.console
import rich.table
import rich.text

from cellplug.lab import check as lab_check
from cellplug.lab import report as lab_report
from cellplug.objects import urls

MOST_ROWS = 40
"""Above so many instances there is a summary for each cell alone."""

_MOST_LANES = 10
_COLOURS = ('cyan', 'magenta', 'yellow', 'blue', 'green', 'bright_red')
_WITH_WAYS = 78
_WITHOUT_LANES = 71
_WITH_REQUESTS = 96
_WITH_URLS = 90

_STATES = {'active': 'green', 'error': 'red', 'deleted': 'dim'}
_WAYS = {
    'boot': 'map, target, call the worker',
    'show': 'target by uuid, read the cell',
    'reboot': 'target by uuid, call the worker',
    'delete': 'target, call the worker, unmap',
    'list': 'read every cell, one by one',
}


def _is_unicode(console: rich.console.Console) -> bool:
    return console.encoding.startswith('utf')


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
        self._unicode = _is_unicode(console)
        self._overflow: rich.console.OverflowMethod = (
            'ellipsis' if self._unicode else 'crop'
        )
        # Those that are gone by now are of no interest.
        self._with_urls = console.width >= _WITH_URLS and bool(
            report.directory or report.own_servers
        )

    def show(self) -> None:
        report = self._report
        count = len(report.cells) - 1
        self._console.print(
            f'[bold]cellplug lab[/] - {count} '
            f'{"cell" if count == 1 else "cells"} on {report.kind}'
        )
        self._console.print(self._drivers(), style='dim')
        self._console.print()
        tables = [self._cells(), self._requests()]
        if len(report.placed) <= MOST_ROWS:
            tables.insert(0, self._instances())
        for table in tables:
            self._console.print(table)
            self._console.print()
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
            show_edge=False,
            pad_edge=False,
            header_style='dim',
        )

    def _column(
        self, table: rich.table.Table, name: str, **options: Any
    ) -> None:
        """A column that is cut where the screen ends."""
        table.add_column(
            name, no_wrap=True, overflow=self._overflow, **options
        )

    def _instances(self) -> rich.table.Table:
        """One row for each instance, its cell as a place in a lane."""
        report = self._report
        table = self._table('Where each instance went')
        self._column(table, 'Instance')
        self._column(table, 'UUID')
        width = self._console.width
        lanes = 2 * len(report.cells)
        if len(report.cells) > _MOST_LANES or width < _WITHOUT_LANES + lanes:
            lanes = 0
        requests = width >= _WITH_REQUESTS + lanes
        if lanes:
            numbers = map(str, range(len(report.cells)))
            self._column(table, ' '.join(numbers))
        self._column(table, 'Cell')
        self._column(table, 'State')
        if requests:
            self._column(table, 'Requests')
        for one in report.placed:
            style = self._styles[one.cell_uuid]
            cells = [rich.text.Text(one.name), rich.text.Text(one.uuid)]
            if lanes:
                cells.append(self._lane(one.cell_uuid))
            cells.append(
                rich.text.Text(report.name_of(one.cell_uuid), style=style)
            )
            cells.append(rich.text.Text(one.state, style=_STATES[one.state]))
            if requests:
                cells.append(
                    rich.text.Text(' '.join(one.requests), style='dim')
                )
            table.add_row(*cells)
        return table

    def _lane(self, cell_uuid: str) -> rich.text.Text:
        """A dot under the cell's number."""
        full, empty = ('●', '·') if self._unicode else ('#', '.')
        lane = rich.text.Text()
        for number, cell in enumerate(self._report.cells):
            if number:
                lane.append(' ')
            if cell.uuid == cell_uuid:
                lane.append(full, style=self._styles[cell_uuid])
            else:
                lane.append(empty, style='dim')
        return lane

    def _drivers(self) -> str:
        """The drivers in use: which one stands in front of which."""
        return '; '.join(
            f'{interface.replace("_", " ")}: {" in front of ".join(chain)}'
            for interface, chain in self._report.drivers.items()
        )

    def _cells(self) -> rich.table.Table:
        """One row for each cell, with what it got and what it holds."""
        report = self._report
        table = self._table('The cells')
        self._column(table, 'Cell')
        self._column(table, 'UUID')
        self._column(table, 'Booted', justify='right')
        self._column(table, 'Holds', justify='right')
        if self._with_urls:
            self._column(table, 'Database')
        booted = report.booted()
        for cell in report.cells:
            row = [
                rich.text.Text(cell.name, style=self._styles[cell.uuid]),
                rich.text.Text(cell.uuid),
                rich.text.Text(str(booted[cell.uuid])),
                rich.text.Text(str(report.check.rows.get(cell.name, '?'))),
            ]
            if self._with_urls:
                url = urls.mask(cell.database_connection).partition('?')[0]
                row.append(rich.text.Text(url, style='dim'))
            table.add_row(*row)
        return table

    def _requests(self) -> rich.table.Table:
        """One row for each kind of request: how often, how long."""
        table = self._table('The requests (milliseconds)')
        self._column(table, 'Request')
        for name in ('Count', 'Median', '95 %', 'Longest'):
            self._column(table, name, justify='right')
        if self._console.width >= _WITH_WAYS:
            self._column(table, 'Way', style='dim')
        for one in self._report.latencies:
            ways = [_WAYS[one.request]][: len(table.columns) - 5]
            table.add_row(
                one.request,
                str(one.count),
                *(f'{t * 1000:.1f}' for t in (one.median, one.p95)),
                f'{one.longest * 1000:.1f}',
                *ways,
            )
        return table

    def _what_next(self) -> None:
        """Name the commands that show what was kept."""
        report = self._report
        if report.own_servers:
            self._console.print(
                '[dim]Your databases keep what was made there; the same '
                'command continues it.[/]'
            )
        if report.directory is None:
            return
        where = shlex.quote(report.directory)
        conf = shlex.quote(f'{report.directory}/cellplug.conf')
        program = shlex.quote(_program())
        manage = f'{program} --config-file {conf}'
        lines = [
            f'{manage} cell list',
            f'{manage} instance show {report.placed[0].uuid}',
            f'{program} lab check {where}',
        ]
        if not report.own_servers:
            lines.append(f'{program} lab run --directory {where}')
        self._console.print()
        self._console.print(
            f'Kept in {where}; look at it with:', style='bold', markup=False
        )
        for line in lines:
            self._console.print(f'  {line}', markup=False, soft_wrap=True)


def _program() -> str:
    """The command as it can be typed here: with its path if need be."""
    name = 'cellplug-manage'
    ours = pathlib.Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if ours.exists() and (found is None or not ours.samefile(found)):
        return str(ours)
    return name


def _check(console: rich.console.Console, outcome: lab_check.Outcome) -> None:
    """Say what was looked at, and what was found."""
    good, bad = ('✓', '✗') if _is_unicode(console) else ('+', '-')
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
