"""The options of the ``database`` quota driver."""

from __future__ import annotations

from oslo_config import cfg

REFUSE, KEEP, ACCEPT = 'refuse', 'keep', 'accept'
"""What ``unanswered_cells`` can be."""

_DAY = 86400
_LONGEST = 100 * 365 * _DAY


def all_options() -> list[cfg.Opt]:
    """When to count, how long to hold, where the old limits are."""
    return [*_counting(), *_holding(), *_moving()]


def _counting() -> list[cfg.Opt]:
    return [
        cfg.IntOpt(
            'until_refresh',
            default=0,
            min=0,
            max=2**31 - 1,
            mutable=True,
            help='After so many reservations a usage is counted anew in the '
            'cells; 0 never does. Set it where resources come and go without '
            'reservations, and the books would drift away from the truth. '
            'Each count asks all cells, so choose hundreds rather than tens.',
        ),
        cfg.IntOpt(
            'max_age',
            default=0,
            min=0,
            max=_LONGEST,
            mutable=True,
            help='After so many seconds a usage is counted anew in the cells, '
            'by the next reservation that needs it; 0 never does. Set it for '
            'the same reason as until_refresh; the two may be combined.',
        ),
        cfg.StrOpt(
            'unanswered_cells',
            default=REFUSE,
            choices=[
                (REFUSE, 'the reservation fails; nothing is stored'),
                (
                    KEEP,
                    'the last count stands, logged; without one, it fails',
                ),
                (ACCEPT, 'what the other cells hold counts, for the time'),
            ],
            mutable=True,
            help='What becomes of a reservation that has to count, while a '
            'cell does not answer. What is in that cell would be missing from '
            'the count, and too much would be admitted: accept puts that up '
            'with, and counts anew at each reservation until all cells '
            'answer. A reservation that need not count never notices.',
        ),
    ]


def _holding() -> list[cfg.Opt]:
    return [
        cfg.IntOpt(
            'reservation_expire',
            default=_DAY,
            min=1,
            max=_LONGEST,
            mutable=True,
            help='After so many seconds a reservation ends by itself that was '
            'neither committed nor rolled back, as its process died; unless '
            'the caller named a time. Longer than the slowest request takes: '
            'what commits once somebody has expired it is told that its '
            'reservation is gone.',
        ),
    ]


def _moving() -> list[cfg.Opt]:
    return [
        cfg.ListOpt(
            'fallback_cells',
            default=[],
            mutable=True,
            help='The cells, by name or uuid, in whose databases limits from '
            'before the API database may still stand. They are read, in this '
            'order, for what the API database does not name, until '
            'online-data-migrations has moved all of it. Empty in a '
            'deployment that started with cellplug.',
        ),
    ]
