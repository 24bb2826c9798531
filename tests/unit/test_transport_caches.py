"""The ``process`` and ``none`` transport caches."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any

from tests.unit import helpers_transports as helpers
from tests.unit import suite_transport_caches as suite


class ProcessTransportCacheTest(suite.UnderLoad, suite.KeepingCache):
    driver = 'process'

    def test_each_closes_once_and_not_in_use_under_load(self) -> None:
        self.check_under_load()

    def test_all_are_kept(self) -> None:
        urls = [f'{number}:' for number in range(200)]
        self.visit(*urls, *urls)
        self.assertEqual(dict.fromkeys(urls, 0), self.host.closed())
        self.assertEqual(200, len(self.host.opened))


class NoTransportCacheTest(suite.EveryCache):
    driver = 'none'

    def test_each_block_has_a_transport_of_its_own(self) -> None:
        with self.cache.use('a:') as first, self.cache.use('a:') as second:
            self.assertIsNot(first, second)
        with self.cache.use('a:') as third:
            self.assertNotIn(third, (first, second))

    def test_it_is_closed_behind_the_block(self) -> None:
        with self.cache.use('a:') as transport:
            self.assertEqual(0, transport.closed)
        self.assertEqual(1, transport.closed)

    def test_a_retired_url_is_used_to_the_end(self) -> None:
        with self.cache.use('a:') as transport:
            self.cache.retire('a:')
            self.assertEqual(0, transport.closed)
        self.assertEqual(1, transport.closed)

    def test_it_keeps_nothing_and_says_so(self) -> None:
        self.assertEqual(frozenset(), self.cache.capabilities)

    def test_many_threads_each_have_their_own(self) -> None:
        def work(number: int) -> None:
            for _ in range(20):
                with self.cache.use('a:') as transport:
                    if transport.closed:
                        raise AssertionError('it is closed')

        self.assertEqual([], helpers.in_threads(16, work))
        self.assertEqual(320, len(self.host.opened))
        self.assertEqual({1}, {one.closed for one in self.host.opened})

    def test_they_open_one_at_a_time(self) -> None:
        """oslo.config does not expect to learn options in two threads."""
        opened, at_once = self.host.opener, threading.Semaphore(1)
        crowded: list[str] = []

        def alone(url: str) -> Any:
            if not at_once.acquire(blocking=False):
                crowded.append(url)
                return opened(url)
            with contextlib.ExitStack() as stack:
                stack.callback(at_once.release)
                for _ in range(1000):
                    pass
                return opened(url)

        self.host.opener = alone
        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        sys.setswitchinterval(1e-6)

        def work(number: int) -> None:
            for _ in range(20):
                self.visit('a:')

        self.assertEqual([], helpers.in_threads(8, work))
        self.assertEqual([], crowded)
