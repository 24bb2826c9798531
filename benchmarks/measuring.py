"""What the benchmarks share: timing, tables, JSON and targets.

Machines are noisy, and other programs run on them. So the cases of one
benchmark take turns in short slices, each slice of a case is set in relation
to the slice of the baseline in the same round, and medians over the rounds
are reported with the quartiles.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LIBRARIES = (
    'SQLAlchemy',
    'oslo.db',
    'oslo.messaging',
    'PyMySQL',
    'psycopg',
    'pymemcache',
)


@dataclasses.dataclass(frozen=True)
class Samples:
    """The measurements of one case, one per round.

    :ivar unit: ``us``, ``ms`` or ``kB``, for people.
    :ivar ratios: each round's measurement over the baseline's; empty where
        there is no baseline.
    :ivar cpu: the processor time that this process spent meanwhile; other
        programs disturb it less, and it leaves the servers' share out.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    ratios: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios, None without a baseline."""
        return statistics.median(self.ratios) if self.ratios else None

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        low, high = quartiles(self.values)
        found: dict[str, Any] = {
            'name': self.name,
            'unit': self.unit,
            'median': self.median,
            'quartiles': [low, high],
            'range': [min(self.values), max(self.values)],
            'rounds': len(self.values),
        }
        if self.ratios:
            found['ratio'] = self.ratio
            found['ratio_quartiles'] = list(quartiles(self.ratios))
        if self.cpu:
            found['cpu'] = statistics.median(self.cpu)
        return found


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure that has to be reached: ``value`` at most ``limit``.

    :ivar at_least: it is the other way round.
    """

    what: str
    value: float
    limit: float
    unit: str = ''
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = 'ok    ' if self.met else 'MISSED'
        bound = 'least' if self.at_least else 'most'
        return (
            f'{verdict}  {self.what}: {self.value:.3g} {self.unit}'.rstrip()
            + f' (at {bound} {self.limit:g})'
        )


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method='inclusive')
    return first, third


def take_turns(
    cases: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    calls: int,
    baseline: str | None = None,
    unit: str = 'us',
) -> dict[str, Samples]:
    """Time each case ``calls`` times in each of ``rounds`` rounds.

    :param baseline: the case that the others are set in relation to.
    :param unit: ``us`` or ``ms`` per call.
    """
    for case in cases.values():
        _slice(case, max(1, calls // 10))
    order = list(cases)
    values: dict[str, list[float]] = {name: [] for name in cases}
    cpu: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        # Nobody always runs behind the same neighbour's garbage.
        order.append(order.pop(0))
        for name in order:
            elapsed, busy = _slice(cases[name], calls)
            values[name].append(elapsed / calls)
            cpu[name].append(busy / calls)
    return related(values, baseline, unit, cpu)


def related(
    values: Mapping[str, Sequence[float]],
    baseline: str | None,
    unit: str,
    cpu: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Samples]:
    """Samples from seconds, in the unit, in relation to the baseline."""
    scale = {'us': 1e6, 'ms': 1e3}[unit]
    found = {}
    for name, seconds in values.items():
        ratios: tuple[float, ...] = ()
        if baseline is not None:
            pairs = zip(seconds, values[baseline], strict=True)
            ratios = tuple(one / other for one, other in pairs)
        scaled = tuple(one * scale for one in seconds)
        busy = tuple(one * scale for one in cpu[name]) if cpu else ()
        found[name] = Samples(name, scaled, unit, ratios, busy)
    return found


def _slice(case: Callable[[], Any], calls: int) -> tuple[float, float]:
    """Seconds by the clock, and of this process's processor time."""
    gc.collect()
    repeat = range(calls)
    began, busy = time.perf_counter(), time.process_time()
    for _ in repeat:
        case()
    return time.perf_counter() - began, time.process_time() - busy


def in_threads(
    case: Callable[[int, int], Any], threads: int, calls: int
) -> Callable[[], None]:
    """A case that makes ``calls`` calls in each of so many threads.

    :param case: called with the thread's number and the call's.
    """

    def work(number: int, start: threading.Barrier) -> None:
        start.wait()
        for call in range(calls):
            case(number, call)

    def run() -> None:
        start = threading.Barrier(threads)
        workers = [
            threading.Thread(target=_guarded, args=(work, number, start))
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return run


def _guarded(work: Callable[..., Any], *args: Any) -> None:
    """A thread that fails ends the benchmark: its time means nothing."""
    try:
        work(*args)
    except BaseException as exc:  # noqa: BLE001 (printed)
        print(f'a thread failed: {exc!r}', file=sys.stderr, flush=True)
        os._exit(2)


def machine() -> str:
    """One line on what the figures were measured with."""
    versions = []
    for name in LIBRARIES:
        try:
            versions.append(f'{name} {importlib.metadata.version(name)}')
        except importlib.metadata.PackageNotFoundError:
            continue
    load = os.getloadavg()[0]
    return (
        f'{_processor()}, {os.cpu_count()} cores, load {load:.1f}, '
        f'{platform.system()}, Python {platform.python_version()}, '
        + ', '.join(versions)
    )


def _processor() -> str:
    path = Path('/proc/cpuinfo')
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.machine()


class Report:
    """Tables and targets, printed as they come or as JSON in the end."""

    def __init__(self, title: str, arguments: argparse.Namespace) -> None:
        self._json = arguments.json
        self._check = arguments.check
        self._found: dict[str, Any] = {
            'benchmark': title,
            'machine': machine(),
            'tables': {},
        }
        self._targets: list[Target] = []
        self._say(f'{title}\n{self._found["machine"]}')

    def _say(self, text: str) -> None:
        if not self._json:
            print(text, flush=True)

    def table(self, title: str, samples: Mapping[str, Samples]) -> None:
        """Add a table: medians, quartiles, and ratios to the baseline."""
        rows = list(samples.values())
        self._found['tables'][title] = [row.as_dict() for row in rows]
        width = max(len(row.name) for row in rows)
        lines = [f'\n{title}']
        head = f'  {"":{width}}  {"median":>10}  {"quartiles":>17}'
        lines.append(head + '  ratio  (quartiles)       CPU')
        for row in rows:
            low, high = quartiles(row.values)
            line = (
                f'  {row.name:{width}}  {row.median:7.4g} {row.unit}  '
                f'{low:8.4g} {high:8.4g}'
            )
            if row.ratio is not None:
                low, high = quartiles(row.ratios)
                line += f'  {row.ratio:5.2f}  ({low:.2f} {high:.2f})'
            if row.cpu:
                line = (
                    f'{line:{width + 56}}  {statistics.median(row.cpu):8.4g}'
                )
            lines.append(line)
        self._say('\n'.join(lines))

    def grid(
        self,
        title: str,
        head: Sequence[str],
        rows: Mapping[str, Sequence[str]],
        data: Any,
    ) -> None:
        """Add a table whose cells are text already.

        :param data: what stands for the table in the JSON.
        """
        self._found['tables'][title] = data
        lines = [('', *head), *((name, *row) for name, row in rows.items())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [f'\n{title}']
        for first, *rest in lines:
            cells = [
                f'{cell:>{width}}'
                for cell, width in zip(rest, widths[1:], strict=True)
            ]
            text.append('  '.join((f'  {first:{widths[0]}}', *cells)))
        self._say('\n'.join(text))

    def note(self, text: str) -> None:
        """Add a line."""
        self._found.setdefault('notes', []).append(text)
        self._say(text)

    def target(
        self,
        what: str,
        value: float | None,
        limit: float,
        unit: str = '',
        *,
        at_least: bool = False,
    ) -> None:
        """Add a target; None as the value: it could not be measured."""
        if value is not None:
            self._targets.append(Target(what, value, limit, unit, at_least))

    def finish(self) -> int:
        """Print what is left; 1 with ``--check`` and a target missed."""
        missed = [target for target in self._targets if not target.met]
        self._found['targets'] = [
            {**dataclasses.asdict(target), 'met': target.met}
            for target in self._targets
        ]
        if self._json:
            print(json.dumps(self._found, indent=2))
        else:
            print('\n' + '\n'.join(str(target) for target in self._targets))
        return 1 if self._check and missed else 0


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every benchmark has."""
    found = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        '--json', action='store_true', help='print JSON instead of tables'
    )
    found.add_argument(
        '--check',
        action='store_true',
        help='exit with 1 if a target is missed',
    )
    found.add_argument(
        '--rounds',
        type=_at_least_one,
        default=21,
        help='how often the cases take turns (default: %(default)s; fewer '
        'than 9 are for trying out)',
    )
    return found


def add_database(found: argparse.ArgumentParser) -> None:
    """The arguments of benchmarks that need a database server."""
    found.add_argument(
        '--backend',
        choices=['mariadb', 'postgresql'],
        default='mariadb',
        help='the private server to start (default: %(default)s)',
    )
    found.add_argument(
        '--database-connection',
        metavar='URL',
        help='use this server instead: the URL of an account that may '
        'create databases; they are dropped in the end',
    )


def use_server(arguments: argparse.Namespace) -> None:
    """Have the fixtures use the server that the arguments name."""
    from cellplug.testing import services  # noqa: PLC0415 (after the parser)

    # Without it private servers keep their data in memory; a service's
    # commits wait for a disk.
    os.environ.setdefault('TMPDIR', tempfile.gettempdir())
    url = arguments.database_connection
    if url:
        arguments.backend = (
            'postgresql' if url.startswith('postgresql') else 'mariadb'
        )
        kind = {'mariadb': services.MariaDB, 'postgresql': services.PostgreSQL}
        os.environ[kind[arguments.backend].variable] = url


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError('must be 1 or more')
    return number
