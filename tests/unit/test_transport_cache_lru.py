"""The ``lru`` transport cache: how many, how long, and who watches."""

from __future__ import annotations

import threading
from typing import Any

import fixtures
from oslo_config import cfg

from tests.unit import helpers_transports as helpers
from tests.unit import suite_transport_caches as suite


class LRUTransportCacheTest(suite.UnderLoad, suite.KeepingCache):
    driver = 'lru'

    def kept(self) -> list[str]:
        """The URLs of the transports that are open."""
        return [one.url for one in self.host.opened if not one.closed]

    def keep(self, most: int) -> None:
        self.cache = self.load(max_transports=most)

    def test_so_many_are_kept_and_the_least_recent_goes(self) -> None:
        self.keep(2)
        self.visit('a:', 'b:')
        self.assertEqual(['a:', 'b:'], self.kept())
        self.visit('c:')
        self.assertEqual(['b:', 'c:'], self.kept())
        self.visit('b:', 'd:')
        self.assertEqual(['b:', 'd:'], self.kept())

    def test_one_may_be_kept(self) -> None:
        self.keep(1)
        self.visit('a:', 'b:', 'c:', 'c:')
        self.assertEqual(['c:'], self.kept())
        self.assertEqual(3, len(self.host.opened))

    def test_what_is_in_use_goes_when_its_last_user_leaves(self) -> None:
        self.keep(1)
        with self.cache.use('a:') as first:
            with self.cache.use('a:'):
                self.visit('b:')
                self.assertEqual(['a:', 'b:'], self.kept())
            self.assertEqual(0, first.closed)
        self.assertEqual(['b:'], self.kept())
        self.assertEqual(1, first.closed)

    def test_what_is_in_use_and_too_many_is_still_shared(self) -> None:
        self.keep(1)
        with self.cache.use('a:') as first:
            self.visit('b:')
            with self.cache.use('a:') as again:
                self.assertIs(first, again)
        self.assertEqual(['a:'], self.kept())

    def test_a_call_that_hangs_takes_no_place_from_others(self) -> None:
        self.keep(2)
        with self.cache.use('hangs:'):
            for _ in range(5):
                self.visit('a:', 'b:')
            self.assertEqual(['hangs:', 'a:', 'b:'], self.kept())
        self.assertEqual(['a:', 'b:'], self.kept())

    def test_more_in_use_than_fit_close_as_they_are_left(self) -> None:
        self.keep(2)
        blocks = [self.cache.use(f'{number}:') for number in range(5)]
        for block in blocks:
            block.__enter__()
        self.assertEqual(5, len(self.kept()))
        for block in (blocks[4], blocks[0], blocks[3], blocks[2], blocks[1]):
            block.__exit__(None, None, None)
        self.assertEqual(['3:', '4:'], self.kept())

    def test_one_that_does_not_open_takes_no_place(self) -> None:
        self.keep(1)
        self.visit('a:')
        opened = self.host.opener

        def refuse(url: str) -> Any:
            raise ValueError(url)

        self.host.opener = refuse
        self.assertRaises(ValueError, self.visit, 'b:')
        self.host.opener = opened
        self.assertEqual(['a:'], self.kept())

    def test_a_retired_one_takes_no_place(self) -> None:
        self.keep(2)
        self.visit('a:', 'b:')
        self.cache.retire('b:')
        self.visit('c:')
        self.assertEqual(['a:', 'c:'], self.kept())

    def test_each_closes_once_and_not_in_use_under_load(self) -> None:
        self.keep(3)
        self.check_under_load()

    def test_no_more_than_so_many_are_left_under_load(self) -> None:
        self.keep(3)
        urls = [f'{number}:' for number in range(8)]

        def work(number: int) -> None:
            for step in range(100):
                self.visit(urls[(number * step) % 8])

        self.assertEqual([], helpers.in_threads(24, work))
        self.visit(*urls)
        self.assertEqual(['5:', '6:', '7:'], sorted(self.kept()))

    def test_numbers_that_make_no_sense_are_refused(self) -> None:
        for name, value in (
            ('max_transports', 0),
            ('idle_timeout', -1),
            ('idle_timeout', 1e10),
        ):
            options = {option.name: option for option in self.cache.options()}
            self.assertRaises(ValueError, options[name].type, str(value))
        self.assertIsInstance(options['idle_timeout'], cfg.IntOpt)


def watchers() -> set[threading.Thread]:
    """The threads that look for idle transports."""
    return {
        thread
        for thread in threading.enumerate()
        if thread.name == 'cellplug-idle'
    }


class IdleTest(helpers.CacheCase):
    """Transports that nobody uses for long are closed by themselves."""

    driver = 'lru'

    def setUp(self) -> None:
        super().setUp()
        self.before = watchers()
        self.clock = self.host.clock

    def let_idle(self, seconds: int) -> None:
        self.cache = self.load(idle_timeout=seconds)

    def is_closed(self, url: str) -> bool:
        return helpers.eventually(lambda: self.host.closed()[url] > 0)

    def test_an_idle_one_closes_once_its_time_is_over(self) -> None:
        self.let_idle(1)
        self.visit('a:')
        self.clock.now += 0.5
        self.visit('b:')
        self.clock.now += 0.4
        self.clock.wait_for_looks()
        self.assertEqual({'a:': 0, 'b:': 0}, self.host.closed())
        self.clock.now += 0.1
        self.assertTrue(self.is_closed('a:'))
        self.clock.wait_for_looks()
        self.assertEqual({'a:': 1, 'b:': 0}, self.host.closed())
        self.clock.now += 0.5
        self.assertTrue(self.is_closed('b:'))
        self.cache.close()
        self.assertEqual({'a:': 1, 'b:': 1}, self.host.closed())

    def test_one_in_use_is_not_idle(self) -> None:
        self.let_idle(1)
        with self.cache.use('a:') as first:
            with self.cache.use('a:'):
                pass
            self.clock.now += 1000
            self.clock.wait_for_looks()
            self.assertEqual(0, first.closed)
        self.clock.wait_for_looks()
        self.assertEqual(0, first.closed)
        self.clock.now += 1
        self.assertTrue(self.is_closed('a:'))

    def test_one_used_again_has_its_whole_time_again(self) -> None:
        self.let_idle(1)
        self.visit('a:')
        self.clock.now += 0.9
        self.visit('a:')
        self.clock.now += 0.9
        self.clock.wait_for_looks()
        self.assertEqual({'a:': 0}, self.host.closed())

    def test_a_clock_that_is_set_back_keeps_nothing_for_long(self) -> None:
        self.let_idle(1)
        self.visit('a:')
        self.clock.now = 10
        self.clock.wait_for_looks()
        self.assertEqual({'a:': 0}, self.host.closed())
        self.clock.now = 11
        self.assertTrue(self.is_closed('a:'))

    def test_the_next_use_opens_and_watches_a_new_one(self) -> None:
        self.let_idle(1)
        self.visit('a:')
        self.clock.now += 1
        self.assertTrue(self.is_closed('a:'))
        self.assertTrue(helpers.eventually(lambda: watchers() == self.before))
        self.visit('a:')
        self.assertEqual([1, 0], [one.closed for one in self.host.opened])
        self.clock.now += 1
        self.assertTrue(self.is_closed('a:'))

    def test_an_error_on_closing_does_not_end_the_watch(self) -> None:
        log = self.useFixture(fixtures.FakeLogger())
        self.let_idle(1)
        self.visit('a:', 'b:')

        def fail() -> None:
            raise ValueError('on closing')

        self.host.opened[0].close = fail  # type: ignore[method-assign]
        self.clock.now += 0.5
        self.visit('b:')
        self.clock.now += 0.5
        self.clock.wait_for_looks()
        self.clock.now += 0.5
        self.assertTrue(self.is_closed('b:'))
        self.assertIn('failed to close: ValueError', log.output)

    def test_one_thread_watches_and_ends_with_the_cache(self) -> None:
        self.let_idle(3600)

        def work(number: int) -> None:
            self.visit(f'{number}:')

        self.assertEqual([], helpers.in_threads(16, work))
        self.assertEqual(1, len(watchers() - self.before))
        self.cache.close()
        self.assertTrue(helpers.eventually(lambda: watchers() <= self.before))

    def test_without_a_timeout_nobody_watches(self) -> None:
        self.let_idle(0)
        self.visit('a:')
        self.clock.now += 1e9
        self.visit('b:')
        self.assertEqual(self.before, watchers())
        self.assertEqual({'a:': 0, 'b:': 0}, self.host.closed())

    def test_without_transports_nobody_watches(self) -> None:
        self.let_idle(1)
        self.assertEqual(self.before, watchers())

    def test_a_process_out_of_threads_goes_on(self) -> None:
        self.let_idle(1)

        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with fixtures.MonkeyPatch('threading.Thread.start', fail):
            self.visit('a:')
        self.visit('b:')
        self.clock.now += 1
        self.assertTrue(self.is_closed('a:'))

    def test_a_child_watches_its_own(self) -> None:
        self.let_idle(1)
        self.visit('a:')
        mine = self.host.opened[0]

        def work() -> bool:
            self.host.clock = helpers.Clock()
            self.visit('a:')
            own = self.host.opened[-1]
            self.host.clock.now += 1
            return (
                own is not mine
                and helpers.eventually(lambda: own.closed == 1)
                and not mine.closed
            )

        self.assertTrue(helpers.in_child(work))
        self.assertEqual(0, mine.closed)
