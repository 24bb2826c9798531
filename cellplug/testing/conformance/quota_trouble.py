"""The suite of quota drivers: threads, forks, transactions and failure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import quota_base

THREADS = 16
LIMIT = 5

Capability = quota_base.Capability


class TroubleChecks(quota_base.QuotaCase):
    """Never one too many."""

    # -- threads -----------------------------------------------------------

    def _try(self, number: int) -> str:
        try:
            return self.reserve(limit=LIMIT, user=f'u{number}', servers=1)
        except exception.OverQuota:
            return ''

    @base.area('threads')
    def test_exactly_the_limit_is_admitted(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(cores=1)
        for _ in range(3):
            self.project += '-next'
            handles = doing.together(THREADS, self._try)
            self.assertEqual(LIMIT, len([one for one in handles if one]))
            self.assertEqual((0, LIMIT), self.usage('servers'))

    @base.area('threads')
    def test_first_reservations_agree_on_one_count(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.exist(servers=2)

        def work(number: int) -> str:
            try:
                return self.reserve(limit=LIMIT, servers=1)
            except exception.OverQuota:
                return ''

        handles = doing.together(THREADS, work)
        self.assertEqual(LIMIT - 2, len([one for one in handles if one]))
        self.assertEqual((2, LIMIT - 2), self.usage('servers'))

    @base.area('threads')
    def test_of_several_commits_one_wins(self) -> None:
        self.need(Capability.RESERVATIONS)
        handle = self.reserve(servers=2)

        def work(number: int) -> int:
            try:
                self.commit(handle)
            except exception.ReservationNotFound:
                return 0
            return 1

        self.assertEqual(1, sum(doing.together(THREADS, work)))
        self.assertEqual((2, 0), self.usage('servers'))

    @base.area('threads')
    def test_a_commit_and_a_rollback_do_not_both_win(self) -> None:
        self.need(Capability.RESERVATIONS)
        expected = 0
        for _ in range(10):
            handle = self.reserve(servers=2)

            def work(number: int, handle: str = handle) -> int:
                if number:
                    self.rollback(handle)
                    return 0
                try:
                    self.commit(handle)
                except exception.ReservationNotFound:
                    return 0
                return 2

            expected += sum(doing.together(2, work))
            self.assertEqual((expected, 0), self.usage('servers'))

    # -- fork --------------------------------------------------------------

    @base.area('fork')
    def test_a_child_and_its_parent_both_work(self) -> None:
        self.exercise(self.subject)

        def work() -> None:
            for _ in range(10):
                self.exercise(self.subject)

        child = doing.Child(work)
        try:
            work()
        finally:
            child.wait()
        self.exercise(self.subject)

    @base.area('fork')
    def test_a_child_of_a_busy_parent_works(self) -> None:
        if not self.source.forks_busy:
            self.not_applicable('its source bears no fork while in use')
        stop: list[bool] = []

        def busy() -> None:
            while not stop:
                self.exercise(self.subject)

        running = [doing.Background(busy) for _ in range(3)]
        try:
            for _ in range(10):
                doing.Child(lambda: self.exercise(self.subject)).wait()
        finally:
            stop.append(True)
            for one in running:
                one.result()

    @base.area('fork')
    def test_processes_share_one_limit(self) -> None:
        self.need(Capability.RESERVATIONS)
        if not self.source.shared:
            self.not_applicable('its source is not shared by processes')

        def work() -> None:
            for number in range(LIMIT):
                self._try(number)

        children = [doing.Child(work) for _ in range(3)]
        try:
            work()
        finally:
            for child in children:
                child.wait()
        self.assertEqual((0, LIMIT), self.usage('servers'))

    # -- transactions ------------------------------------------------------

    @base.area('failure')
    def test_an_open_transaction_is_refused(self) -> None:
        self.need(Capability.RESERVATIONS)
        with contextlib.ExitStack() as stack:
            try:
                block = self.host.database.api.reader.using(self.context)
                stack.enter_context(block)
            except exception.DatabaseNotBound:
                self.not_applicable('it has no API database')
            self.refused(
                exception.TransactionInProgress, self.reserve, servers=1
            )
            for end in (self.commit, self.rollback):
                self.refused(exception.TransactionInProgress, end, 'a-handle')
            self.refused(
                exception.TransactionInProgress,
                self.subject.expire,
                self.context,
            )
            self.assertEqual((0, 0), self.usage('servers'))
        self.commit(self.reserve(servers=1))

    # -- failure -----------------------------------------------------------

    def _calls(self, handle: str) -> list[tuple[str, Callable[[], Any]]]:
        return [
            ('reserve', lambda: self.reserve(servers=1)),
            ('commit', lambda: self.commit(handle)),
            ('get_usages', lambda: self.usage('servers')),
            ('get_limits', self.limits),
        ]

    @base.area('failure')
    def test_without_its_source_it_says_so(self) -> None:
        self.need(Capability.RESERVATIONS)
        handle = self.reserve(servers=1)
        self.ask(self.source.break_source)
        try:
            for what, call in self._calls(handle):
                error = self._honest(what, call)
                self.hide_check('an error', str(error))
        finally:
            self.source.mend_source()
        self.hide_check('the log', self.log.text())
        doing.eventually(lambda: self.commit(handle), 30)
        self.assertEqual((1, 0), self.usage('servers'))

    def _honest(self, what: str, call: Callable[[], Any]) -> Exception:
        """Make the call on a broken source; what it raised."""
        try:
            doing.bounded(call)
        except (exception.ReservationNotFound, exception.OverQuota) as exc:
            self.fail(f'{what}: takes a broken source for an answer: {exc}')
        except exception.CellplugError as exc:
            return exc
        except Exception as exc:
            raise self.failureException(
                f'{what} raised {base.describe(exc)}, which is no '
                'CellplugError'
            ) from exc
        self.fail(f'{what}: answered without its source')
        raise AssertionError

    @base.area('failure')
    def test_it_can_be_built_without_its_source(self) -> None:
        self.exercise(self.subject)
        self.ask(self.source.break_source)
        try:
            host = self.make_host()
            driver = doing.bounded(host.build, self.interface, self.driver)
        finally:
            self.source.mend_source()
        doing.eventually(lambda: self.exercise(driver), 30)
