"""Repeating what lost a conflict: how often, how long, and what counts."""

from __future__ import annotations

import sqlite3

import psycopg
import pymysql
import testtools
from oslo_db import exception as oslo_exception
from sqlalchemy import exc as sa_exc

import cellplug
from cellplug import exception
from cellplug.db import retry


class Trial:
    """A transaction that loses, and a clock that its tries move on.

    :ivar waits: what was slept between the tries, in seconds.
    """

    def __init__(self, *, takes=0.0, wins_at=None, error=None):
        self.tries = 0
        self.waits = []
        self._now = 0.0
        self._error = error or oslo_exception.DBDeadlock()
        self._takes = takes
        self._wins_at = wins_at
        self._retried = retry.retrying(
            self._try,
            lambda args, kwargs: args[0],
            clock=lambda: self._now,
            sleep=self._sleep,
        )

    def run(self):
        return self._retried(cellplug.RequestContext())

    @property
    def lasted(self):
        return self._now

    def _sleep(self, seconds):
        self.waits.append(seconds)
        self._now += seconds

    def _try(self, context):
        self.tries += 1
        self._now += self._takes
        if self.tries == self._wins_at:
            return 'done'
        raise self._error


def database_error(orig):
    return sa_exc.OperationalError('UPDATE', {}, orig)


def lock_waits():
    """A lock that was waited for in vain, as each database says it."""
    mariadb = database_error(
        pymysql.err.OperationalError(1205, 'Lock wait timeout exceeded')
    )
    postgresql = database_error(
        psycopg.errors.LockNotAvailable('canceling statement')
    )
    sqlite = database_error(sqlite3.OperationalError('database is locked'))
    return {
        'mariadb': oslo_exception.DBDeadlock(mariadb),
        'mariadb, in other words': mariadb,
        'postgresql': postgresql,
        'sqlite': sqlite,
    }


class TestPatience(testtools.TestCase):
    def test_it_ends_with_the_first_success(self):
        trial = Trial(wins_at=5)
        self.assertEqual('done', trial.run())
        self.assertEqual(5, trial.tries)

    def test_short_conflicts_are_repeated_more_than_ten_times(self):
        trial = Trial(takes=0.005, wins_at=25)
        self.assertEqual('done', trial.run())

    def test_it_gives_up_with_the_error_of_the_last_try(self):
        trial = Trial(takes=0.005)
        self.assertRaises(exception.TransactionConflict, trial.run)
        self.assertGreater(trial.tries, 1 + retry.RETRIES)
        self.assertGreaterEqual(trial.lasted, retry.RETRY_FOR)
        self.assertLess(trial.lasted, retry.RETRY_FOR + 1)

    def test_conflicts_found_late_are_repeated_ten_times_all_the_same(self):
        for error in (
            oslo_exception.DBDeadlock(),
            oslo_exception.DBDeadlock(
                database_error(pymysql.err.OperationalError(1213, 'Deadlock'))
            ),
            database_error(psycopg.errors.SerializationFailure('no')),
        ):
            trial = Trial(takes=50.0, error=error)
            self.assertRaises(exception.TransactionConflict, trial.run)
            self.assertEqual(1 + retry.RETRIES, trial.tries, error)

    def test_lock_waits_end_with_the_time_however_few_they_were(self):
        """Each has waited already, for as long as the database lets it."""
        for kind, error in lock_waits().items():
            trial = Trial(takes=12.0, error=error)
            conflict = self.assertRaises(
                exception.TransactionConflict, trial.run
            )
            self.assertEqual((3, 3), (trial.tries, conflict.tries), kind)
            self.assertIs(error, conflict.__cause__)
            trial = Trial(takes=50.0, error=error)
            self.assertRaises(exception.TransactionConflict, trial.run)
            self.assertEqual(1, trial.tries, kind)

    def test_short_lock_waits_are_repeated_until_the_time_is_over(self):
        for kind, error in lock_waits().items():
            trial = Trial(takes=0.005, wins_at=25, error=error)
            self.assertEqual('done', trial.run(), kind)
            trial = Trial(takes=0.005, error=error)
            self.assertRaises(exception.TransactionConflict, trial.run)
            self.assertGreaterEqual(trial.lasted, retry.RETRY_FOR)

    def test_it_claims_no_more_than_it_knows(self):
        """The function may have committed to another database before."""
        conflict = self.assertRaises(
            exception.TransactionConflict, Trial(takes=50.0).run
        )
        self.assertIn('rolled back where it lost', str(conflict))
        self.assertNotIn('nothing', str(conflict).lower())

    def test_waits_differ_and_are_bounded(self):
        trial = Trial()
        self.assertRaises(exception.TransactionConflict, trial.run)
        self.assertEqual(len(trial.waits), len(set(trial.waits)))
        self.assertLessEqual(max(trial.waits), 0.5)
        # Who lost first is soon there again.
        self.assertLessEqual(trial.waits[0], 0.05)

    def test_other_errors_go_through_at_once(self):
        trial = Trial()
        trial._takes = None
        self.assertRaises(TypeError, trial.run)
        self.assertEqual((1, []), (trial.tries, trial.waits))


class TestConflicts(testtools.TestCase):
    """Known by their number, however the server words them."""

    def test_certification_conflicts_in_any_words(self):
        for words in (
            'Deadlock found when trying to get lock; try restarting',
            'WSREP detected deadlock/conflict and aborted the transaction',
        ):
            for kind in (
                pymysql.err.OperationalError,
                pymysql.err.InternalError,
            ):
                error = sa_exc.OperationalError(
                    'COMMIT', {}, kind(1213, words)
                )
                self.assertTrue(retry.is_conflict(error), words)

    def test_a_lock_wait_is_one_and_a_syntax_error_is_none(self):
        for number, expected in ((1205, True), (1064, False), (1047, False)):
            error = sa_exc.OperationalError(
                'SELECT', {}, pymysql.err.OperationalError(number, 'words')
            )
            self.assertEqual(expected, retry.is_conflict(error), number)

    def test_errors_without_arguments(self):
        error = sa_exc.OperationalError('SELECT', {}, Exception())
        self.assertFalse(retry.is_conflict(error))
        self.assertFalse(retry.is_conflict(exception.CellplugError()))
