"""Waiting a bounded time for what may take for ever."""

from __future__ import annotations

import threading
from typing import Any

import testtools

from cellplug.rpc import bounded

DEADLINE = 30


class RunTest(testtools.TestCase):
    def test_it_returns_what_the_call_returns(self) -> None:
        self.assertEqual(3, bounded.run(DEADLINE, lambda a, b: a + b, 1, 2))

    def test_it_raises_what_the_call_raises(self) -> None:
        # TimeoutError too: that is the call's own, not the bound.
        for kind in (ValueError, TimeoutError, KeyboardInterrupt):

            def fail(kind: type[BaseException] = kind) -> None:
                raise kind('own')

            error = self.assertRaises(kind, bounded.run, DEADLINE, fail)
            self.assertEqual(('own',), error.args)

    def test_it_gives_up_what_takes_too_long(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)
        self.assertRaises(
            bounded.OverdueError, bounded.run, 0.01, release.wait, DEADLINE
        )


class OnceTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.begun = threading.Semaphore(0)
        self.release = threading.Event()
        self.addCleanup(self.release.set)
        self.attempts = 0
        self.error: Exception | None = None
        self.once = bounded.Once(self.attempt)

    def attempt(self) -> None:
        self.attempts += 1
        self.begun.release()
        self.release.wait(DEADLINE)
        if self.error is not None:
            raise self.error

    def wait_in_threads(self, count: int) -> list[Any]:
        """What so many waiters get, once the attempt may go on."""
        results: list[Any] = []

        def work() -> None:
            try:
                results.append(self.once.achieve(DEADLINE))
            except Exception as exc:
                results.append(exc)

        threads = [threading.Thread(target=work) for _ in range(count)]
        for one in threads:
            one.start()
        self.assertTrue(self.begun.acquire(timeout=DEADLINE))
        self.release.set()
        for one in threads:
            one.join(DEADLINE)
        return results

    def test_many_wait_for_one_attempt(self) -> None:
        self.assertEqual([None] * 8, self.wait_in_threads(8))
        self.assertEqual(1, self.attempts)
        self.assertTrue(self.once.achieved)

    def test_what_is_achieved_is_not_done_again(self) -> None:
        self.release.set()
        for _ in range(3):
            self.once.achieve(DEADLINE)
        self.assertEqual(1, self.attempts)

    def test_a_hanging_attempt_is_joined_not_repeated(self) -> None:
        for _ in range(3):
            self.assertRaises(bounded.OverdueError, self.once.achieve, 0.01)
        self.assertEqual(1, self.attempts)
        self.release.set()
        self.once.achieve(DEADLINE)
        self.assertEqual(1, self.attempts)

    def test_after_a_failure_the_next_one_tries_again(self) -> None:
        self.release.set()
        self.error = OSError('refused')
        for number in (1, 2):
            self.assertRaises(OSError, self.once.achieve, DEADLINE)
            self.assertEqual(number, self.attempts)
            self.assertFalse(self.once.achieved)
        self.error = None
        self.once.achieve(DEADLINE)
        self.assertTrue(self.once.achieved)
