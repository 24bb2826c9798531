"""What people see of the break room in the end."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

import rich.console
import rich.table
import rich.text

from cellplug.lab import breaking
from cellplug.lab import breakroom
from cellplug.lab import drawing
from cellplug.lab import ledger as lab_ledger
from cellplug.lab import screen_parts as parts
from cellplug.lab import screen_quotas
from cellplug.lab import users
from cellplug.lab import witness as lab_witness

_MOST_EVENTS = 40
_STRIP = 60
_LEAST_STRIP = 12
_STEP = 0.25
"""Seconds: the least that a letter of a strip stands for."""


def tables(
    console: rich.console.Console, story: breakroom.Story
) -> Iterator[rich.console.RenderableType]:
    """What each cell answered, when, and what happened."""
    yield _answers(console, story)
    yield '\n'.join(_failures(story))
    if story.stalled >= breaking.PATIENCE:
        yield (
            f'[yellow]This machine stood still for {story.stalled:.1f} s: '
            'what failed of cells that were whole may be its doing.[/]'
        )
    yield _course(console, story)
    yield _lists(console, story)
    yield _events(console, story.witness.events)
    found = list(screen_quotas.counts(story.settled)) or ['nothing']
    yield f'[bold]Left behind:[/] {", ".join(found)}'


def _answers(
    console: rich.console.Console, story: breakroom.Story
) -> rich.table.Table:
    table = drawing.Table(
        console, 'What the users of each cell got (95 % within, in ms)'
    )
    table.columns_of('\nCell')
    for part in parts.PARTS:
        table.columns_of(
            f'{part.capitalize()}\nanswers', '\nfailed', '\n95 %',
            justify='right',
        )  # fmt: skip
    for name in story.names:
        style = 'bold red' if name in story.broken else ''
        row = [rich.text.Text(name, style=style)]
        for part in parts.PARTS:
            row += parts.figures(
                story.ledger.tally(part, name, *users.PER_CELL)
            )
        table.add_row(*row)
    return table


def _failures(story: breakroom.Story) -> Iterator[str]:
    """How long those had to wait who asked what was broken."""
    for name, kind in story.broken.items():
        tallies = [
            story.ledger.tally(part, name, *users.PER_CELL)
            for part in parts.PARTS
        ]
        failed = sum(one.failed for one in tallies)
        refused = sum(one.refused for one in tallies)
        waited = max(one.waited for one in tallies)
        said = f'{name} ({kind}): {failed} requests failed'
        if failed:
            said += (
                f', {refused} of them refused without asking it; nobody '
                f'waited longer than {waited:.1f} s for that'
            )
        yield said


def _course(
    console: rich.console.Console, story: breakroom.Story
) -> rich.table.Table:
    """A strip for each cell, from the beginning to the end."""
    most = min(_STRIP, int(story.seconds / _STEP))
    width = max(_LEAST_STRIP, min(most, console.width - 20))
    table = drawing.Table(console, 'As time went by')
    table.columns_of('Cell')
    table.columns_of(_scale(story, width))
    for name in story.names:
        steps = story.ledger.strip(name, width, 0.0, story.seconds)
        table.add_row(rich.text.Text(name), parts.strip(console, steps))
    for cell, kind in story.broken.items():
        table.add_row(
            rich.text.Text(cell, style='bold red'),
            rich.text.Text(f'{kind}: {breaking.MEANINGS[kind]}', style='dim'),
        )
    good, mixed, bad, none = parts.glyphs(console)
    table.caption = f'{good} answers  {mixed} some fail  {bad} all fail'
    table.caption += '' if none == ' ' else f'  {none} none'
    table.caption_justify = 'left'
    return table


def _scale(story: breakroom.Story, width: int) -> str:
    """The names of the parts, each where it begins."""
    line = [' '] * width
    for part, start in story.ledger.starts.items():
        at = int(start / story.seconds * width)
        for number, letter in enumerate(part):
            if at + number < width:
                line[at + number] = letter
    return ''.join(line)


def _lists(
    console: rich.console.Console, story: breakroom.Story
) -> rich.table.Table:
    """How often all cells were asked at once, and new ones placed."""
    table = drawing.Table(console, 'Asking all cells, and booting')
    table.columns_of('Part')
    table.columns_of(
        'Complete', 'Partial', 'Longest', 'Booted', 'Failed', justify='right'
    )
    # It gives way on a narrow screen; the numbers do not.
    table.add_column('Where', overflow='fold')
    ledger = story.ledger
    for part in parts.PARTS:
        complete, partial = (
            ledger.tally(part, '', request) for request in users.LISTS
        )
        times = [*complete.times, *partial.times]
        boots = ledger.tally(part, '', 'boot')
        where = {
            name: ledger.tally(part, name, lab_ledger.BOOTED).answered
            for name in story.names
        }
        table.add_row(
            rich.text.Text(part, style=parts.STYLES[part]),
            str(complete.answered),
            str(partial.answered),
            f'{max(times) * 1000:.0f} ms' if times else '-',
            str(boots.answered),
            str(boots.failed),
            _where(where),
        )
    return table


def _where(booted: Mapping[str, int]) -> str:
    return ' '.join(f'{name}: {n}' for name, n in booted.items() if n)


def _events(
    console: rich.console.Console, events: list[lab_witness.Event]
) -> rich.table.Table:
    table = drawing.Table(console, 'What happened')
    table.columns_of('After', justify='right')
    table.columns_of('Cell')
    table.add_column('What', overflow='fold')
    for one in events[:_MOST_EVENTS]:
        table.add_row(
            f'{one.seconds:.1f} s',
            rich.text.Text(one.cell),
            rich.text.Text(one.text),
        )
    more = len(events) - _MOST_EVENTS
    if more > 0:
        table.add_row('', '', f'and {more} more')
    return table
