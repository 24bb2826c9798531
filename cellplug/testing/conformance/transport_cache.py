"""The suite of transport caches."""

from __future__ import annotations

import contextlib

from cellplug import exception
from cellplug.testing.conformance import base
from cellplug.testing.conformance import hosts
from cellplug.testing.conformance import transport_base
from cellplug.testing.conformance import transport_trouble

Capability = transport_base.Capability


class _Escape(Exception):
    """What a block raises that is no error of the cache's."""


class TransportCacheSuite(transport_trouble.TroubleChecks):
    """Whether one keeps :class:`cellplug.interfaces.TransportCache`.

    No message queue is needed: the suite's host opens transports that
    connect to nothing, and counts what becomes of them.
    """

    # -- lending -----------------------------------------------------------

    def test_it_lends_the_transport_of_the_url(self) -> None:
        first, second = self.new_url(), self.new_url()
        with self.using(first) as one, self.using(second) as other:
            self.assertEqual(first, one.url)
            self.assertEqual(second, other.url)
            self.assertIsNot(one, other)

    def test_urls_match_exactly(self) -> None:
        url = self.new_url()
        with self.using(url) as one, self.using(url.upper()) as other:
            self.assertIsNot(one, other)
            self.assertEqual(url.upper(), other.url)

    def test_it_is_not_closed_while_it_is_used(self) -> None:
        url = self.new_url()
        with self.using(url) as transport:
            with self.using(url):
                pass
            self.assertEqual(0, transport.closed, 'closed while in use')

    def test_what_the_block_raises_passes_through(self) -> None:
        url = self.new_url()

        def block() -> None:
            with self.using(url):
                raise _Escape

        self.refused(_Escape, block)
        with self.using(url) as transport:
            self.assertEqual(0, transport.closed, 'lent a closed one')

    def test_a_block_that_raised_is_a_user_no_more(self) -> None:
        url = self.new_url()
        with contextlib.suppress(_Escape), self.using(url) as transport:
            raise _Escape
        self.subject.retire(url)
        self.assertEqual(1, transport.closed, 'times that it was closed')

    def test_a_bad_url_is_refused(self) -> None:
        def block() -> None:
            with self.subject.use(hosts.BAD_URL):
                self.fail('lent a transport for a bad URL')

        for _ in range(2):
            self.refused(exception.InvalidURL, block)
        self.exercise(self.subject)

    def test_a_broken_one_is_replaced(self) -> None:
        url = self.new_url()
        with self.using(url) as broken:
            broken.broken = True
        with self.using(url) as whole:
            self.assertIsNot(broken, whole)
            self.assertFalse(whole.broken)
        self.assertEqual(1, broken.closed, 'times that it was closed')

    def test_a_broken_one_in_use_is_replaced_for_the_next(self) -> None:
        url = self.new_url()
        with self.using(url) as broken:
            broken.broken = True
            with self.using(url) as whole:
                self.assertIsNot(broken, whole)
            self.assertEqual(0, broken.closed, 'closed while in use')
        self.assertEqual(1, broken.closed, 'times that it was closed')

    # -- retiring ----------------------------------------------------------

    def test_a_retired_one_closes_at_once_if_unused(self) -> None:
        url = self.new_url()
        with self.using(url) as transport:
            pass
        self.subject.retire(url)
        self.assertEqual(1, transport.closed, 'times that it was closed')

    def test_a_retired_one_closes_with_its_last_user(self) -> None:
        url = self.new_url()
        with self.using(url) as transport:
            with contextlib.ExitStack() as second:
                if self.can(Capability.KEEPS):
                    second.enter_context(self.using(url))
                self.subject.retire(url)
                self.subject.retire(url)
                self.assertEqual(0, transport.closed, 'closed while in use')
            self.assertEqual(0, transport.closed, 'closed while in use')
        self.assertEqual(1, transport.closed, 'times that it was closed')
        self.subject.close()
        self.check_closed()

    def test_a_retired_url_may_be_used_again(self) -> None:
        url = self.new_url()
        with self.using(url) as former:
            self.subject.retire(url)
            with self.using(url) as new:
                self.assertIsNot(former, new)
                self.assertEqual(0, new.closed)
        self.assertEqual(1, former.closed, 'times that it was closed')

    def test_retiring_the_unknown_is_ignored(self) -> None:
        self.subject.retire(self.new_url())
        self.exercise(self.subject)

    # -- capabilities ------------------------------------------------------

    @base.area('capabilities')
    def test_keeps_declared_lends_the_same_again(self) -> None:
        self._need_keeps()
        url = self.new_url()
        with self.using(url) as first, self.using(url) as second:
            self.assertIs(first, second)
        with self.using(url) as third:
            self.assertIs(first, third)
        self.assertEqual(0, first.closed, 'times that it was closed')

    @base.area('capabilities')
    def test_keeps_undeclared_closes_behind_each_message(self) -> None:
        if self.can(Capability.KEEPS):
            self.not_applicable('it declares KEEPS')
        url = self.new_url()
        with self.using(url) as first:
            pass
        self.assertEqual(1, first.closed, 'times that it was closed')
        with self.using(url) as second:
            self.assertIsNot(first, second)

    # -- life --------------------------------------------------------------

    @base.area('life')
    def test_close_closes_each_once(self) -> None:
        for _ in range(3):
            with self.using(self.new_url()):
                pass
        self.subject.close()
        self.subject.close()
        self.check_closed()

    @base.area('life')
    def test_close_lets_those_in_use_finish(self) -> None:
        with self.using(self.new_url()) as transport:
            self.subject.close()
            self.assertEqual(0, transport.closed, 'closed while in use')
        self.assertEqual(1, transport.closed, 'times that it was closed')

    @base.area('life')
    def test_after_close_nothing_stays_open(self) -> None:
        self.subject.close()
        with contextlib.suppress(exception.CellplugError):
            self.exercise(self.subject)
        self.check_closed()

    @base.area('secrets')
    def test_errors_show_no_secret(self) -> None:
        self.subject.close()
        try:
            self.exercise(self.subject)
        except exception.CellplugError as exc:
            self.hide_check('an error', str(exc))
