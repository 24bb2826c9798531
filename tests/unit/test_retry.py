"""Repeating what lost a conflict: how often, how long, and what counts."""

from __future__ import annotations

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

    def __init__(self, *, takes=0.0, wins_at=None):
        self.tries = 0
        self.waits = []
        self._now = 0.0
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
        raise oslo_exception.DBDeadlock


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

    def test_long_lock_waits_are_repeated_ten_times_all_the_same(self):
        trial = Trial(takes=50.0)
        self.assertRaises(exception.TransactionConflict, trial.run)
        self.assertEqual(1 + retry.RETRIES, trial.tries)

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
