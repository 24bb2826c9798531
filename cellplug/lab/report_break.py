"""What came of breaking cells, for machines."""

from __future__ import annotations

import dataclasses
from typing import Any

from cellplug.lab import breakroom
from cellplug.lab import ledger as lab_ledger
from cellplug.lab import users


def document(story: breakroom.Story) -> dict[str, Any]:
    """The story; times in milliseconds, moments in seconds."""
    ledger = story.ledger
    return {
        'seconds': round(story.seconds, 1),
        'stalled_seconds': round(story.stalled, 3),
        'parts': {
            str(part): round(start, 1) for part, start in ledger.starts.items()
        },
        'cells': {
            name: {
                'kind': story.broken.get(name),
                **{
                    str(part): _tally(
                        ledger.tally(part, name, *users.PER_CELL)
                    )
                    for part in lab_ledger.Part
                },
            }
            for name in story.names
        },
        'lists': {str(p): _lists(ledger, p) for p in lab_ledger.Part},
        'boots': {str(part): _boots(story, part) for part in lab_ledger.Part},
        'events': [
            {**dataclasses.asdict(one), 'seconds': round(one.seconds, 2)}
            for one in story.witness.events
        ],
        'left_behind': {
            'expired': story.settled.expired,
            'forgotten': list(story.settled.forgotten),
        },
        'problems': story.problems,
    }


def _tally(tally: lab_ledger.Tally) -> dict[str, Any]:
    return {
        'answered': tally.answered,
        'failed': tally.failed,
        'refused_at_once': tally.refused,
        'p50_ms': _ms(tally.share(0.5)),
        'p95_ms': _ms(tally.share(0.95)),
        'longest_failure_ms': _ms(tally.waited) if tally.failed else None,
        'last_error': tally.error,
    }


def _lists(ledger: lab_ledger.Ledger, part: lab_ledger.Part) -> dict[str, Any]:
    complete, partial = (
        ledger.tally(part, '', request) for request in users.LISTS
    )
    return {
        'complete': complete.answered,
        'partial': partial.answered,
        'failed': complete.failed,
        'longest_ms': _ms(
            max((*complete.times, *partial.times), default=None)
        ),
    }


def _boots(story: breakroom.Story, part: lab_ledger.Part) -> dict[str, Any]:
    boots = story.ledger.tally(part, '', 'boot')
    return {
        'booted': {
            name: story.ledger.tally(part, name, lab_ledger.BOOTED).answered
            for name in story.names
        },
        'failed': boots.failed,
        'last_error': boots.error,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
