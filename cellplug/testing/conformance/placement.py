"""The suite of placement drivers: what they answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from cellplug.testing.conformance import base
from cellplug.testing.conformance import placement_base
from cellplug.testing.conformance import placement_trouble

Candidate = placement_base.Candidate
Capability = placement_base.Capability

_STEPS = ((0, 1, 2), (0, 100, 10_000), (0, 10**6, 10**12))
"""Counts that differ little, and much: a policy may have a threshold."""


class PlacementSuite(placement_trouble.TroubleChecks):
    """Whether one keeps :class:`cellplug.interfaces.Placement`.

    Nothing has to run for it: the suite makes up the cells. A driver that
    asks somebody else brings a harness that can break and mend what it asks.
    """

    # -- what it answers ---------------------------------------------------

    def test_it_lists_uuids_of_candidates(self) -> None:
        for counts in ((5, 0, 3), (2, 2, 2), (1,), (0, 0)):
            self.rank(self.candidates(*counts))

    def test_it_takes_any_sequence(self) -> None:
        candidates, request = self.candidates(5, 0, 3), self.request()
        as_list = self.rank(candidates, request)
        self.assertEqual(as_list, self.rank(tuple(candidates), request))

    def test_without_candidates_it_names_none(self) -> None:
        self.assertEqual([], self.rank([]))

    def test_many_candidates_are_ranked(self) -> None:
        many = self.candidates(*(number * 37 % 101 for number in range(300)))
        self.rank(many)

    def test_projects_and_users_may_be_any(self) -> None:
        candidates = self.candidates(3, 1)
        for project in (placement_base.PROJECT, 'p', 'x' * 255, 'é %s {}'):
            for user in (None, 'u', 'x' * 255):
                self.rank(
                    candidates, self.request(project_id=project, user_id=user)
                )

    def test_hints_that_it_does_not_know_change_nothing(self) -> None:
        candidates, request = self.candidates(3, 1, 2), self.request()
        plain = self.rank(candidates, request)
        hinted = self.request(
            instance_uuid=request.instance_uuid,
            hints={'suite-nobody-knows': object(), 'suite-more': None},
        )
        self.assertEqual(plain, self.rank(candidates, hinted))

    # -- a pure order ------------------------------------------------------

    def test_the_same_question_has_the_same_answer(self) -> None:
        questions = [
            (self.candidates(*counts), self.request(project_id=project))
            for counts in ((0, 0, 0, 0), (4, 1, 3), (7, 7))
            for project in (placement_base.PROJECT, 'suite-other')
        ]
        right = [self.rank(*question) for question in questions]
        for _ in range(3):
            again = [self.rank(*question) for question in questions]
            self.assertEqual(right, again, 'the answers, asked again')

    def test_the_same_options_give_the_same_answer(self) -> None:
        candidates, request = self.candidates(0, 0, 0, 2, 2), self.request()
        right = self.rank(candidates, request)
        host = self.make_host()
        other = host.build(self.interface, self.driver)
        # One that keeps books of its own has others now than the first.
        for _ in range(3):
            self.rank(self.candidates(1, 2), driver=other)
        self.assertEqual(right, self.rank(candidates, request, other))

    def test_what_is_passed_stays_as_it_is(self) -> None:
        candidates, request = self.candidates(9, 0, 4, 2), self.request()
        before, values = list(candidates), self._seen()
        self.rank(candidates, request)
        self.assertEqual(before, candidates, 'the candidates')
        self.assertEqual(values, self._seen(), 'the context')

    def _seen(self) -> list[object]:
        context = self.context
        return [
            context.to_dict(),
            context.db_connection,
            context.mq_connection,
            context.cell_uuid,
        ]

    def test_the_answer_is_the_callers_own(self) -> None:
        candidates, request = self.candidates(2, 0, 1), self.request()
        answer = self.rank(candidates, request)
        right = list(answer)
        answer.clear()
        self.assertEqual(right, self.rank(candidates, request))

    # -- capabilities ------------------------------------------------------

    @base.area('capabilities')
    def test_it_does_without_what_it_does_not_declare(self) -> None:
        if all(self.can(one) for one in Capability):
            self.not_applicable('it declares that it looks at all counts')
        candidates = self.candidates(3, 0)
        for one in candidates:
            if not self.can(Capability.COUNTS):
                self.assertIsNone(one.instances)
            if not self.can(Capability.PROJECT_COUNTS):
                self.assertIsNone(one.project_instances)
        for number in range(1, 3):
            self.rank(candidates[:number])

    @base.area('capabilities')
    def test_declared_counts_are_looked_at(self) -> None:
        if not self.can(Capability.COUNTS):
            self.not_applicable('it does not declare COUNTS')
        self._check_looked_at(
            lambda one, number: self.counted(one, number, 0), 'instances'
        )

    @base.area('capabilities')
    def test_declared_project_counts_are_looked_at(self) -> None:
        if not self.can(Capability.PROJECT_COUNTS):
            self.not_applicable('it does not declare PROJECT_COUNTS')
        self._check_looked_at(
            lambda one, number: self.counted(one, 10**13, number),
            'project_instances',
        )

    def _check_looked_at(
        self, count: Callable[[Candidate, int], Candidate], what: str
    ) -> None:
        """Assert that the counts of three cells make a difference."""
        cells, answered = self.candidates(0, 0, 0), False
        # Of one project alone the driver may know better.
        projects = (placement_base.PROJECT, 'suite-other')
        for steps, project in itertools.product(_STEPS, projects):
            request = self.request(project_id=project)
            pair = [
                self.rank(
                    [
                        count(one, number)
                        for one, number in zip(cells, numbers, strict=True)
                    ],
                    request,
                )
                for numbers in (steps, steps[::-1])
            ]
            if pair[0] != pair[1]:
                return
            answered = answered or bool(pair[0])
        if not answered:
            self.not_applicable('as it is configured, it ranks nothing here')
        self.fail(f'{what} is counted for it, and changes nothing')
