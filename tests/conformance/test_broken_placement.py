"""Each defect of a placement driver is found by its check."""

from __future__ import annotations

import logging
import pathlib
import random
import tempfile
import threading
import time
from typing import Any
from unittest import mock

from cellplug.testing import conformance
from cellplug.testing.conformance import harnesses
from tests.conformance import helpers
from tests.conformance import memory_placement

Capability = memory_placement.Capability
Correct = memory_placement.MemoryPlacement
LOG = logging.getLogger(__name__)


class ByInstances(Correct):
    """A correct one that knows nothing of projects, nor of facts."""

    capabilities = frozenset({Capability.COUNTS})

    def rank(self, context: Any, candidates: Any, request: Any) -> list[str]:
        ranked = sorted(candidates, key=lambda one: one.instances)
        return [one.uuid for one in ranked]


class BrokenTestCase(helpers.BrokenTestCase):
    suite = conformance.PlacementSuite
    correct = Correct
    harness = memory_placement.PlacementHarness


class TestBrokenAnswers(BrokenTestCase):
    def test_it_names_cells_by_their_names(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, *args: Any) -> list[str]:
                return [one.cell.name for one in candidates]

        self.assert_caught(Broken, 'it_lists_uuids_of_candidates')

    def test_it_names_a_cell_that_it_remembers(self) -> None:
        class Broken(Correct):
            known: Any = ()

            def order(self, candidates: Any, *args: Any) -> list[str]:
                self.known = self.known or list(candidates)
                return super().order(self.known, *args)

        self.assert_caught(Broken, 'it_lists_uuids_of_candidates')

    def test_it_names_one_twice(self) -> None:
        class Broken(Correct):
            def order(self, *args: Any) -> list[str]:
                right = super().order(*args)
                return right[:1] + right

        self.assert_caught(Broken, 'it_lists_uuids_of_candidates')

    def test_it_gives_a_generator(self) -> None:
        class Broken(Correct):
            def order(self, *args: Any) -> Any:
                return iter(super().order(*args))

        self.assert_caught(Broken, 'it_lists_uuids_of_candidates')

    def test_it_counts_on_a_list(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, *args: Any) -> list[str]:
                return super().order(candidates.copy(), *args)

        self.assert_caught(Broken, 'it_takes_any_sequence')

    def test_it_fails_without_candidates(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, *args: Any) -> list[str]:
                best = min(candidates, key=lambda one: one.instances)
                right = super().order(candidates, *args)
                right.remove(best.uuid)
                return [best.uuid, *right]

        self.assert_caught(Broken, 'without_candidates_it_names_none')

    def test_it_needs_a_user(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, request: Any, bonus: int) -> Any:
                return super().order(candidates, request, len(request.user_id))

        self.assert_caught(Broken, 'projects_and_users_may_be_any')

    def test_it_refuses_hints_that_it_does_not_know(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, request: Any, bonus: int) -> Any:
                if request.hints:
                    return []
                return super().order(candidates, request, bonus)

        self.assert_caught(
            Broken, 'hints_that_it_does_not_know_change_nothing'
        )

    def test_it_needs_a_hint(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, request: Any, bonus: int) -> Any:
                bonus = request.hints['bonus']
                return super().order(candidates, request, bonus)

        self.assert_caught(Broken, 'it_lists_uuids_of_candidates')


class TestBrokenOrder(BrokenTestCase):
    def test_it_takes_cells_by_turns(self) -> None:
        class Broken(Correct):
            turn = 0

            def order(self, *args: Any) -> list[str]:
                right = super().order(*args)
                self.turn += 1
                at = self.turn % (len(right) or 1)
                return right[at:] + right[:at]

        self.assert_caught(Broken, 'the_same_question_has_the_same_answer')

    def test_it_counts_what_it_ranked(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.given: dict[str, int] = {}

            def order(self, candidates: Any, *args: Any) -> list[str]:
                right = sorted(
                    super().order(candidates, *args),
                    key=lambda uuid: self.given.get(uuid, 0),
                )
                for uuid in right[:1]:
                    self.given[uuid] = self.given.get(uuid, 0) + 1
                return right

        self.assert_caught(Broken, 'the_same_question_has_the_same_answer')

    def test_it_throws_dice(self) -> None:
        class Broken(Correct):
            def order(self, *args: Any) -> list[str]:
                right = super().order(*args)
                random.shuffle(right)
                return right

        self.assert_caught(Broken, 'the_same_question_has_the_same_answer')

    def test_each_driver_has_a_seed_of_its_own(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.seed = random.random()

            def order(self, *args: Any) -> list[str]:
                right = super().order(*args)
                random.Random(self.seed).shuffle(right)
                return right

        self.assert_passes('the_same_options_give_the_same_answer')
        # One shuffle of 120 is another one by chance; three are not.
        for _ in range(5):
            result = self.outcome(
                Broken, 'the_same_options_give_the_same_answer'
            )
            if not result.wasSuccessful():
                return
        self.fail('a seed of its own is not seen')

    def test_it_sorts_what_it_is_passed(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, *args: Any) -> list[str]:
                if isinstance(candidates, list):
                    candidates.sort(key=lambda one: one.instances)
                return super().order(candidates, *args)

        self.assert_caught(Broken, 'what_is_passed_stays_as_it_is')

    def test_it_changes_the_context(self) -> None:
        class Broken(Correct):
            def rank(self, context: Any, *args: Any) -> list[str]:
                context.project_id = 'mine'
                return super().rank(context, *args)

        self.assert_caught(Broken, 'what_is_passed_stays_as_it_is')

    def test_it_lends_its_memory(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.known: dict[str, list[str]] = {}

            def order(self, candidates: Any, request: Any, bonus: int) -> Any:
                key = request.instance_uuid
                if key not in self.known:
                    right = super().order(candidates, request, bonus)
                    self.known[key] = right
                return self.known[key]

        self.assert_caught(Broken, 'the_answer_is_the_callers_own')


class TestBrokenCapabilities(BrokenTestCase):
    def test_it_looks_at_what_it_does_not_declare(self) -> None:
        class Broken(ByInstances):
            def rank(self, context: Any, candidates: Any, request: Any) -> Any:
                ranked = sorted(
                    candidates,
                    key=lambda one: one.instances - one.project_instances,
                )
                return [one.uuid for one in ranked]

        check = 'it_does_without_what_it_does_not_declare'
        right = self.outcome(ByInstances, check)
        self.assertTrue(right.wasSuccessful(), right.failures + right.errors)
        self.assertEqual([], right.skipped)
        self.assert_fails(Broken, check)

    def test_it_declares_counts_for_nothing(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, *args: Any) -> list[str]:
                ranked = sorted(
                    candidates, key=lambda one: -one.project_instances
                )
                return [one.uuid for one in ranked]

        self.assert_caught(Broken, 'declared_counts_are_looked_at')

    def test_it_declares_project_counts_for_nothing(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, *args: Any) -> list[str]:
                ranked = sorted(candidates, key=lambda one: one.instances)
                return [one.uuid for one in ranked]

        self.assert_caught(Broken, 'declared_project_counts_are_looked_at')

    def test_an_instance_declares_more_than_its_class(self) -> None:
        class Broken(Correct):
            capabilities = frozenset({Capability.COUNTS})

            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.capabilities = frozenset(Capability)

        self.assert_caught(
            Broken, 'the_class_declares_all_that_an_instance_can'
        )


class TestBrokenTogether(BrokenTestCase):
    def test_threads_share_a_note(self) -> None:
        class Broken(Correct):
            note: Any = None

            def order(self, candidates: Any, *args: Any) -> list[str]:
                self.note = candidates
                time.sleep(0.0005)
                return super().order(self.note, *args)

        self.assert_caught(
            Broken, 'threads_get_the_answers_they_would_get_alone'
        )

    def test_a_child_waits_for_a_lock_of_its_parent(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.lock = threading.Lock()

            def order(self, *args: Any) -> list[str]:
                with self.lock:
                    time.sleep(0.0005)
                    return super().order(*args)

        check = 'a_child_of_a_busy_parent_answers'
        self.assert_passes(check)
        # The child hangs; a check is as patient as its deadline says.
        with mock.patch.object(harnesses, 'DEADLINE', 2.0):
            self.assert_fails(Broken, check)

    def test_a_child_that_closes_takes_it_from_its_parent(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)

        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.note = pathlib.Path(folder.name, 'note')
                self.note.touch()

            def order(self, *args: Any) -> list[str]:
                self.note.read_text()
                return super().order(*args)

            def close(self) -> None:
                self.note.unlink(missing_ok=True)

        self.assert_caught(
            Broken, 'a_child_that_closes_leaves_the_parent_alone'
        )


class TestBrokenFailure(BrokenTestCase):
    def test_its_sources_error_comes_through(self) -> None:
        class Broken(Correct):
            def rank(self, context: Any, candidates: Any, request: Any) -> Any:
                return self.order(candidates, request, self.facts.bonus())

        self.assert_caught(Broken, 'without_its_source_it_answers_or_says_so')

    def test_it_gives_up_for_good(self) -> None:
        class Broken(Correct):
            down = False

            def rank(self, *args: Any) -> list[str]:
                if not self.facts.reachable:
                    self.down = True
                if self.down:
                    raise memory_placement.exception.DatabaseUnavailable(
                        'facts', 'they were down once'
                    )
                return super().rank(*args)

        self.assert_passes('a_source_that_is_back_is_used_again')
        with helpers.impatient():
            self.assert_fails(Broken, 'a_source_that_is_back_is_used_again')

    def test_it_logs_the_cells(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, *args: Any) -> list[str]:
                for one in candidates:
                    LOG.debug('weighing %s', one.cell.database_connection)
                return super().order(candidates, *args)

        self.assert_caught(Broken, 'logs_show_no_secret')

    def test_an_error_names_a_url(self) -> None:
        class Broken(Correct):
            def order(self, candidates: Any, request: Any, bonus: int) -> Any:
                if request.project_id == 'suite-other' and candidates:
                    url = candidates[0].cell.transport_url
                    raise memory_placement.exception.NoCellAvailable(
                        request.instance_uuid, reason=f'{url} is no good'
                    )
                return super().order(candidates, request, bonus)

        self.assert_caught(Broken, 'errors_show_no_secret')
