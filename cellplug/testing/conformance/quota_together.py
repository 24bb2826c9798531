"""The suite of quota drivers: many at once, in threads and processes."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import quota_base

THREADS = 16
LIMIT = 5
ROUNDS = 10

Capability = quota_base.Capability


class TogetherChecks(quota_base.QuotaCase):
    """Never one too many, and each reservation ends once."""

    def setUp(self) -> None:
        super().setUp()
        self.skip_own(TogetherChecks, Capability.RESERVATIONS)

    # -- threads -----------------------------------------------------------

    def _try(self, number: int) -> str:
        try:
            return self.reserve(limit=LIMIT, user=f'u{number}', servers=1)
        except exception.OverQuota:
            return ''

    @base.area('threads')
    def test_exactly_the_limit_is_admitted(self) -> None:
        self.use(cores=1)
        own = self.project
        for number in doing.rounds(3, 100, 1.0):
            self.project = f'{own}-{number}'
            handles = doing.together(THREADS, self._try)
            self.assertEqual(LIMIT, len([one for one in handles if one]))
            self.assertEqual((0, LIMIT), self.usage('servers'))

    @base.area('threads')
    def test_first_reservations_agree_on_one_count(self) -> None:
        self.exist(servers=2)
        own = self.project

        def work(number: int) -> str:
            try:
                return self.reserve(limit=LIMIT, servers=1)
            except exception.OverQuota:
                return ''

        for number in doing.rounds(1):
            self.project = f'{own}-{number}'
            handles = doing.together(THREADS, work)
            self.assertEqual(LIMIT - 2, len([one for one in handles if one]))
            self.assertEqual((2, LIMIT - 2), self.usage('servers'))

    @base.area('threads')
    def test_of_several_commits_one_wins(self) -> None:
        for number in doing.rounds(1):
            handle = self.reserve(servers=2)

            def work(number: int, handle: str = handle) -> int:
                return self._commit_if_open(handle)

            self.assertEqual(1, sum(doing.together(THREADS, work)))
            self.assertEqual((2 + 2 * number, 0), self.usage('servers'))

    @base.area('threads')
    def test_a_commit_and_a_rollback_do_not_both_win(self) -> None:
        expected = 0
        for _ in doing.rounds(ROUNDS):
            handle = self.reserve(servers=2)

            def work(number: int, handle: str = handle) -> int:
                if number:
                    self.rollback(handle)
                    return 0
                return 2 * self._commit_if_open(handle)

            expected += sum(doing.together(2, work))
            self.assertEqual((expected, 0), self.usage('servers'))

    @base.area('threads')
    def test_a_commit_and_an_expiry_do_not_both_win(self) -> None:
        self.use(servers=0)
        clock: Any = self.host.clock
        committed = 0
        for _ in doing.rounds(ROUNDS):
            handle = self.reserve(servers=2, expire=1)
            clock.advance(5)

            def work(number: int, handle: str = handle) -> tuple[int, int]:
                if number:
                    return 0, self.subject.expire(self.context)
                return self._commit_if_open(handle), 0

            ends = doing.together(3, work)
            won = sum(one for one, _ in ends)
            expired = sum(one for _, one in ends)
            committed += won
            self.assertEqual(1, won + expired, 'ends of one reservation')
            self.assertEqual(0, self.usage('servers')[1], 'reserved')
            # What expired is due: the next round counts.
            self.exist(servers=2 * committed)
            self._check_in_use(2 * committed)

    def _commit_if_open(self, handle: str) -> int:
        """Commit; how many that were."""
        try:
            self.commit(handle)
        except exception.ReservationNotFound:
            return 0
        return 1

    def _check_in_use(self, number: int) -> None:
        for user in (None, quota_base.USER):
            self.assertEqual((number, 0), self.usage('servers', user))

    @base.area('threads')
    def test_of_several_expiries_one_wins(self) -> None:
        self.use(servers=3)
        for _ in range(ROUNDS):
            self.reserve(servers=1, expire=1)
        clock: Any = self.host.clock
        clock.advance(5)
        ended = doing.together(
            4, lambda number: self.subject.expire(self.context)
        )
        self.assertEqual(ROUNDS, sum(ended))
        self._check_in_use(3)

    @base.area('threads')
    def test_the_order_of_resources_does_not_matter(self) -> None:
        names = ['servers', 'cores', 'ram']
        self.use(servers=0, cores=0, ram=0)

        def work(number: int) -> None:
            deltas: Any = dict.fromkeys(names[:: 1 if number % 2 else -1], 1)
            for _ in range(ROUNDS):
                handle = self.reserve(**deltas)
                if number % 3:
                    self.commit(handle)
                else:
                    self.rollback(handle)

        doing.together(6, work)
        for name in names:
            self.assertEqual((4 * ROUNDS, 0), self.usage(name))

    # -- processes ---------------------------------------------------------

    def _in_children(self, *works: Callable[[], object]) -> None:
        """Do each in a child, at once; this process does nothing."""
        shared = self.source.shared
        if shared is None:
            raise unittest.SkipTest(
                'the harness does not say whether a child process has the '
                'same source: set its "shared" to True or False'
            )
        if not shared:
            self.not_applicable('its source is not shared by processes')
        children = [doing.Child(work) for work in works]
        for child in children:
            child.wait()

    @base.area('fork')
    def test_processes_share_one_limit(self) -> None:
        def work() -> None:
            for number in range(LIMIT):
                self._try(number)

        self._in_children(*[work] * 4)
        self.assertEqual((0, LIMIT), self.usage('servers'))

    @base.area('fork')
    def test_first_reservations_of_processes_agree(self) -> None:
        self.exist(servers=2)

        def work() -> None:
            for number in range(ROUNDS):
                self.commit(self.reserve(user=f'u{number}', servers=1))

        self._in_children(*[work] * 4)
        # What is created meanwhile is not in what the others count.
        self.assertEqual((2 + 4 * ROUNDS, 0), self.usage('servers'))
        for number in range(ROUNDS):
            self.assertEqual((4, 0), self.usage('servers', f'u{number}'))

    @base.area('fork')
    def test_of_a_commit_and_the_expiries_of_processes_one_wins(self) -> None:
        self.use(servers=0, commits=0)
        handles = [self.reserve(servers=1, expire=1) for _ in range(30)]
        clock: Any = self.host.clock
        clock.advance(5)

        def commit() -> None:
            for handle in handles:
                if self._commit_if_open(handle):
                    self.use(commits=1)

        def expire() -> None:
            self.subject.expire(self.context)

        self._in_children(commit, expire, expire)
        self.assertEqual([], self.reservations())
        self._check_in_use(self.usage('commits')[0])
