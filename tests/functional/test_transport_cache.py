"""The ``process`` transport cache: who gets which transport, until when."""

from __future__ import annotations

import os
import threading
from typing import Any

import testtools

from cellplug import exception
from cellplug import loader
from cellplug.testing import deployment

DEADLINE = 30


class Opened:
    """A transport that notes what becomes of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.broken = False
        self.closed = 0
        self.pid = os.getpid()

    def close(self) -> None:
        self.closed += 1


class Host:
    """A host whose transports connect to nothing."""

    def __init__(self) -> None:
        self.opened: list[Opened] = []

    def open_transport(self, url: str) -> Opened:
        self.opened.append(Opened(url))
        return self.opened[-1]


class ProcessTransportCacheTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        conf = self.useFixture(deployment.ConfFixture()).conf
        self.host = Host()
        host: Any = self.host
        self.loader = loader.Loader(conf, host)
        self.cache = self.loader.load('transport_cache', 'process')
        self.addCleanup(self.loader.close)

    def test_a_url_has_one_transport(self) -> None:
        with self.cache.use('a:') as first, self.cache.use('b:') as other:
            self.assertIsNot(first, other)
        with self.cache.use('a:') as again:
            self.assertIs(first, again)
        self.assertEqual(0, first.closed)

    def test_threads_that_ask_at_once_get_the_same(self) -> None:
        barrier = threading.Barrier(16)
        seen: list[Any] = []

        def work() -> None:
            barrier.wait(DEADLINE)
            with self.cache.use('a:') as transport:
                seen.append(transport)

        threads = [threading.Thread(target=work) for _ in range(16)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(DEADLINE)
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
        with self.cache.use('a:') as transport:
            pass
        self.cache.retire('a:')
        self.assertEqual(1, transport.closed)

    def test_unknown_urls_may_be_retired(self) -> None:
        self.cache.retire('unknown:')
        self.assertEqual([], self.host.opened)

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

    def test_an_error_in_the_block_leaves_the_transport_usable(self) -> None:
        def fail() -> None:
            with self.cache.use('a:'):
                raise ValueError('in the block')

        self.assertRaises(ValueError, fail)
        self.cache.retire('a:')
        self.assertEqual([1], [one.closed for one in self.host.opened])

    def test_one_that_does_not_open_leaves_nothing_behind(self) -> None:
        opened = self.host.open_transport

        def refuse(url: str) -> Opened:
            raise exception.InvalidURL('transport_url', 'is wrong')

        self.host.open_transport = refuse  # type: ignore[method-assign]
        self.assertRaises(exception.InvalidURL, self.cache.use('a:').__enter__)
        self.host.open_transport = opened  # type: ignore[method-assign]
        with self.cache.use('a:') as transport:
            self.assertEqual('a:', transport.url)

    def test_close_waits_for_no_user_and_closes_all_others(self) -> None:
        with self.cache.use('a:') as used, self.cache.use('b:') as unused:
            pass
        with self.cache.use('a:'):
            self.cache.close()
            self.assertEqual((0, 1), (used.closed, unused.closed))
        self.assertEqual((1, 1), (used.closed, unused.closed))

    def test_after_close_there_is_no_new_one(self) -> None:
        self.cache.close()
        self.assertRaises(
            exception.RouterClosed, self.cache.use('a:').__enter__
        )
        self.assertEqual([], self.host.opened)

    def test_a_child_opens_its_own_and_leaves_the_parents(self) -> None:
        with self.cache.use('a:') as mine:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                said = b'failed'
                try:
                    with self.cache.use('a:') as transport:
                        own = transport.pid == os.getpid()
                    self.cache.close()
                    if own and transport.closed == 1 and mine.closed == 0:
                        said = b'fine'
                finally:
                    os.write(writer, said)
                    os._exit(0)
            os.waitpid(pid, 0)
            self.assertEqual(b'fine', os.read(reader, 10))
            os.close(reader)
            os.close(writer)
        self.assertEqual(0, mine.closed)
