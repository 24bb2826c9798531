"""Options of ``lab run``: what it runs on, and what goes wrong."""

from __future__ import annotations

import argparse


def add_servers(parser: argparse.ArgumentParser) -> None:
    """On what it runs."""
    parser.add_argument(
        '--real',
        action='store_true',
        help='on a MariaDB and a RabbitMQ of its own, which end with the '
        'run, and with a worker process for each cell',
    )
    parser.add_argument(
        '--database-connection',
        metavar='TEMPLATE',
        help='on your database server: a URL with {cell} in it',
    )
    parser.add_argument(
        '--transport-url',
        metavar='TEMPLATE',
        help='on your message broker: a URL with {cell} in it',
    )


def add_crash(parser: argparse.ArgumentParser) -> None:
    """Whether processes are killed."""
    parser.add_argument(
        '--crash',
        action='store_true',
        help='kill processes at random while requests flow, and show that '
        'the quotas are right again afterwards',
    )
    parser.add_argument(
        '--seed',
        type=int,
        metavar='N',
        help='with --crash: a number that decides who is killed and what '
        'users ask for; the moments are up to the machine (default: another '
        'one each time, which is shown)',
    )


def add_break(parser: argparse.ArgumentParser) -> None:
    """Which cells break, and for how long."""
    parser.add_argument(
        '--break',
        dest='breaks',
        action='append',
        default=[],
        metavar='CELL=KIND',
        help='break this cell for a while, and show what becomes of it and '
        'of the others; KIND is hang, slow, refuse, readonly or garbage. May '
        'be repeated, or name several with commas: cell2=hang,cell3=slow',
    )
    parser.add_argument(
        '--seconds',
        type=float,
        metavar='N',
        help='with --break: how long it is calm, how long the cells are '
        'broken, and how long they are healed (default: 8 each)',
    )
