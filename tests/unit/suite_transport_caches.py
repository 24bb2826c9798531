"""What every transport cache is tested for."""

from __future__ import annotations

import random
import sys
import threading
from typing import Any

from cellplug import exception
from tests.unit import helpers_transports as helpers

DEADLINE = helpers.DEADLINE


class EveryCache(helpers.CacheCase):
    """What holds for every transport cache."""

    def test_each_url_has_its_own_transport(self) -> None:
        with self.cache.use('a:') as first, self.cache.use('b:') as other:
            self.assertIsNot(first, other)
            self.assertEqual(('a:', 'b:'), (first.url, other.url))

    def test_unknown_urls_may_be_retired(self) -> None:
        self.cache.retire('unknown:')
        self.assertEqual([], self.host.opened)

    def test_one_that_does_not_open_leaves_nothing_behind(self) -> None:
        opened = self.host.opener

        def refuse(url: str) -> Any:
            raise exception.InvalidURL('transport_url', 'is wrong')

        self.host.opener = refuse
        self.assertRaises(exception.InvalidURL, self.cache.use('a:').__enter__)
        self.host.opener = opened
        with self.cache.use('a:') as transport:
            self.assertEqual('a:', transport.url)

    def test_an_error_in_the_block_is_the_callers(self) -> None:
        def fail() -> None:
            with self.cache.use('a:'):
                raise ValueError('in the block')

        self.assertRaises(ValueError, fail)
        self.cache.close()
        self.assertEqual({'a:': 1}, self.host.closed())

    def test_close_waits_for_no_user_and_closes_all_others(self) -> None:
        self.visit('b:')
        with self.cache.use('a:') as used:
            self.cache.close()
            self.assertEqual({'a:': 0, 'b:': 1}, self.host.closed())
        self.assertEqual(1, used.closed)
        self.cache.close()
        self.assertEqual({'a:': 1, 'b:': 1}, self.host.closed())

    def test_after_close_there_is_no_new_one(self) -> None:
        self.cache.close()
        self.assertRaises(
            exception.RouterClosed, self.cache.use('a:').__enter__
        )
        self.assertEqual([], self.host.opened)

    def test_after_close_there_is_no_new_one_in_a_child_either(self) -> None:
        self.cache.close()

        def work() -> bool:
            try:
                self.visit('a:')
            except exception.RouterClosed:
                return not self.host.opened
            return False

        self.assertTrue(helpers.in_child(work))

    def test_one_that_opens_while_the_cache_closes_is_closed(self) -> None:
        opening, go_on = threading.Event(), threading.Event()
        opened = self.host.opener

        def slow(url: str) -> Any:
            opening.set()
            go_on.wait(DEADLINE)
            return opened(url)

        self.host.opener = slow
        user = threading.Thread(target=self.visit, args=('a:',))
        user.start()
        self.assertTrue(opening.wait(DEADLINE))
        closer = threading.Thread(target=self.cache.close)
        closer.start()
        closer.join(0.1)
        go_on.set()
        for thread in (user, closer):
            thread.join(DEADLINE)
            self.assertFalse(thread.is_alive())
        self.assertEqual({'a:': 1}, self.host.closed())

    def test_a_child_opens_its_own_and_leaves_the_parents(self) -> None:
        with self.cache.use('a:') as mine:

            def work() -> bool:
                with self.cache.use('a:') as own:
                    is_own = own is not mine
                self.cache.retire('a:')
                self.cache.close()
                return is_own and own.closed == 1 and mine.closed == 0

            self.assertTrue(helpers.in_child(work))
            self.assertEqual(0, mine.closed)

    def test_a_child_leaves_no_block_of_the_parents(self) -> None:
        block = self.cache.use('a:')
        mine = block.__enter__()
        self.cache.retire('a:')

        def work() -> bool:
            block.__exit__(None, None, None)
            return mine.closed == 0

        self.assertTrue(helpers.in_child(work))
        block.__exit__(None, None, None)
        self.assertEqual(1, mine.closed)

    def test_a_child_waits_for_no_lock_of_the_parents(self) -> None:
        opening, go_on = threading.Event(), threading.Event()
        opened = self.host.opener

        def slow(url: str) -> Any:
            if url == 'slow:':
                opening.set()
                go_on.wait(DEADLINE)
            return opened(url)

        self.host.opener = slow
        user = threading.Thread(target=self.visit, args=('slow:',))
        user.start()
        self.assertTrue(opening.wait(DEADLINE))

        def work() -> bool:
            child = threading.Thread(
                target=self.visit, args=('a:',), daemon=True
            )
            child.start()
            child.join(DEADLINE)
            return not child.is_alive()

        try:
            self.assertTrue(helpers.in_child(work))
        finally:
            go_on.set()
            user.join(DEADLINE)

    def test_no_repr_shows_a_url(self) -> None:
        with self.cache.use('rabbit://u:secret@h/'):
            self.assertNotIn('secret', repr(self.cache))


class KeepingCache(EveryCache):
    """What holds for a cache that keeps transports."""

    def test_a_url_has_one_transport(self) -> None:
        with self.cache.use('a:') as first:
            with self.cache.use('a:') as at_once:
                self.assertIs(first, at_once)
        with self.cache.use('a:') as again:
            self.assertIs(first, again)
        self.assertEqual(0, first.closed)

    def test_threads_that_ask_at_once_get_the_same(self) -> None:
        seen: list[Any] = []

        def work(number: int) -> None:
            with self.cache.use('a:') as transport:
                seen.append(transport)

        self.assertEqual([], helpers.in_threads(16, work))
        self.assertEqual(16, len(seen))
        self.assertEqual([seen[0]], self.host.opened)

    def test_a_retired_one_closes_once_when_its_last_user_leaves(self) -> None:
        with self.cache.use('a:') as transport:
            with self.cache.use('a:'):
                self.cache.retire('a:')
                self.cache.retire('a:')
                self.assertEqual(0, transport.closed)
            self.assertEqual(0, transport.closed)
        self.assertEqual(1, transport.closed)
        self.cache.close()
        self.assertEqual(1, transport.closed)

    def test_an_unused_one_closes_as_it_is_retired(self) -> None:
        self.visit('a:')
        self.cache.retire('a:')
        self.assertEqual({'a:': 1}, self.host.closed())

    def test_use_after_retirement_opens_a_new_one(self) -> None:
        with self.cache.use('a:') as first:
            self.cache.retire('a:')
            with self.cache.use('a:') as second:
                self.assertIsNot(first, second)
        self.assertEqual((1, 0), (first.closed, second.closed))
        with self.cache.use('a:') as third:
            self.assertIs(second, third)

    def test_a_broken_one_is_replaced(self) -> None:
        with self.cache.use('a:') as first:
            first.broken = True
        self.assertEqual(1, first.closed)
        with self.cache.use('a:') as second:
            self.assertIsNot(first, second)

    def test_a_broken_one_is_replaced_while_it_is_used(self) -> None:
        with self.cache.use('a:') as first, self.cache.use('a:'):
            first.broken = True
            with self.cache.use('a:') as second:
                self.assertIsNot(first, second)
            self.assertEqual(0, first.closed)
        self.assertEqual((1, 0), (first.closed, second.closed))

    def test_one_that_broke_while_nobody_used_it_is_closed(self) -> None:
        with self.cache.use('a:') as first:
            pass
        first.broken = True
        with self.cache.use('a:') as second:
            self.assertIsNot(first, second)
        self.assertEqual(1, first.closed)

    def test_a_broken_one_whose_successor_does_not_open_closes(self) -> None:
        with self.cache.use('a:') as first:
            first.broken = True

            def refuse(url: str) -> Any:
                raise exception.InvalidURL('transport_url', 'is wrong')

            self.host.opener = refuse
            self.assertRaises(
                exception.InvalidURL, self.cache.use('a:').__enter__
            )
            self.assertEqual(0, first.closed)
        self.assertEqual(1, first.closed)

    def test_one_that_fails_to_close_keeps_no_other_from_closing(self) -> None:
        self.visit('a:', 'b:', 'c:')

        def fail() -> None:
            raise ValueError('on closing')

        self.host.opened[1].close = fail  # type: ignore[method-assign]
        self.assertRaises(ValueError, self.cache.close)
        self.assertEqual({'a:': 1, 'b:': 0, 'c:': 1}, self.host.closed())


class Watched(helpers.Opened):
    """A transport that knows its users and objects to being closed early."""

    def __init__(self, url: str, wrong: list[str]) -> None:
        super().__init__(url)
        self._lock = threading.Lock()
        self._users = 0
        self._wrong = wrong

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self.closed:
                self._wrong.append(f'{self.url} was lent when it was closed')

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1

    def close(self) -> None:
        with self._lock:
            self.closed += 1
            if self._users:
                self._wrong.append(f'{self.url} was closed in use')


class UnderLoad:
    """Many threads that use, break and retire transports at once."""

    URLS = tuple(f'{number}:' for number in range(8))

    def check_under_load(self: Any) -> None:
        wrong: list[str] = []

        def opened(url: str) -> Any:
            self.host.opened.append(Watched(url, wrong))
            return self.host.opened[-1]

        self.host.opener = opened
        interval = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, interval)
        sys.setswitchinterval(1e-5)
        raised = helpers.in_threads(24, self.work)
        self.assertEqual([], raised)
        self.cache.close()
        self.assertEqual([], wrong[:5])
        self.assertEqual(
            {1}, {transport.closed for transport in self.host.opened}
        )

    def work(self: Any, number: int) -> None:
        dice = random.Random(number)
        for _ in range(150):
            url = dice.choice(self.URLS)
            with self.cache.use(url) as transport, transport:
                chance = dice.random()
                if chance < 0.1:
                    transport.broken = True
                elif chance < 0.2:
                    self.cache.retire(url)
                elif chance < 0.4:
                    with self.cache.use(dice.choice(self.URLS)) as other:
                        with other:
                            pass
