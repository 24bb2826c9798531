"""What people see in the end: where everything went."""

from __future__ import annotations

import pathlib
import shlex
import shutil
import sys
from collections.abc import Iterator
from typing import TextIO

import rich.console
import rich.table
import rich.text

from cellplug.lab import check as lab_check
from cellplug.lab import drawing
from cellplug.lab import people
from cellplug.lab import report as lab_report
from cellplug.lab import screen_break
from cellplug.lab import screen_check
from cellplug.lab import screen_crash
from cellplug.lab import screen_quotas
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
    'boot': 'reserve, place, call, commit',
    'refused': 'reserve: over quota',
    'show': 'target by uuid, read the cell',
    'reboot': 'target by uuid, call the worker',
    'delete': 'reserve, call, commit, unmap',
    'list': 'read all cells at once',
}


def show(report: lab_report.Report, stream: TextIO) -> None:
    """Print a report, in colour if the stream is a terminal."""
    _Screen(drawing.console(stream), report).show()


def show_check(outcome: lab_check.Outcome, stream: TextIO) -> None:
    """Print the outcome of a check."""
    screen_check.show(drawing.console(stream), outcome)


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
        self._unicode = drawing.is_unicode(console)
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
        for line in screen_quotas.left(report.left):
            self._console.print(line, style='dim')
        self._console.print()
        for table in self._tables():
            self._console.print(table)
            self._console.print()
        screen_check.show(self._console, report.check)
        self._console.print(
            f'[dim]{report.sent} requests; {report.seconds:.1f} s, start and '
            'end included.[/]'
        )
        self._what_next()

    def _tables(self) -> Iterator[rich.console.RenderableType]:
        report, console = self._report, self._console
        if report.story:
            yield from screen_break.tables(console, report.story)
            yield self._cells()
            yield from screen_quotas.tables(console, report)
            return
        if report.crash:
            yield self._cells()
            yield from screen_crash.tables(console, report, report.crash)
            return
        if len(report.placed) <= MOST_ROWS:
            yield self._instances()
        yield self._cells()
        yield from screen_quotas.tables(console, report)
        yield self._requests()

    def _instances(self) -> rich.table.Table:
        """One row for each instance, its cell as a place in a lane."""
        report = self._report
        table = drawing.Table(self._console, 'Where each instance went')
        table.columns_of('Instance')
        table.columns_of('UUID')
        width = self._console.width
        lanes = 2 * len(report.cells)
        if len(report.cells) > _MOST_LANES or width < _WITHOUT_LANES + lanes:
            lanes = 0
        requests = width >= _WITH_REQUESTS + lanes
        if lanes:
            numbers = map(str, range(len(report.cells)))
            table.columns_of(' '.join(numbers))
        table.columns_of('Cell')
        table.columns_of('State')
        if requests:
            table.columns_of('Requests')
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
        table = drawing.Table(self._console, 'The cells')
        table.columns_of('Cell', 'UUID')
        # Where something breaks, nobody knows all that was booted.
        known = not (report.crash or report.story)
        booted = report.booted() if known else None
        if booted is not None:
            table.columns_of('Booted', justify='right')
        table.columns_of('Holds', justify='right')
        if self._with_urls:
            table.columns_of('Database')
        for cell in report.cells:
            row = [
                rich.text.Text(cell.name, style=self._styles[cell.uuid]),
                rich.text.Text(cell.uuid),
            ]
            if booted is not None:
                row.append(rich.text.Text(str(booted[cell.uuid])))
            holds = report.check.rows.get(cell.name, '?')
            row.append(rich.text.Text(str(holds)))
            if self._with_urls:
                url = urls.mask(cell.database_connection).partition('?')[0]
                row.append(rich.text.Text(url, style='dim'))
            table.add_row(*row)
        return table

    def _requests(self) -> rich.table.Table:
        """One row for each kind of request: how often, how long."""
        table = drawing.Table(self._console, 'The requests (milliseconds)')
        table.columns_of('Request')
        table.columns_of('Count', 'Median', '95 %', 'Longest', justify='right')
        if self._console.width >= _WITH_WAYS:
            table.columns_of('Way', style='dim')
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
            *(
                f'{manage} instance show {one.uuid}'
                for one in report.placed[:1]
            ),
            *(
                f'{manage} quota show --project {people.PROJECT}'
                for _ in report.quotas[:1]
            ),
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
