"""Eight processes on one hot project, killed at random: limits hold.

CELLPLUG_STRESS_SECONDS=600 makes each run that long.
"""

from __future__ import annotations

import contextlib

import fixtures as third_party
import testtools

import cellplug
from cellplug.testing import fixtures
from tests.functional import helpers_quota_sql as sql
from tests.functional import helpers_quota_stress as stress

WORKERS = 8


class StressTestCase(testtools.TestCase):
    backend = 'sqlite'

    def setUp(self):
        super().setUp()
        self.url = self.useFixture(fixtures.DatabaseFixture(self.backend)).url
        self.folder = self.useFixture(third_party.TempDir()).path
        cellplug.sync_api_database(stress.open_conf(self.url))

    def run_stress(self, open_books, duration, **options):
        run = stress.Stress(
            self.folder, [self.url], open_books, workers=WORKERS
        )
        return run.run(duration, **options)

    def rows(self):
        """The usages, and how many reservations are open."""
        with contextlib.closing(stress.connect(self.url)) as connection:
            handles = 'SELECT COUNT(DISTINCT uuid) FROM reservations'
            return (
                stress.read(connection, stress.USAGES),
                stress.read(connection, handles)[0][0],
            )


class _Stress(StressTestCase):
    """What holds on each kind of server."""

    def test_limits_hold_and_the_books_are_right_in_the_end(self):
        with contextlib.closing(stress.RouterBooks(self.url)) as books:
            books.set_limits()

        outcome = self.run_stress(
            stress.RouterBooks, stress.seconds(8), kill_every=0.4
        )

        steps = outcome.steps
        self.assertEqual([], outcome.errors)
        self.assertNotIn('lost', steps)
        (sampling,) = outcome.samplings
        self.assertEqual([], sampling.faults)
        # It was a stress: the limits were reached, with many looking.
        self.assertEqual(stress.LIMITS, sampling.peaks)
        self.assertGreater(sampling.samples, 100)
        self.assertGreater(outcome.kills, 5)
        for step in stress.ENDS:
            self.assertGreater(steps[step], 10, step)
        # Only who was killed between a COMMIT and its line left something.
        _, left = self.rows()
        self.assertLessEqual(left, outcome.kills)
        with contextlib.closing(
            stress.RouterBooks(self.url, ahead=3 * 86400)
        ) as books:
            books.expire()
        usages, reservations = self.rows()
        self.assertEqual(0, reservations)
        self.assertEqual(
            [], [row for row in usages if row[3]], 'something stays reserved'
        )
        in_use = {(user, name): n for user, name, n, _ in usages if n}
        self.assertEqual(outcome.in_use(), in_use)


class TestOnMariaDB(_Stress):
    backend = 'mariadb'


class TestOnPostgreSQL(_Stress):
    backend = 'postgresql'


del _Stress


class TestTheHarness(StressTestCase):
    """It sees what it is there to see, in books that are wrong."""

    backend = 'postgresql'

    def setUp(self):
        super().setUp()
        sql.make_usages(self.url, [f'user{n}' for n in range(WORKERS)])

    def look_at(self, open_books, **options):
        """What is wrong with these books, by the words for it."""
        outcome = self.run_stress(open_books, 0.5, **options)
        self.assertEqual([], outcome.errors)
        (sampling,) = outcome.samplings
        seen = ' '.join(sampling.faults).split()
        wrong = {'over', 'negative', 'users'} & set(seen)
        if self.rows()[1] > outcome.kills:
            wrong.add('left open')
        with contextlib.closing(open_books(self.url)) as books:
            books.expire()
        usages, _ = self.rows()
        if any(row[3] for row in usages):
            wrong.add('reserved')
        in_use = {(user, name): n for user, name, n, _ in usages if n}
        if in_use != outcome.in_use():
            wrong.add('in use')
        return wrong

    def test_right_books_are_right(self):
        self.assertEqual(set(), self.look_at(sql.RightBooks, kill_every=0.3))

    def test_a_look_before_an_unguarded_change_is_seen(self):
        self.assertIn('over', self.look_at(sql.Unguarded))

    def test_one_too_many_is_seen(self):
        self.assertIn('over', self.look_at(sql.OneTooMany))

    def test_a_user_that_is_forgotten_is_seen(self):
        self.assertIn('users', self.look_at(sql.ForgetsUsers))

    def test_what_stays_reserved_is_seen(self):
        self.assertIn('reserved', self.look_at(sql.KeepsReserved))

    def test_what_a_refusal_leaves_behind_is_seen(self):
        self.assertIn('left open', self.look_at(sql.Partial))

    def test_lost_commits_are_seen(self):
        self.assertIn('in use', self.look_at(sql.LosesCommits))
