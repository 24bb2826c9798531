"""What people see of the break room while it happens."""

from __future__ import annotations

from collections.abc import Iterator

import rich.console
import rich.measure
import rich.table
import rich.text

from cellplug import objects
from cellplug.lab import breakroom
from cellplug.lab import drawing
from cellplug.lab import ledger as lab_ledger
from cellplug.lab import screen_parts as parts
from cellplug.lab import users
from cellplug.lab import witness as lab_witness

_LAST_EVENTS = 8
_STRIP = 24
_SPAN = 12.0
"""Seconds that the strips show."""

_WITH_STRIP = 100
_LEAST_ERROR = 16
_MOST_MISSING = 4


def live(
    console: rich.console.Console, story: breakroom.Story
) -> rich.console.RenderableType:
    """All cells as they are now, and what has just happened."""
    return rich.console.Group(
        _heading(console, story),
        rich.text.Text(),
        _cells_now(console, story),
        rich.text.Text(),
        *_listing_now(console, story.ledger.listing),
        rich.text.Text(),
        *_last_events(console, story.witness.events),
    )


def _heading(
    console: rich.console.Console, story: breakroom.Story
) -> rich.text.Text:
    """The three parts, and how far it is."""
    full, empty = ('━', '─') if drawing.is_unicode(console) else ('=', '-')
    now, line = story.ledger.now, rich.text.Text()
    line.append(f'{parts.clock(now)}  ', style='bold')
    width = max(4, min(16, (console.width - 40) // 3))
    starts = story.ledger.starts
    each = story.seconds / len(parts.PARTS)
    for part in parts.PARTS:
        done = 0.0
        if part in starts:
            done = min(1.0, (now - starts[part]) / each)
        if part is not story.ledger.part and part in starts:
            done = 1.0
        here = part is story.ledger.part
        style = f'bold {parts.STYLES[part]}' if here else parts.STYLES[part]
        line.append(f'{part} ', style=style if part in starts else 'dim')
        line.append(full * round(done * width), style=parts.STYLES[part])
        line.append(empty * (width - round(done * width)), style='dim')
        line.append('  ')
    return line


def _cells_now(
    console: rich.console.Console, story: breakroom.Story
) -> rich.table.Table:
    """The table; with the last errors where there is room for them."""
    table = _figures_now(console, story, [])
    taken = rich.measure.Measurement.get(console, console.options, table)
    room = console.width - taken.maximum - 2
    if room < _LEAST_ERROR:
        return table
    errors = []
    for _, health in sorted(story.witness.cells.items()):
        text = rich.text.Text(_last_error(health), style='dim')
        text.truncate(room, overflow=drawing.overflow(console))
        errors.append(text)
    return _figures_now(console, story, errors)


def _figures_now(
    console: rich.console.Console,
    story: breakroom.Story,
    errors: list[rich.text.Text],
) -> rich.table.Table:
    table = drawing.Table(console, '')
    table.title = None
    table.columns_of('Cell', 'State', 'Database', 'Queue')
    table.columns_of('Answers', 'Failed', '95 %', justify='right')
    with_strip = console.width >= _WITH_STRIP
    if with_strip:
        table.columns_of(f'The last {_SPAN:g} s')
    if errors:
        table.columns_of('Last error')
    now = story.ledger.now
    for number, (name, health) in enumerate(
        sorted(story.witness.cells.items())
    ):
        tally = story.ledger.tally(story.ledger.part, name, *users.PER_CELL)
        row = [*_conditions(story, name, health), *parts.figures(tally)]
        if with_strip:
            steps = story.ledger.strip(name, _STRIP, now - _SPAN, now)
            row.append(parts.strip(console, steps))
        row += errors[number : number + 1]
        table.add_row(*row)
    return table


def _conditions(
    story: breakroom.Story, name: str, health: objects.CellHealth
) -> Iterator[rich.text.Text]:
    """A cell's name, state and breakers."""
    kind = None
    if story.ledger.part is lab_ledger.Part.BROKEN:
        kind = story.broken.get(name)
    label = f'{name} {kind}' if kind else name
    yield rich.text.Text(label, style='bold red' if kind else 'bold')
    yield rich.text.Text(str(health.state))
    yield _circuit(health.database)
    yield _circuit(health.queue)


def _circuit(circuit: objects.CircuitHealth | None) -> rich.text.Text:
    if circuit is None:
        return rich.text.Text('-', style='dim')
    if circuit.state is objects.CircuitState.CLOSED:
        style = 'yellow' if circuit.failures else 'green'
        return rich.text.Text('closed', style=style)
    if circuit.state is objects.CircuitState.HALF_OPEN:
        return rich.text.Text('probing', style='yellow')
    wait = circuit.next_probe_in or 0.0
    return rich.text.Text(f'OPEN {wait:.1f} s', style='bold red')


def _last_error(health: objects.CellHealth) -> str:
    """The younger one of both parts, while either fails."""
    parts = [health.database]
    if health.queue is not None:
        parts.append(health.queue)
    failing = [one for one in parts if not one.healthy]
    failing.sort(key=lambda one: one.last_error_at or 0.0)
    return failing[-1].last_error or '' if failing else ''


def _listing_now(
    console: rich.console.Console, listing: lab_ledger.Listing
) -> Iterator[rich.text.Text]:
    """What the last question to all cells brought."""
    text = rich.text.Text('All cells: ', style='bold')
    of = listing.answered + len(listing.missing)
    text.append(
        f'{listing.answered} of {of} answered, {listing.instances} instances'
        if of
        else 'not asked yet',
        style='yellow' if listing.missing else 'green',
    )
    yield text
    missing = list(listing.missing.items())
    for cell, why in missing[:_MOST_MISSING]:
        line = rich.text.Text(f'  without {cell}: {why}', style='red')
        line.truncate(console.width, overflow=drawing.overflow(console))
        yield line
    if len(missing) > _MOST_MISSING:
        more = len(missing) - _MOST_MISSING
        yield rich.text.Text(f'  and without {more} more', style='red')


def _last_events(
    console: rich.console.Console, events: list[lab_witness.Event]
) -> Iterator[rich.text.Text]:
    for one in events[-_LAST_EVENTS:]:
        line = rich.text.Text(f'{parts.clock(one.seconds)}  ', style='dim')
        line.append(f'{one.cell} ', style='bold')
        line.append(one.text)
        line.truncate(console.width, overflow=drawing.overflow(console))
        yield line
