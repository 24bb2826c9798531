"""A router before and after a fork: each process with connections of its own.

A child reports by a pipe; it ends by ``os._exit``, so that nothing of the test
runner's runs twice. What has to survive an orderly end of the child is tested
in a process of its own.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading

import fixtures
import sqlalchemy as sa
from sqlalchemy import orm

from cellplug import exception
from tests.functional import helpers_deployment as helpers


def in_child(call):
    """What the call returned or raised in a forked child."""
    readable, writable = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            os.close(readable)
            try:
                outcome = call()
            except BaseException as exc:
                outcome = f'{type(exc).__name__}: {exc}'
            os.write(writable, pickle.dumps(outcome))
        os._exit(0)
    os.close(writable)
    watchdog = threading.Timer(
        helpers.PATIENCE, os.kill, (pid, signal.SIGKILL)
    )
    watchdog.start()
    try:
        with open(readable, 'rb') as pipe:
            answer = pipe.read()
        os.waitpid(pid, 0)
    finally:
        watchdog.cancel()
    if not answer:
        raise AssertionError('the child hung or died without a word')
    return pickle.loads(answer)


def _driver(session):
    return session.connection().connection.dbapi_connection


def _commit_driver(session):
    _driver(session).commit()


def _rollback_driver(session):
    _driver(session).rollback()


def _close_driver(session):
    _driver(session).close()


def _dispose(session):
    session.get_bind().dispose()


class ForkTests:
    def _used(self, cells=2):
        """A router with connections in all its pools."""
        self.deploy(cells)
        context = self.context()
        for cell in self.deployment.cells:
            cctxt = self.targeted(cell.name, context)
            self.words(cctxt)
            self.words_alone(cctxt)
        return context

    def _server_ids(self):
        """The server's ids of this process's connections to cell1."""
        if self.backend == 'sqlite':
            return []
        url = self.deployment.cells[0].database_connection
        return sorted(helpers.connections(url))

    def test_child_works_and_parents_connections_survive(self):
        context = self._used()
        before = self._server_ids()

        def work():
            cctxt = self.targeted('cell1')
            self.add(cctxt, 'by the child')
            kept = self.targeted(self.deployment.cells[1], context)
            return self.words(cctxt), self.words(kept)

        self.assertEqual(
            (['cell1', 'by the child'], ['cell2']), in_child(work)
        )
        self.assertEqual(before, sorted(set(before) & set(self._server_ids())))
        cctxt = self.targeted('cell1')
        self.assertEqual(['cell1', 'by the child'], self.words(cctxt))
        self.assertEqual(['cell1', 'by the child'], self.words_alone(cctxt))
        # The very same connections: nobody had to open new ones.
        self.assertEqual(before, sorted(set(before) & set(self._server_ids())))

    def test_children_of_multiprocessing_work_side_by_side(self):
        self._used(1)
        forked = multiprocessing.get_context('fork')

        def work(number):
            for _ in range(5):
                self.add(self.targeted('cell1'), f'child {number}')

        children = [
            forked.Process(target=work, args=(number,)) for number in range(4)
        ]
        for child in children:
            child.start()
        for _ in range(5):
            self.add(self.targeted('cell1'), 'parent')
        for child in children:
            child.join(helpers.PATIENCE)
            self.assertEqual(0, child.exitcode)
        found = helpers.stored(self.deployment.cells[0].database_connection)
        self.assertEqual(1 + 5 * 5, len(found))

    def test_child_follows_an_edit_of_its_own(self):
        self._used(1)
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'moved')

        def work():
            self.router.cells.update('cell1', database_connection=url)
            return self.words(self.targeted('cell1'))

        self.assertEqual(['moved'], in_child(work))
        self.assertEqual(['moved'], self.words(self.targeted('cell1')))

    def test_child_knows_of_deleted_cells(self):
        self._used(2)
        old = self.deployment.cells[0]
        self.router.cells.delete(old)
        outcome = in_child(lambda: self.targeted(old))
        self.assertIn('CellMappingNotFound', outcome)

    def test_open_transaction_is_refused_in_the_child_alone(self):
        self._used(1)
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt) as session:
            self.add(cctxt, 'x')

            def by_session():
                return session.scalar(sa.text('SELECT 1'))

            def by_block():
                with self.database.reader.using(cctxt):
                    return 'entered'

            for use in (
                lambda: cctxt.session,
                lambda: self.words(cctxt),
                lambda: self.add(cctxt, 'y'),
                by_session,
                session.commit,
                by_block,
            ):
                outcome = in_child(use)
                self.assertIn('belongs to the parent process', str(outcome))
            self.add(cctxt, 'z')
        self.assertEqual(
            ['cell1', 'x', 'z'],
            helpers.stored(self.deployment.cells[0].database_connection),
        )

    def test_child_that_leaves_the_block_does_not_end_it(self):
        self._used(1)
        cctxt = self.targeted('cell1')
        url = self.deployment.cells[0].database_connection
        block = self.database.writer.using(cctxt)
        block.__enter__()
        self.add(cctxt, 'x')
        leave = in_child(lambda: block.__exit__(None, None, None))
        self.assertIn('TransactionForked', leave)
        error = ZeroDivisionError()
        in_child(lambda: block.__exit__(type(error), error, None))
        if self.backend != 'sqlite':
            self.assertEqual(['cell1'], helpers.stored(url))
        block.__exit__(None, None, None)
        self.assertEqual(['cell1', 'x'], helpers.stored(url))

    def test_nothing_that_the_child_says_ends_the_parents_transaction(self):
        self._used(1)
        cctxt = self.targeted('cell1')
        url = self.deployment.cells[0].database_connection
        words = ['cell1']
        base = orm.declarative_base(metadata=sa.MetaData())

        class Note(base):
            __tablename__ = 'note'
            id = sa.Column(sa.Integer, primary_key=True)
            word = sa.Column(sa.String(64))

        def flush(session):
            session.add(Note(id=9, word='child'))
            session.flush()

        def collect(session):
            gc.collect()

        for act in (
            orm.Session.rollback,
            orm.Session.close,
            orm.Session.commit,
            flush,
            orm.Session.invalidate,
            _dispose,
            collect,
            _commit_driver,
            _rollback_driver,
            _close_driver,
        ):
            with self.database.writer.using(cctxt) as session:
                word = f'before {act.__name__}'
                self.add(cctxt, word)
                outcome = in_child(lambda act=act, own=session: act(own))
                if act in (flush, _commit_driver, orm.Session.commit):
                    self.assertIn('TransactionForked: ', outcome)
                if self.backend != 'sqlite':
                    self.assertEqual(words, helpers.stored(url))
                self.add(cctxt, f'after {act.__name__}')
            words += [word, f'after {act.__name__}']
            self.assertEqual(words, helpers.stored(url))

    def test_refusal_in_the_child_is_not_logged(self):
        self._used(1)
        cctxt = self.targeted('cell1')
        with self.database.writer.using(cctxt) as session:
            self.add(cctxt, 'x')

            def ask():
                logs = self.useFixture(fixtures.FakeLogger())
                with contextlib.suppress(exception.TransactionForked):
                    session.scalar(sa.text('SELECT 1'))
                return logs.output

            self.assertEqual('', in_child(ask))

    def test_child_may_open_other_transactions_meanwhile(self):
        self._used(2)
        cctxt = self.targeted('cell1')
        with self.database.reader.using(cctxt):

            def work():
                other = self.targeted('cell1')
                beside = self.targeted('cell2', cctxt)
                return self.words(other), self.words(beside)

            self.assertEqual((['cell1'], ['cell2']), in_child(work))
            self.assertEqual(['cell1'], self.words(cctxt))

    def test_locks_that_others_held_at_fork_do_not_hang_the_child(self):
        context = self._used(2)
        registry = self.router._registry
        engines = registry.engines(self.deployment.cells[0].uuid)
        session = self.database.get_session(self.targeted('cell1'))
        held, done = threading.Event(), threading.Event()

        def hold():
            with registry._state().lock, engines._free, engines._build_lock:
                held.set()
                done.wait(helpers.PATIENCE)

        with helpers.Background(hold):
            try:
                self.assertTrue(held.wait(helpers.PATIENCE))

                def work():
                    found = self.words(self.targeted('cell1', context))
                    with contextlib.suppress(exception.TransactionForked):
                        session.close()
                    self.router.cells.update('cell2', name='other')
                    self.router.close()
                    return found

                self.assertEqual(['cell1'], in_child(work))
            finally:
                done.set()
        session.close()
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))

    def test_closing_the_router_in_the_child_leaves_the_parents_open(self):
        context = self._used(1)

        def work():
            self.words(self.targeted('cell1', context))
            self.router.close()
            return threading.active_count()

        in_child(work)
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))


_ORDERLY_END = """
import os, sys
import sqlalchemy as sa
from oslo_config import cfg
import cellplug

conf = cfg.ConfigOpts()
cellplug.register_opts(conf)
conf([], project='cellplug', default_config_files=[])
conf.set_override('connection', os.environ['API_URL'], 'api_database')
database = cellplug.Database()
router = cellplug.CellRouter.from_conf(conf, database=database)
context = cellplug.RequestContext()
add = sa.text("INSERT INTO note (word) VALUES (:word)")
with router.target_cell(context, 'cell1') as cctxt:
    session = database.get_session(cctxt)
    session.execute(sa.text('SELECT 1'))
    child = None
    try:
        with database.writer.using(cctxt) as own:
            own.execute(add, {'word': 'parent'})
            child = os.fork()
            if not child:
                sys.exit(7)
            status = os.waitpid(child, 0)[1]
            own.execute(add, {'word': 'parent again'})
        session.close()
    finally:
        router.close()
sys.exit(0 if os.waitstatus_to_exitcode(status) == 7 else 1)
"""


class OrderlyEndTests:
    """A child that ends in good order, with all of the interpreter's rites."""

    def test_end_of_the_child_leaves_the_parents_transaction_alone(self):
        self.deploy(1)
        done = subprocess.run(
            [sys.executable, '-c', _ORDERLY_END],
            env={**os.environ, 'API_URL': self.deployment.api_url},
            capture_output=True,
            text=True,
            timeout=2 * helpers.PATIENCE,
        )
        self.assertEqual('', done.stderr)
        self.assertEqual(0, done.returncode)
        self.assertEqual(
            ['cell1', 'parent', 'parent again'],
            helpers.stored(self.deployment.cells[0].database_connection),
        )


class TestForkOnSqlite(ForkTests, helpers.DeploymentTestCase):
    pass


class TestForkOnMariaDB(
    ForkTests, OrderlyEndTests, helpers.DeploymentTestCase
):
    backend = 'mariadb'


class TestForkOnPostgreSQL(
    ForkTests, OrderlyEndTests, helpers.DeploymentTestCase
):
    backend = 'postgresql'
