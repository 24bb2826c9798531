"""The suite of quota drivers: forks, transactions and failure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import quota_base

Capability = quota_base.Capability


class TroubleChecks(quota_base.QuotaCase):
    """It fails as the contract says, and harms nobody."""

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

    # -- transactions ------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self, *, writer: bool) -> Iterator[None]:
        """The request's own on the API database, if there is one."""
        api = self.host.database.api
        access = api.writer if writer else api.reader
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(access.using(self.context))
            except exception.DatabaseNotBound:
                self.not_applicable('it has no API database')
            yield

    @base.area('failure')
    def test_an_open_transaction_is_refused(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=2)
        handle = self.reserve(servers=1)
        for writer in (False, True):
            with self._transaction(writer=writer):
                for call, *args in (
                    (self.reserve,),
                    (self.commit, handle),
                    (self.rollback, handle),
                    (self.subject.expire, self.context),
                    (self.refresh,),
                    (self.reset,),
                ):
                    more = {'servers': 1} if call == self.reserve else {}
                    self.refused(
                        exception.TransactionInProgress, call, *args, **more
                    )
        self.assertEqual((2, 1), self.usage('servers'))
        self.assertFalse(self.known()['servers'].refresh_due)
        self.commit(handle)

    @base.area('failure')
    def test_limits_are_not_set_in_an_open_transaction(self) -> None:
        self.set_limits(servers=1)
        quota_class = self.new_class(servers=1)
        with self._transaction(writer=True):
            self.refused(
                exception.TransactionInProgress, self.set_limits, servers=2
            )
            self.refused(
                exception.TransactionInProgress,
                self.subject.set_class_limits,
                self.context,
                {'servers': 2},
                quota_class=quota_class,
            )
        self.assertEqual({'servers': 1}, self.limits())

    @base.area('failure')
    def test_readers_join_an_open_transaction(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=2)
        self.reserve(servers=1)
        for writer in (False, True):
            with self._transaction(writer=writer):
                self.assertEqual((2, 1), self.usage('servers'))
                self.assertEqual({}, self.limits())
                self.assertEqual(1, len(self.reservations()))

    # -- failure -----------------------------------------------------------

    def _calls(self, handle: str) -> list[tuple[str, Callable[[], Any]]]:
        return [
            ('reserve', lambda: self.reserve(servers=1)),
            ('commit', lambda: self.commit(handle)),
            ('rollback', lambda: self.rollback(handle)),
            ('expire', lambda: self.subject.expire(self.context)),
            ('refresh', self.refresh),
            ('reset', self.reset),
            ('get_reservations', self.reservations),
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
