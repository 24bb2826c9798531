"""What the pages of the break room have in common."""

from __future__ import annotations

import types
from collections.abc import Mapping

import rich.console
import rich.text

from cellplug.lab import drawing
from cellplug.lab import ledger as lab_ledger

PARTS = tuple(lab_ledger.Part)

STYLES: Mapping[lab_ledger.Part, str] = types.MappingProxyType(
    {
        lab_ledger.Part.CALM: 'green',
        lab_ledger.Part.BROKEN: 'red',
        lab_ledger.Part.HEALED: 'cyan',
    }
)


def figures(tally: lab_ledger.Tally) -> list[rich.text.Text]:
    """Answers, failures, and what 95 % of the answers took at most, in ms."""
    p95 = tally.share(0.95)
    return [
        rich.text.Text(str(tally.answered)),
        rich.text.Text(str(tally.failed), style='red' * bool(tally.failed)),
        rich.text.Text('-' if p95 is None else f'{p95 * 1000:.1f}'),
    ]


def glyphs(console: rich.console.Console) -> tuple[str, str, str, str]:
    """For a time in which all was answered, some, nothing; nothing asked."""
    if drawing.is_unicode(console):
        return '█', '▒', '\u00d7', '·'
    return '#', '%', 'x', '.'


def strip(
    console: rich.console.Console, steps: list[tuple[int, int]]
) -> rich.text.Text:
    """A letter for each step of time: answers, and failures."""
    good, mixed, bad, none = glyphs(console)
    line = rich.text.Text()
    for answered, failed in steps:
        if answered and failed:
            line.append(mixed, style='yellow')
        elif failed:
            line.append(bad, style='bold red')
        elif answered:
            line.append(good, style='green')
        else:
            line.append(none, style='dim')
    return line


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f'{int(seconds) // 60}:{seconds % 60:04.1f}'
