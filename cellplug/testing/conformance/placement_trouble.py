"""The suite of placement drivers: threads, forks and a source that is down."""

from __future__ import annotations

import traceback
from typing import Any

from cellplug import exception
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import harnesses
from cellplug.testing.conformance import placement_base

THREADS = 8
ROUNDS = 20
BACK_IN = 30.0
"""Seconds within which a driver finds out that its source is back."""

Question = tuple[
    list[placement_base.Candidate], placement_base.Request, list[str]
]


class TroubleChecks(placement_base.PlacementCase):
    """The same answers, whoever else asks."""

    def _questions(self) -> list[Question]:
        """Questions that differ, with the answers to them."""
        found = []
        for number in range(THREADS):
            counts = [(number + step) * 7 % 5 for step in range(4)]
            candidates = self.candidates(*counts)
            request = self.request(
                project_id=f'suite-{number % 3}', user_id=f'suite-{number}'
            )
            found.append((candidates, request, self.rank(candidates, request)))
        return found

    def _check_one(self, question: Question) -> None:
        candidates, request, right = question
        self.assertEqual(right, self.rank(candidates, request))

    # -- threads -----------------------------------------------------------

    @base.area('threads')
    def test_threads_get_the_answers_they_would_get_alone(self) -> None:
        questions = self._questions()

        def work(number: int) -> None:
            for _ in range(ROUNDS):
                self._check_one(questions[number])

        for _ in doing.rounds(5):
            doing.together(THREADS, work)

    # -- fork --------------------------------------------------------------

    @base.area('fork')
    def test_a_child_answers_as_its_parent(self) -> None:
        questions = self._questions()

        def work() -> None:
            for question in questions:
                self._check_one(question)

        doing.Child(work).wait()
        work()

    @base.area('fork')
    def test_a_child_of_a_busy_parent_answers(self) -> None:
        if not self.source.forks_busy:
            self.not_applicable('its source bears no fork while in use')
        questions = self._questions()
        stop: list[bool] = []

        def busy() -> None:
            while not stop:
                self._check_one(questions[0])

        running = [doing.Background(busy) for _ in range(3)]
        try:
            for _ in range(20):
                doing.Child(lambda: self._check_one(questions[1])).wait()
        finally:
            stop.append(True)
            for one in running:
                one.result()

    @base.area('fork')
    def test_a_child_that_closes_leaves_the_parent_alone(self) -> None:
        questions = self._questions()

        def work() -> None:
            self._check_one(questions[0])
            self.subject.close()

        doing.Child(work).wait()
        for question in questions:
            self._check_one(question)

    # -- failure -----------------------------------------------------------

    def _break_source(self) -> None:
        """Have the harness break it, where there is one."""
        if type(self.source).break_source is harnesses.Harness.break_source:
            self.not_applicable('its harness knows of no source')
        self.ask(self.source.break_source)

    def _honest(self) -> Exception | None:
        """Ask without the source; what was raised, if anything was."""
        try:
            doing.bounded(self.rank, self.candidates(3, 1, 2))
        except exception.CellplugError as exc:
            return exc
        except AssertionError:
            raise
        except Exception as exc:
            raise self.failureException(
                f'rank raised {base.describe(exc)}, which is no CellplugError'
            ) from exc
        return None

    @base.area('failure')
    def test_without_its_source_it_answers_or_says_so(self) -> None:
        self.exercise(self.subject)
        self._break_source()
        try:
            for _ in range(2):
                self._honest()
        finally:
            self.source.mend_source()

    @base.area('failure')
    def test_a_source_that_is_back_is_used_again(self) -> None:
        self.exercise(self.subject)
        self._break_source()
        try:
            self._honest()
        finally:
            self.source.mend_source()
        doing.eventually(lambda: self.exercise(self.subject), BACK_IN)

    @base.area('failure')
    def test_it_can_be_built_without_its_source(self) -> None:
        self._break_source()
        try:
            host = self.make_host()
            driver: Any = doing.bounded(
                host.build, self.interface, self.driver
            )
        finally:
            self.source.mend_source()
        doing.eventually(lambda: self.exercise(driver), BACK_IN)

    # -- secrets -----------------------------------------------------------

    @base.area('secrets')
    def test_errors_show_no_secret(self) -> None:
        for candidates in ([], self.candidates(0), self.candidates(5, 5)):
            request = self.request(project_id='suite-other')
            try:
                self.subject.rank(self.context, candidates, request)
            except exception.CellplugError as exc:
                text = ''.join(traceback.format_exception(exc))
                self.hide_check('an error', text)
        self.hide_check('the log', self.log.text())
