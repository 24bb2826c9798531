"""``cell health``: how the cells do, as this machine sees them."""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from cellplug import CellRouter
    from cellplug import objects

_COLUMNS = (
    'name',
    'state',
    'database',
    'queue',
    'p50_ms',
    'p95_ms',
    'connections',
    'last_error',
)
_TIMEOUT = 10.0
_EVERY = 2.0
_REDRAW = '\x1b[H\x1b[2J'
"""To the upper left corner of the terminal, and nothing below."""


class Health(base.Lister):
    """Ask cells how they do: each one's database and message queue.

    All cells are asked at once, and none keeps the others waiting. Nothing
    is changed. For each database a statement is sent on a new connection,
    for each queue a message that nobody reads.

    It is this machine's view at this moment: a running service has breakers
    of its own, which remember what went before.
    """

    wait = staticmethod(time.sleep)
    """What happens between two rounds."""

    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.DONE: 'all of them are healthy: enabled, and all parts answer',
        outcome.FAILED: 'one is not, see the rows; or a cell was not found, '
        'or the API database does not answer',
    }
    notes = """\
columns: name, state, database and queue (ok; failing; open or half-open,
  when it is asked less often as it fails; empty where there is no queue),
  p50_ms and p95_ms (milliseconds that the database took, over the probes of
  this command), connections (that it has open), last_error

With --watch the cells are asked again and again until Ctrl-C, which exits
with what was seen last. On a terminal the table is drawn anew each time; with
-f json each time is one line, an object with "time" and "cells"."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which cells, how often, and how long to wait for each."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'cells',
            nargs='*',
            metavar='CELL',
            help='the names or uuids of cells (default: all)',
        )
        parser.add_argument(
            '--watch',
            nargs='?',
            type=_seconds,
            const=_EVERY,
            metavar='SECONDS',
            help='ask again after so many seconds (default: '
            f'{_EVERY:g}), until Ctrl-C',
        )
        parser.add_argument(
            '--timeout',
            type=_seconds,
            default=_TIMEOUT,
            metavar='SECONDS',
            help='how long to wait for all answers together (default: '
            f'{_TIMEOUT:g})',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Ask them once, or be ready to ask them again and again."""
        rounds = self._rounds(parsed_args)
        return _COLUMNS, rounds if parsed_args.watch else next(rounds)

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Any,
    ) -> int:
        """Print the rows, those of each round."""
        if not parsed_args.watch:
            return super().produce_output(parsed_args, column_names, data)
        try:
            for rows in data:
                self._draw(parsed_args, column_names, rows)
        except KeyboardInterrupt:
            # How a watch ends; a terminal has shown ^C.
            if self.app.stdout.isatty():
                self.app.stdout.write('\n')
        return self.exit_code

    def _draw(
        self,
        parsed_args: argparse.Namespace,
        names: Sequence[str],
        rows: list[base.Row],
    ) -> None:
        now = datetime.datetime.now(datetime.UTC)
        stream = self.app.stdout
        if parsed_args.formatter == 'json':
            cells = [
                {n: _machine(v) for n, v in zip(names, one, strict=True)}
                for one in rows
            ]
            line = {'time': now.isoformat(timespec='seconds'), 'cells': cells}
            stream.write(json.dumps(line) + '\n')
        else:
            if stream.isatty():
                stream.write(_REDRAW)
            stream.write(f'{now:%H:%M:%S} UTC\n')
            super().produce_output(parsed_args, names, rows)
        stream.flush()

    def _rounds(
        self, parsed_args: argparse.Namespace
    ) -> Iterator[list[base.Row]]:
        """The rows of one round after the other."""
        with self.router() as router:
            # Here, a name that is wrong and an API database that is down end
            # the command; later, what is known by then is asked.
            cells = [router.cells.get(name) for name in parsed_args.cells]
            every = cells or router.cells.list()
            while True:
                yield self._ask(router, every, parsed_args.timeout)
                self.wait(parsed_args.watch)
                every = cells or self._listed(router, every)

    def _listed(self, router: CellRouter, former: list[Any]) -> list[Any]:
        try:
            return router.cells.list()
        except exception.CellplugError as exc:
            self.say(f'the cells cannot be listed: {exc}')
            return former

    def _ask(
        self, router: CellRouter, cells: list[Any], timeout: float
    ) -> list[base.Row]:
        for cell in cells:
            self.known(cell)
        found = router.health(cells, probe=True, timeout=timeout)
        healths = [found[cell.uuid] for cell in cells if cell.uuid in found]
        all_well = all(one.healthy for one in healths)
        self.exit_code = outcome.DONE if all_well else outcome.FAILED
        return [self._row(one) for one in healths]

    def _row(self, health: objects.CellHealth) -> base.Row:
        parts = [health.database]
        if health.queue is not None:
            parts.append(health.queue)
        errors = [one.last_error for one in parts if not one.healthy]
        said = next((error for error in errors if error), None)
        return base.row(
            (
                health.cell.name,
                str(health.state),
                _circuit(health.database),
                health.queue and _circuit(health.queue),
                _ms(health.database.latency_p50),
                _ms(health.database.latency_p95),
                health.connections,
                said and self.app.hider.hide(said),
            )
        )


def _circuit(circuit: objects.CircuitHealth) -> str:
    if circuit.healthy:
        return 'ok'
    # Closed, and yet the last attempt failed.
    state = str(circuit.state)
    return 'failing' if state == 'closed' else state


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _machine(value: Any) -> Any:
    """A value as JSON takes it."""
    known = isinstance(value, base.Optional)
    return value.machine_readable() if known else value


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float('inf'):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no number of seconds above zero'
        )
    return found
