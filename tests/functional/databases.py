"""A test's own database on each kind of server, and races on it."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time

import sqlalchemy as sa
import testtools
from oslo_db.sqlalchemy import exc_filters

from cellplug.testing import fixtures

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""


class DatabaseTestCase(testtools.TestCase):
    """Gives ``self.engine``: what a service's engine does, without pools.

    Its database is empty, or has the tables that ``tables`` names.
    """

    backend = 'sqlite'
    tables = None

    def setUp(self):
        super().setUp()
        made = fixtures.DatabaseFixture(self.backend, self.tables)
        self.url = self.useFixture(made).url
        self.engine = self.new_engine(self.url)

    def new_database(self):
        return self.useFixture(fixtures.DatabaseFixture(self.backend)).url

    def new_engine(self, url):
        engine = make_engine(url)
        self.addCleanup(engine.dispose)
        return engine


class OnSqlite(DatabaseTestCase):
    """Mixed in last, as are the others."""

    backend = 'sqlite'


class OnMariaDB(DatabaseTestCase):
    backend = 'mariadb'


class OnPostgreSQL(DatabaseTestCase):
    backend = 'postgresql'


def make_engine(url):
    """READ COMMITTED, oslo.db's exceptions, writers that begin as such."""
    options = {'hide_parameters': True, 'poolclass': sa.NullPool}
    if not url.startswith('sqlite'):
        options['isolation_level'] = 'READ COMMITTED'
    engine = sa.create_engine(url, **options)
    exc_filters.register_engine(engine)
    if engine.dialect.name == 'sqlite':
        sa.event.listen(engine, 'connect', _prepare_sqlite)
        sa.event.listen(engine, 'begin', _begin_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection, record):
    dbapi_connection.isolation_level = None
    dbapi_connection.execute(f'PRAGMA busy_timeout = {int(PATIENCE * 1000)}')


def _begin_sqlite(connection):
    mode = connection.get_execution_options().get('begin', 'IMMEDIATE')
    connection.exec_driver_sql(f'BEGIN {mode}')


class Race:
    """Calls that start at the same moment, each in a thread of its own.

    :ivar outcomes: of each call, in order: what it returned or raised.
    """

    def __init__(self, *calls):
        self.outcomes = [None] * len(calls)
        barrier = threading.Barrier(len(calls), timeout=PATIENCE)

        def run(index, call):
            barrier.wait()
            try:
                self.outcomes[index] = call()
            except Exception as exc:
                self.outcomes[index] = exc

        threads = [
            threading.Thread(target=run, args=(index, call), daemon=True)
            for index, call in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                raise AssertionError('a racing call did not come back')

    @property
    def errors(self):
        return [one for one in self.outcomes if isinstance(one, Exception)]


@contextlib.contextmanager
def in_background(call):
    """Run a call in a thread; the block gets a list that its outcome joins.

    The call has ended when the block has.
    """
    outcome = []

    def run():
        try:
            outcome.append(call())
        except Exception as exc:
            outcome.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(PATIENCE)
        if thread.is_alive():
            raise AssertionError('the call in the background hangs')


_WAITING = {
    'mysql': (
        'SELECT COUNT(*) FROM information_schema.innodb_trx '
        'JOIN information_schema.processlist ON id = trx_mysql_thread_id '
        "WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()"
    ),
    'postgresql': (
        'SELECT COUNT(*) FROM pg_stat_activity '
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ),
}


def wait_until_one_waits(engine):
    """Return when a transaction in this database waits for another's lock.

    sqlite cannot tell; there, what waits is the beginning of the
    transaction, and any order of events is the same.
    """
    if engine.dialect.name == 'sqlite':
        return
    query = sa.text(_WAITING[engine.dialect.name])
    poll_until(lambda: _scalar(engine, query), 'no transaction waits')


def _scalar(engine, query):
    with engine.connect() as connection:
        return connection.scalar(query)


def poll_until(condition, message):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message)
        # InnoDB renews what it tells when nobody has asked for 0.1 s.
        time.sleep(0.15)


def in_processes(target, *argument_lists):
    """Run ``target`` in a forked process for each list of arguments.

    :returns: the exit codes; negative: killed by that signal.
    """
    forked = multiprocessing.get_context('fork')
    processes = [
        forked.Process(target=target, args=arguments)
        for arguments in argument_lists
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(2 * PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def barrier(parties):
    """One that forked processes share."""
    return multiprocessing.get_context('fork').Barrier(parties)
