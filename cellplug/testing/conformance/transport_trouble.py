"""The suite of transport caches: threads, forks and failure."""

from __future__ import annotations

import os
import time
from typing import Any

from cellplug import exception
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import transport_base

THREADS = 8
ROUNDS = 50

Capability = transport_base.Capability


class TroubleChecks(transport_base.TransportCacheCase):
    """Each transport is closed once, and never in use."""

    # -- threads -----------------------------------------------------------

    @base.area('threads')
    def test_threads_that_ask_at_once_get_the_same(self) -> None:
        self._need_keeps()
        for _ in doing.rounds(10):
            url = self.new_url()

            def work(number: int, url: str = url) -> Any:
                with self.using(url) as transport:
                    return transport

            lent = doing.together(THREADS, work)
            self.assertEqual(1, len(set(map(id, lent))), 'transports lent')

    @base.area('threads')
    def test_none_is_closed_in_use_by_other_threads(self) -> None:
        urls = [self.new_url() for _ in range(3)]

        def work(number: int) -> None:
            for step in range(ROUNDS):
                url = urls[(number + step) % len(urls)]
                if not number and step % 3 == 0:
                    self.subject.retire(url)
                with self.using(url) as transport:
                    # Not to win a race: so that others get in meanwhile.
                    time.sleep(0.0005)
                    self.assertEqual(url, transport.url)
                    if step % 17 == 0:
                        transport.broken = True

        doing.together(THREADS, work)
        for one in self.host.opened:
            self.assertFalse(one.closed_in_use, 'closed while in use')
        self.subject.close()
        self.check_closed()

    # -- fork --------------------------------------------------------------

    @base.area('fork')
    def test_a_child_opens_its_own(self) -> None:
        url = self.new_url()
        with self.using(url) as parents:
            pass

        def work() -> None:
            with self.using(url) as transport:
                self.assertIsNot(parents, transport, "lent the parent's")
                self.assertEqual(os.getpid(), transport.pid)
            self.subject.retire(url)
            self.subject.close()
            if self.can(Capability.KEEPS):
                self.assertEqual(0, parents.closed, "closed the parent's")
            self.check_closed()

        doing.Child(work).wait()
        with self.using(url) as again:
            self.assertEqual(0, again.closed, 'lent a closed one')

    @base.area('fork')
    def test_a_child_leaves_what_its_parent_uses(self) -> None:
        url = self.new_url()
        with self.using(url) as parents:

            def work() -> None:
                with self.using(url) as transport:
                    self.assertIsNot(parents, transport, "lent the parent's")
                self.subject.close()
                self.assertEqual(0, parents.closed, "closed the parent's")

            doing.Child(work).wait()
        self.subject.close()
        self.check_closed()

    @base.area('fork')
    def test_a_child_of_a_busy_parent_is_served(self) -> None:
        url = self.new_url()
        stop: list[bool] = []

        def busy() -> None:
            while not stop:
                with self.using(url):
                    pass
                self.subject.retire(url)

        running = [doing.Background(busy) for _ in range(3)]
        try:
            for _ in range(20):
                doing.Child(lambda: self.exercise(self.subject)).wait()
        finally:
            stop.append(True)
            for one in running:
                one.result()

    # -- failure -----------------------------------------------------------

    @base.area('failure')
    def test_one_that_cannot_be_opened_leaves_nothing_behind(self) -> None:
        url = self.new_url()
        self.host.refuse = exception.QueueUnavailable('the suite says so')

        def block() -> None:
            with self.subject.use(url):
                self.fail('lent a transport that could not be opened')

        self.refused(exception.CellplugError, block)
        self.host.refuse = None
        with self.using(url) as transport:
            self.assertEqual(0, transport.closed, 'lent a closed one')
