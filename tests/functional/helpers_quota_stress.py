"""Many processes on one project's quotas, killed at random, and watched.

Workers reserve, commit, roll back and give back, at random. What each does it
writes to a ledger, before and after each step; the ledger of one that was
killed tells its successor what to finish. Monitors read all usages over and
over, past cellplug, and note each sample in which something is not as it has
to be. In the end the ledgers say what has to be in use.

A worker's books are an object with reserve, commit, rollback, open_handles,
expire and close: quotas of a router, or (to prove the harness) SQL that was
written by hand, and wrong.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import multiprocessing
import os
import pathlib
import random
import signal
import time
import traceback
import urllib.parse

import psycopg
import pymysql
from oslo_config import cfg

import cellplug
from cellplug import exception

PROJECT = 'hot'
LIMITS = {'cores': 12, 'ram': 24, 'vm': 6}
USERS_LIMITS = {'user0': {'vm': 2}, 'user1': {'cores': 5}}
"""What these users may have of the project's; others all of it."""

PATIENCE = 60.0
"""Seconds that a worker may take to come to its end."""

ENDS = ('committed', 'rolled back', 'refused')

_ACTIONS = (
    {'vm': 1, 'cores': 2, 'ram': 4},
    {'vm': 1, 'cores': 1, 'ram': 1},
    {'vm': 1},
    {'ram': 3},
    {'cores': 2, 'ram': 1},
)
_GIVES_BACK = 0.4
_COMMITS = 0.75
_SAMPLE_EVERY = 0.002
_HOP_AFTER = 0.1
_MOST_HOPS = 100

FORK = multiprocessing.get_context('fork')


def seconds(default):
    """How long a run lasts; CELLPLUG_STRESS_SECONDS makes it longer."""
    return float(os.environ.get('CELLPLUG_STRESS_SECONDS', default))


# -- the books -------------------------------------------------------------


def open_conf(url):
    conf = cfg.ConfigOpts()
    cellplug.register_opts(conf)
    conf([], project='cellplug', default_config_files=[])
    conf.set_override('connection', url, 'api_database')
    return conf


class RouterBooks:
    """The quotas of a router of one's own."""

    def __init__(self, url, *, ahead=0, sync=None):
        """Take the clock as ``ahead`` seconds ahead.

        :param sync: counts the truth; by default there is nothing.
        """
        self._router = cellplug.CellRouter.from_conf(
            open_conf(url), clock=lambda: time.time() + ahead
        )
        self.quotas = self._router.quotas
        for name in LIMITS:
            self.quotas.register_resource(
                cellplug.ReservableResource(name, sync=sync or _count_nothing)
            )

    def set_limits(self):
        context = _context(None)
        self.quotas.set_limits(context, LIMITS, project_id=PROJECT)
        for user, limits in USERS_LIMITS.items():
            self.quotas.set_limits(
                context, limits, project_id=PROJECT, user_id=user
            )

    def reserve(self, user, deltas):
        """The handle, or None if that would be too much."""
        try:
            return self.quotas.reserve(_context(user), deltas)
        except exception.OverQuota:
            return None

    def commit(self, user, handle):
        """False if it had ended before."""
        try:
            self.quotas.commit(_context(user), handle)
        except exception.ReservationNotFound:
            return False
        return True

    def rollback(self, user, handle):
        self.quotas.rollback(_context(user), handle)

    def open_handles(self, user):
        return [
            one.handle
            for one in self.quotas.get_reservations(
                _context(user), project_id=PROJECT, user_id=user
            )
        ]

    def refresh(self):
        """The resources of which no count was stored."""
        return self.quotas.usage_refresh(_context(None), project_id=PROJECT)

    def expire(self):
        return self.quotas.expire(_context(None))

    def close(self):
        self._router.close()


def _context(user):
    return cellplug.RequestContext(user_id=user, project_id=PROJECT)


def _count_nothing(context, project_id, user_id):
    """The truth before the first reservation; nobody has to ask later."""
    return dict.fromkeys(LIMITS, 0)


# -- the ledgers -----------------------------------------------------------


class Ledger:
    """What the workers of one slot did, one after the other."""

    def __init__(self, folder, slot):
        self.user = f'user{slot}'
        self.path = pathlib.Path(folder, self.user)
        self._file = None

    def write(self, step, **more):
        """Append a line; in one write, which a kill does not divide."""
        if self._file is None:
            self._file = os.open(
                self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT
            )
        line = json.dumps({'step': step, **more}) + '\n'
        os.write(self._file, line.encode())

    def account(self):
        """What follows from the lines so far."""
        account = Account()
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                account.take(json.loads(line))
        return account


@dataclasses.dataclass
class Account:
    """What the lines of a ledger come to.

    :ivar held: what was committed, by resource.
    :ivar open: the deltas of reservations that have not ended, by handle.
    :ivar undecided: handles whose commit was begun, and not seen to end.
    :ivar journey: at which node the work went on, and which one was lost and
        why, in order.
    """

    held: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    open: dict = dataclasses.field(default_factory=dict)
    undecided: set = dataclasses.field(default_factory=set)
    steps: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    errors: list = dataclasses.field(default_factory=list)
    journey: list = dataclasses.field(default_factory=list)

    def take(self, line):
        step, handle = line['step'], line.get('handle')
        self.steps[step] += 1
        if step == 'reserved':
            self.open[handle] = line['deltas']
        elif step == 'commit':
            self.undecided.add(handle)
        elif step == 'committed':
            self.undecided.discard(handle)
            self.held.update(self.open.pop(handle))
        elif step == 'rolled back':
            self.open.pop(handle, None)
        elif step in ('at', 'lost'):
            self.journey.append((step, line['node'], line.get('what')))
        elif step == 'error':
            self.errors.append(line['what'])


class Worker:
    """One process's work, in its slot.

    :param urls: the database at each node; it goes on to the next one when
        its own is unavailable.
    """

    def __init__(self, ledger, slot, urls, open_books, stop):
        self._ledger = ledger
        self._slot = slot
        self._urls = urls
        self._open_books = open_books
        self._stop = stop
        self._dice = random.Random()
        self._account = ledger.account()
        self._books = None

    def run(self):
        node = self._slot % len(self._urls)
        hops = 0
        while True:
            try:
                with contextlib.closing(
                    self._open_books(self._urls[node])
                ) as self._books:
                    self._finish_what_was_begun()
                    self._write('at', node=node)
                    while not self._stop.exists():
                        self._act()
                        hops = 0
                return
            except exception.DatabaseUnavailable as exc:
                hops += 1
                if len(self._urls) == 1 or hops > _MOST_HOPS:
                    raise
                self._write('lost', node=node, what=str(exc))
                node = (node + 1) % len(self._urls)
                time.sleep(_HOP_AFTER)

    def _write(self, step, **more):
        self._ledger.write(step, **more)
        self._account.take({'step': step, **more})

    def _finish_what_was_begun(self):
        """As whoever comes after a crash would.

        Nobody ends a reservation but its slot, and none expires: if one that
        was to be committed has ended, it was committed.
        """
        user = self._ledger.user
        for handle in list(self._account.open):
            if handle in self._account.undecided:
                self._books.commit(user, handle)
                self._write('committed', handle=handle)
            else:
                self._roll_back(handle)
        for handle in self._books.open_handles(user):
            self._roll_back(handle)

    def _act(self):
        deltas = self._choose()
        self._write('reserve', deltas=deltas)
        handle = self._books.reserve(self._ledger.user, deltas)
        if handle is None:
            self._write('refused')
            return
        self._write('reserved', handle=handle, deltas=deltas)
        if self._dice.random() > _COMMITS:
            self._roll_back(handle)
            return
        self._write('commit', handle=handle)
        if not self._books.commit(self._ledger.user, handle):
            raise AssertionError(f'{handle} ended by itself')
        self._write('committed', handle=handle)

    def _roll_back(self, handle):
        self._write('rollback', handle=handle)
        self._books.rollback(self._ledger.user, handle)
        self._write('rolled back', handle=handle)

    def _choose(self):
        held = +self._account.held
        if held and self._dice.random() < _GIVES_BACK:
            given = {
                name: -self._dice.randint(1, number)
                for name, number in held.items()
            }
            if self._dice.random() < 0.2:
                # Less of one, more of another.
                given[self._dice.choice(list(given))] = 1
            return given
        return dict(self._dice.choice(_ACTIONS))


def _work(folder, slot, urls, open_books, stop):
    """The whole life of a worker's process."""
    ledger = Ledger(folder, slot)
    try:
        Worker(ledger, slot, urls, open_books, stop).run()
    except BaseException:
        ledger.write('error', what=traceback.format_exc())
        raise


# -- the monitors ----------------------------------------------------------


@dataclasses.dataclass
class Sampling:
    """What a monitor saw.

    :ivar faults: a few of the samples that must not be, in words.
    :ivar peaks: the most that was ever used of the project's total.
    """

    samples: int = 0
    wrong: int = 0
    faults: list = dataclasses.field(default_factory=list)
    peaks: dict = dataclasses.field(default_factory=dict)

    def take(self, rows):
        self.samples += 1
        faults = find_faults(rows)
        if faults:
            self.wrong += 1
            self.faults = (self.faults + faults)[:10]
        for user, name, in_use, reserved in rows:
            if user == '':
                used = in_use + reserved
                self.peaks[name] = max(used, self.peaks.get(name, 0))


def find_faults(rows):
    """What must not be in one look at all usages.

    :param rows: user, resource, in_use, reserved.
    """
    faults = []
    sums = collections.Counter()
    totals = collections.Counter()
    for user, name, in_use, reserved in rows:
        limit = USERS_LIMITS.get(user, {}).get(name, LIMITS[name])
        where = f'{user or "total"} {name}: {in_use} + {reserved}'
        if in_use < 0 or reserved < 0:
            faults.append(f'{where} is negative')
        if in_use + reserved > limit:
            faults.append(f'{where} is over {limit}')
        books = sums if user else totals
        books[name, 'in use'] += in_use
        books[name, 'reserved'] += reserved
    if +sums != +totals:
        faults.append(f'total {dict(totals)}, but all users {dict(sums)}')
    return faults


def connect(url):
    """A connection past cellplug, in autocommit."""
    parts = urllib.parse.urlsplit(url)
    login = {
        'host': parts.hostname,
        'port': parts.port,
        'user': parts.username,
        'password': parts.password,
        'connect_timeout': 5,
        'autocommit': True,
    }
    database = parts.path.strip('/')
    if parts.scheme.startswith('postgresql'):
        return psycopg.connect(dbname=database, **login)
    return pymysql.connect(
        database=database, ssl_disabled=True, read_timeout=30, **login
    )


def read(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]


USAGES = (
    'SELECT user_id, resource, in_use, reserved FROM quota_usages '
    f"WHERE project_id = '{PROJECT}' ORDER BY user_id, resource"
)

CANNOT_READ = (pymysql.err.Error, psycopg.Error)


def _monitor(url, results):
    """Sample until told to stop; a server that is away is waited for."""
    sampling = Sampling()
    while not results.poll():
        try:
            with contextlib.closing(connect(url)) as connection:
                while not results.poll(_SAMPLE_EVERY):
                    sampling.take(read(connection, USAGES))
        except CANNOT_READ:
            results.poll(_HOP_AFTER)
    results.send(sampling)


# -- the run ---------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    """What a run came to.

    :ivar accounts: by user.
    :ivar kills: how many workers were killed.
    """

    accounts: dict
    samplings: list
    kills: int

    @property
    def errors(self):
        return [e for one in self.accounts.values() for e in one.errors]

    @property
    def steps(self):
        total = collections.Counter()
        for one in self.accounts.values():
            total.update(one.steps)
        return total

    def in_use(self):
        """What has to be in use: the same shape as the rows' first three."""
        wanted = collections.Counter()
        for user, account in self.accounts.items():
            for name, number in account.held.items():
                wanted[user, name] += number
                wanted['', name] += number
        return +wanted


class Stress:
    """A run: workers that are killed and replaced, and monitors.

    The process that runs it must have no other threads: it forks.

    :param folder: for the ledgers.
    :param urls: the database, at each node.
    :param open_books: makes a worker's books from a URL.
    """

    def __init__(self, folder, urls, open_books, *, workers=8):
        self._folder = folder
        self._urls = urls
        self._open_books = open_books
        self._slots = range(workers)
        self._workers = {}
        self._dice = random.Random()
        self._stop = pathlib.Path(folder, 'stop')

    def run(self, duration, *, kill_every=None, events=(), rounds=100):
        """Let them work.

        :param duration: in seconds; longer, if the machine is so busy that
            there were fewer than ``rounds`` by then, of reserving and ending.
        :param kill_every: seconds between two kills, on average.
        :param events: pairs of seconds and what is called then, in order.
        """
        with contextlib.ExitStack() as stack:
            monitors = [self._start_monitor(url, stack) for url in self._urls]
            stack.callback(self._kill_all)
            for slot in self._slots:
                self._start(slot)
            kills = self._rage(duration, kill_every, list(events), rounds)
            self._stop.touch()
            self._join()
            samplings = []
            for pipe in monitors:
                pipe.send('stop')
                if not pipe.poll(PATIENCE):
                    raise AssertionError('a monitor does not end')
                samplings.append(pipe.recv())
        return Outcome(self._accounts(), samplings, kills)

    def _accounts(self):
        ledgers = [Ledger(self._folder, slot) for slot in self._slots]
        return {ledger.user: ledger.account() for ledger in ledgers}

    def _start_monitor(self, url, stack):
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=_monitor, args=(url, theirs))
        process.start()
        stack.callback(process.join)
        stack.callback(process.kill)
        return ours

    def _start(self, slot):
        process = FORK.Process(
            target=_work,
            args=(
                self._folder,
                slot,
                self._urls,
                self._open_books,
                self._stop,
            ),
        )
        process.start()
        self._workers[slot] = process

    def _rage(self, duration, kill_every, events, rounds):
        """Kill and replace until the time is over.

        What is left of it after the last event is a quarter, at least.
        """
        began = time.monotonic()
        least = began + duration
        kills = 0
        next_kill = self._next_kill(began, kill_every)
        while True:
            now = time.monotonic()
            if events and now - began >= events[0][0]:
                events.pop(0)[1]()
                least = max(least, time.monotonic() + duration / 4)
                continue
            if now > least and not events and self._enough(rounds):
                return kills
            if now > least + PATIENCE:
                raise AssertionError('nothing goes on')
            if now >= next_kill:
                self.replace(self._dice.choice(list(self._slots)))
                kills += 1
                next_kill = self._next_kill(now, kill_every)
            time.sleep(0.01)

    def _enough(self, rounds):
        steps = [one.steps for one in self._accounts().values()]
        return sum(one[end] for one in steps for end in ENDS) >= rounds

    def _next_kill(self, now, every):
        if every is None:
            return float('inf')
        return now + self._dice.uniform(0, 2 * every)

    def replace(self, slot):
        """Kill a worker and start its successor."""
        process = self._workers[slot]
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        self._start(slot)

    def _join(self):
        deadline = time.monotonic() + PATIENCE
        for process in self._workers.values():
            process.join(max(0, deadline - time.monotonic()))
            if process.is_alive():
                raise AssertionError('a worker does not end')

    def _kill_all(self):
        for process in self._workers.values():
            process.kill()
            process.join()
