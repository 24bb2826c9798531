"""The suite of quota drivers: how reservations end, and what is recounted."""

from __future__ import annotations

import datetime
from typing import Any

from cellplug import exception
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import harnesses
from cellplug.testing.conformance import quota_base

USER = quota_base.USER


class EndingChecks(quota_base.QuotaCase):
    """A reservation ends exactly once."""

    def setUp(self) -> None:
        super().setUp()
        self.skip_own(EndingChecks, quota_base.Capability.RESERVATIONS)

    def test_a_commit_turns_it_into_use(self) -> None:
        self.commit(self.reserve(servers=2, cores=3))
        self.assertEqual((2, 0), self.usage('servers'))
        self.assertEqual((3, 0), self.usage('cores'))
        self.assertEqual((2, 0), self.usage('servers', USER))

    def test_a_rollback_gives_it_back(self) -> None:
        self.rollback(self.reserve(servers=2))
        self.assertEqual((0, 0), self.usage('servers'))
        self.assertEqual((0, 0), self.usage('servers', USER))
        self.reserve(limit=2, servers=2)

    def test_a_second_commit_is_refused(self) -> None:
        handle = self.reserve(servers=2)
        self.commit(handle)
        error = self.refused(
            exception.ReservationNotFound, self.commit, handle
        )
        self.assertEqual(handle, error.handle)
        self.assertEqual((2, 0), self.usage('servers'))

    def test_a_commit_behind_a_rollback_is_refused(self) -> None:
        handle = self.reserve(servers=2)
        self.rollback(handle)
        self.refused(exception.ReservationNotFound, self.commit, handle)
        self.assertEqual((0, 0), self.usage('servers'))

    def test_a_rollback_of_what_ended_is_ignored(self) -> None:
        committed, rolled_back = self.reserve(servers=2), self.reserve(cores=1)
        self.commit(committed)
        self.rollback(committed)
        self.rollback(rolled_back)
        self.rollback(rolled_back)
        self.rollback('no-such-handle')
        self.assertEqual((2, 0), self.usage('servers'))
        self.assertEqual((0, 0), self.usage('cores'))

    def test_a_commit_of_the_unknown_is_refused(self) -> None:
        self.refused(
            exception.ReservationNotFound, self.commit, 'no-such-handle'
        )

    def test_anybody_may_end_it(self) -> None:
        handles = [self.reserve(servers=1) for _ in range(2)]
        other = harnesses.Context(user_id='other', project_id='other')
        self.subject.commit(other, handles[0])
        self.subject.rollback(other, handles[1])
        self.assertEqual((1, 0), self.usage('servers'))

    # -- expiry ------------------------------------------------------------

    def test_an_expired_one_is_given_back(self) -> None:
        kept, late = self.reserve(cores=1), self.reserve(servers=2, expire=1)
        self.expire()
        self.assertEqual((0, 0), self.usage('servers'))
        self.assertEqual((0, 1), self.usage('cores'))
        self.refused(exception.ReservationNotFound, self.commit, late)
        self.rollback(late)
        self.commit(kept)

    def test_expire_says_how_many_they_were(self) -> None:
        clock: Any = self.host.clock
        self.reserve(servers=1, cores=1, expire=1)
        self.reserve(servers=1, expire=1)
        self.reserve(ram=1)
        clock.advance(5)
        found = 0

        def ended() -> None:
            nonlocal found
            found += self.subject.expire(self.context)
            self.assertEqual(0, self.usage('servers')[1], 'still reserved')

        doing.eventually(ended, 20)
        self.assertEqual(2, found)
        self.assertEqual(0, self.subject.expire(self.context))

    def test_a_time_may_be_given_in_several_ways(self) -> None:
        soon = datetime.timedelta(seconds=1)
        now = datetime.datetime.now(datetime.UTC)
        for expire in (1, 1.0, soon, now + soon):
            self.reserve(servers=1, expire=expire)
        naive = now.replace(tzinfo=None) + datetime.timedelta(days=1)
        self.reserve(cores=1, expire=naive)
        self.expire()
        self.assertEqual((0, 1), self.usage('cores'))

    def test_a_time_that_is_none_is_refused(self) -> None:
        gone = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        for wrong in (
            'tomorrow', [1], True, float('nan'), 1e300, 0, -1, gone
        ):  # fmt: skip
            self.refused(
                exception.InvalidInput,
                self.reserve,
                servers=1,
                expire=wrong,
            )
        self.assertEqual((0, 0), self.usage('servers'))

    # -- what is open ------------------------------------------------------

    def test_open_reservations_are_listed(self) -> None:
        last = self.reserve(servers=2, cores=-1, expire=300)
        first = self.reserve(user=None, ram=1, expire=100)
        second = self.reserve(user='other', servers=1, expire=200)
        self.commit(self.reserve(servers=1))
        self.rollback(self.reserve(servers=1))
        found = self.reservations()
        self.assertEqual([first, second, last], [one.handle for one in found])
        self.assertEqual(
            [{'ram': 1}, {'servers': 1}, {'servers': 2, 'cores': -1}],
            [dict(one.deltas) for one in found],
        )
        self.assertEqual(
            [(self.project, user) for user in (None, 'other', USER)],
            [(one.project_id, one.user_id) for one in found],
        )
        for seconds, one in zip((100, 200, 300), found, strict=True):
            self.assertIsNone(one.expire.tzinfo)
            moment = one.expire.replace(tzinfo=datetime.UTC).timestamp()
            ahead = moment - self.host.clock()
            self.assertTrue(
                seconds - 60 < ahead <= seconds + 1, f'{ahead} s ahead'
            )

    def test_open_reservations_are_listed_by_owner(self) -> None:
        mine = self.reserve(servers=1)
        self.reserve(user='other', servers=1)
        self.reserve(user=None, servers=1)
        [found] = self.reservations(user_id=USER)
        self.assertEqual(mine, found.handle)
        everybodys = self.reservations(project_id=None)
        self.assertIn(mine, [one.handle for one in everybodys])
        self.project += '-other'
        self.assertEqual([], self.reservations())

    def test_a_reservation_of_what_has_no_users_has_one(self) -> None:
        self.reserve(per_project=['networks'], networks=1, servers=1)
        [found] = self.reservations(user_id=USER)
        self.assertEqual({'networks': 1, 'servers': 1}, dict(found.deltas))
