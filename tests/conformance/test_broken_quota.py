"""Each defect of a quota driver is found by the check that is there for it."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pathlib
import sys
import tempfile
import time
import unittest
from typing import Any
from typing import ClassVar
from unittest import mock

from cellplug import exception
from cellplug.cmd import scaffold
from cellplug.objects import quota
from cellplug.testing import conformance
from cellplug.testing.conformance import harnesses
from cellplug_drivers.quota import noop
from cellplug_drivers.quota.database import driver
from tests.conformance import helpers
from tests.conformance import memory_quota

Correct = memory_quota.MemoryQuota


class TestBroken(helpers.BrokenTestCase):
    suite = conformance.QuotaSuite
    correct = Correct
    harness = helpers.QuotaHarness

    def test_a_limit_that_is_one_too_small(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, *of):
                more = {key: delta + 1 for key, delta in rows.items()}
                super()._check(context, more, *of)

        self.assert_caught(Broken, 'up_to_the_limit_is_admitted')

    def test_what_fits_is_reserved_before_the_rest_is_refused(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                for resource in sorted(deltas):
                    one = {resource: deltas[resource]}
                    handle = super().reserve(context, one, **of)
                return handle

        self.assert_caught(Broken, 'all_or_nothing_is_reserved')

    def test_less_counts_at_once(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                handle = super().reserve(context, deltas, **of)
                if min(deltas.values()) < 0:
                    self.commit(context, handle)
                return handle

        self.assert_caught(Broken, 'less_is_always_admitted')

    def test_less_falls_below_zero(self) -> None:
        class Broken(Correct):
            def _add(self, row, delta):
                row.in_use += delta

        self.assert_caught(Broken, 'nothing_falls_below_zero')

    def test_a_second_commit_that_says_nothing(self) -> None:
        class Broken(Correct):
            def commit(self, context, handle):
                if handle in self.books.open:
                    super().commit(context, handle)

        for check in (
            'a_second_commit_is_refused',
            'a_commit_behind_a_rollback_is_refused',
            'a_commit_of_the_unknown_is_refused',
            'an_expired_one_is_given_back',
        ):
            self.assert_caught(Broken, check)

    def test_a_second_commit_that_counts(self) -> None:
        class Broken(Correct):
            def commit(self, context, handle):
                with self._open_books() as books:
                    kept = dict(books.open)
                    super().commit(context, handle)
                    books.open = kept

        self.assert_caught(Broken, 'a_commit_turns_it_into_use')

    def test_a_rollback_that_insists(self) -> None:
        class Broken(Correct):
            def rollback(self, context, handle):
                with self._open_books() as books:
                    self._take(books, handle)

        self.assert_caught(Broken, 'a_rollback_of_what_ended_is_ignored')

    def test_a_look_and_a_leap(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                usages = self.get_usages(context, project_id=of['project_id'])
                for resource, delta in deltas.items():
                    known = usages.get(resource)
                    used = known.in_use + known.reserved if known else 0
                    limit = of['defaults'][resource]
                    if 0 <= limit < used + delta:
                        raise exception.OverQuota([resource], {}, {}, {})
                time.sleep(0.001)
                of['defaults'] = dict.fromkeys(deltas, -1)
                return super().reserve(context, deltas, **of)

        self.assert_caught(Broken, 'exactly_the_limit_is_admitted')

    def test_users_without_limits_of_their_own(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, *of):
                totals = {key: d for key, d in rows.items() if not key[1]}
                super()._check(context, totals, *of)

        self.assert_caught(Broken, 'a_user_has_a_limit_of_their_own')

    def test_totals_that_nobody_looks_at(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, *of):
                users = {key: d for key, d in rows.items() if key[1]}
                super()._check(context, users, *of)

        self.assert_caught(Broken, 'the_projects_total_counts_all_users')

    def test_unlimited_that_is_a_limit(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                if -1 in of['defaults'].values():
                    raise exception.OverQuota(deltas, {}, {}, {})
                return super().reserve(context, deltas, **of)

        self.assert_caught(Broken, 'minus_one_is_unlimited')

    def test_a_limit_that_is_removed_becomes_zero(self) -> None:
        class Broken(Correct):
            def _set(self, scope: Any, limits: Any) -> None:
                super()._set(
                    scope, {name: limits[name] or 0 for name in limits}
                )

        self.assert_caught(Broken, 'limits_are_set_changed_and_removed')

    def test_a_handle_that_is_a_number(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                handle = super().reserve(context, deltas, **of)
                return int(handle.replace('-', ''), 16)

        self.assert_caught(Broken, 'a_handle_is_a_string')

    def test_nothing_ever_expires(self) -> None:
        class Broken(Correct):
            def _ends(self, expire: Any) -> int:
                return super()._ends(None)

        with helpers.impatient():
            self.assert_caught(Broken, 'an_expired_one_is_given_back')

    def test_an_expiry_that_takes_what_is_alive(self) -> None:
        class Broken(Correct):
            def _late(self, books: Any) -> list[str]:
                return list(books.open)

        self.assert_caught(Broken, 'an_expired_one_is_given_back')
        self.assert_caught(Broken, 'expire_says_how_many_they_were')

    def test_an_expiry_that_looks_before_it_takes(self) -> None:
        class Broken(Correct):
            def expire(self, context):
                with self._open_books() as books:
                    late = {h: books.open[h] for h in self._late(books)}
                time.sleep(0.001)
                with self._open_books() as books:
                    for handle, held in late.items():
                        books.open.pop(handle, None)
                        self._touch(held.rows)
                    return len(late)

        self.assert_caught(Broken, 'of_several_expiries_one_wins')
        self.assert_caught(Broken, 'a_commit_and_an_expiry_do_not_both_win')

    def test_a_commit_of_what_expired(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.late: dict[str, Any] = {}

            def _late(self, books: Any) -> list[str]:
                found = super()._late(books)
                self.late.update({h: books.open[h] for h in found})
                return found

            def commit(self, context, handle):
                with self._open_books() as books:
                    if handle in self.late:
                        books.open.setdefault(handle, self.late[handle])
                    super().commit(context, handle)

        self.assert_caught(Broken, 'an_expired_one_is_given_back')

    def test_what_expired_is_not_due(self) -> None:
        class Broken(Correct):
            def expire(self, context):
                with self._open_books() as books:
                    late = self._late(books)
                    for handle in late:
                        self._take(books, handle)
                    return len(late)

        self.assert_caught(Broken, 'what_expired_is_due')

    def test_a_commit_that_is_lost(self) -> None:
        class Broken(Correct):
            def commit(self, context, handle):
                with self._open_books() as books:
                    self._take(books, handle)

        self.assert_caught(Broken, 'a_commit_turns_it_into_use')

    def test_a_commit_that_forgets_the_user(self) -> None:
        class Broken(Correct):
            def commit(self, context, handle):
                with self._open_books() as books:
                    for key, delta in self._take(books, handle).items():
                        if not key[1]:
                            self._add(books.rows[key], delta)

        self.assert_caught(Broken, 'a_commit_turns_it_into_use')

    def test_a_commit_that_keeps_what_was_reserved(self) -> None:
        class Broken(Correct):
            def commit(self, context, handle):
                with self._open_books() as books:
                    held = books.open[handle]
                    super().commit(context, handle)
                    books.open[f'ghost of {handle}'] = held

        self.assert_caught(Broken, 'a_commit_turns_it_into_use')

    def test_what_is_reserved_falls_below_zero(self) -> None:
        class Broken(Correct):
            def get_usages(self, context, *, project_id, user_id=None):
                found = super().get_usages(
                    context, project_id=project_id, user_id=user_id
                )
                for name, one in found.items():
                    held = sum(
                        each.rows.get((project_id, user_id or '', name), 0)
                        for each in self.books.open.values()
                    )
                    found[name] = dataclasses.replace(one, reserved=held)
                return found

        self.assert_caught(Broken, 'less_is_always_admitted')

    def test_a_refusal_that_says_little(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, *of):
                try:
                    super()._check(context, rows, *of)
                except exception.OverQuota as exc:
                    raise exception.OverQuota(exc.overs, {}, {}, {}) from exc

        self.assert_caught(Broken, 'a_refusal_says_what_and_how_much')

    def test_a_refusal_at_the_first_that_is_over(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, *of):
                for key, delta in rows.items():
                    super()._check(context, {key: delta}, *of)

        self.assert_caught(Broken, 'a_refusal_names_all_that_is_over')

    def test_headroom_of_the_total_alone(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, defaults, *of):
                try:
                    super()._check(context, rows, defaults, *of)
                except exception.OverQuota as exc:
                    for project, user, name in rows:
                        found = self.get_limits(context, project_id=project)
                        one = found.get(name)
                        limit = one.limit if one else defaults[name]
                        if not user:
                            used = self.get_usages(
                                context, project_id=project
                            )[name]
                            exc.headroom[name] = (
                                limit - used.in_use - used.reserved
                            )
                    raise

        self.assert_caught(Broken, 'a_refusal_names_all_that_is_over')
        self.assert_caught(Broken, 'headroom_is_never_negative')

    def test_limits_of_classes_that_nobody_asked_for(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, defaults, quota_class):
                super()._check(context, rows, defaults, None)

        self.assert_caught(Broken, 'a_class_limits_who_is_in_it')

    def test_a_limit_that_rises_again(self) -> None:
        class Broken(Correct):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.former: dict[Any, int] = {}

            def _set(self, scope: Any, limits: Any) -> None:
                for name, limit in limits.items():
                    key = (*scope, name)
                    old = self.books.limits.get(key)
                    super()._set(scope, {name: limit})
                    if limit is None and key in self.former:
                        self.books.limits[key] = self.former.pop(key)
                    elif old is not None:
                        self.former[key] = old

        self.assert_caught(Broken, 'what_was_removed_does_not_rise_again')
        self.assert_caught(Broken, 'a_limit_that_was_removed_refuses_nobody')

    def test_a_class_that_answers_for_the_default_one(self) -> None:
        class Broken(Correct):
            def get_class_limits(self, context, quota_class):
                return self.get_limits(
                    context, project_id='', quota_class=quota_class
                ) or {'servers': quota.Limit('servers', 0)}

        self.assert_caught(Broken, 'a_class_answers_for_itself_alone')

    def test_users_for_what_has_none(self) -> None:
        class Broken(Correct):
            def _rows(self, deltas, project, user, per_project):
                return super()._rows(deltas, project, user, ())

        self.assert_caught(Broken, 'a_resource_may_have_no_users')

    def test_a_list_of_reservations_that_ended(self) -> None:
        class Broken(Correct):
            ended: ClassVar[list[Any]] = []

            def commit(self, context, handle):
                self.ended += self.get_reservations(context)
                super().commit(context, handle)

            def get_reservations(self, context, **of):
                return [*self.ended, *super().get_reservations(context, **of)]

        self.assert_caught(Broken, 'open_reservations_are_listed')

    def test_down_means_over(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                try:
                    return super().reserve(context, deltas, **of)
                except exception.DatabaseUnavailable:
                    raise exception.OverQuota(deltas, {}, {}, {}) from None

        self.assert_caught(Broken, 'without_its_source_it_says_so')


CHECKED_INSIDE = """\
        with self._held():
            self._check(deltas, limits)
"""
CHECKED_BEFORE = """\
        self._check(deltas, limits)
        with self._held():
"""


class TestBrokenTemplate(unittest.TestCase):
    """What an author starts from, with one line moved."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.source = pathlib.Path(folder.name, 'src')
        sys.path.insert(0, str(self.source))
        self.addCleanup(sys.path.remove, str(self.source))

    def outcome(self, name: str, check: str, *, broken: bool) -> Any:
        """What a check says of a driver as ``driver new`` writes it."""
        files = scaffold.render('quota', name)
        if broken:
            [path] = [path for path in files if path.endswith('/ledger.py')]
            self.assertIn(CHECKED_INSIDE, files[path])
            files[path] = files[path].replace(CHECKED_INSIDE, CHECKED_BEFORE)
        for path, text in files.items():
            made = self.source.parent / path
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(text)
        importlib.invalidate_caches()
        words = scaffold.words_for('quota', name)
        found = __import__(words['package'], fromlist=['driver', 'harness'])
        bound: Any = type(
            'Bound',
            (conformance.QuotaSuite, unittest.TestCase),
            {
                'driver': getattr(found.driver, words['class_name']),
                'harness': getattr(found.harness, words['harness']),
            },
        )
        result = unittest.TestResult()
        bound(f'test_{check}').run(result)
        self.assertEqual([], result.errors + result.skipped)
        return result

    def test_a_check_before_the_lock(self) -> None:
        check = 'exactly_the_limit_is_admitted'
        right = self.outcome('right', check, broken=False)
        self.assertTrue(right.wasSuccessful(), right.failures)
        wrong = self.outcome('wrong', check, broken=True)
        self.assertFalse(wrong.wasSuccessful(), f'{check} sees nothing')


class TestBrokenCounting(helpers.BrokenTestCase):
    """A count is stored only if nothing happened while it was made."""

    suite = conformance.QuotaSuite
    correct = Correct
    harness = helpers.QuotaHarness

    def test_nothing_is_counted(self) -> None:
        class Broken(Correct):
            def _learn(self, counted: Any) -> None:
                super()._learn(dict.fromkeys(counted, 0))

        self.assert_caught(Broken, 'what_exists_already_is_counted_first')
        self.assert_caught(Broken, 'first_reservations_agree_on_one_count')

    def test_users_are_counted_as_the_total(self) -> None:
        class Broken(Correct):
            def _count(self, keys: Any, count: Any) -> Any:
                return super()._count(
                    keys, lambda names, user: count(names, None)
                )

        self.assert_caught(Broken, 'a_total_and_its_users_are_counted_each')

    def test_a_new_user_is_taken_to_have_nothing(self) -> None:
        class Broken(Correct):
            def _learn(self, counted: Any) -> None:
                totals = {(key[0], key[2]) for key in counted if not key[1]}
                super()._learn(
                    {
                        key: value if (key[0], key[2]) in totals else 0
                        for key, value in counted.items()
                    }
                )

        self.assert_caught(Broken, 'a_user_who_is_new_is_counted')

    def test_the_total_is_taken_for_a_user(self) -> None:
        class Broken(Correct):
            def get_users(self, *whose: Any) -> list[str]:
                return ['', *super().get_users(*whose)]

        self.assert_caught(Broken, 'the_users_that_have_a_usage_are_named')

    def test_everything_is_counted_always(self) -> None:
        class Broken(Correct):
            def _due(self, key: Any) -> bool:
                return True

        self.assert_caught(Broken, 'what_is_known_is_not_counted_again')

    def test_a_first_count_that_overwrites(self) -> None:
        class Broken(Correct):
            def _learn(self, counted: Any) -> None:
                for key, value in counted.items():
                    self.books.rows[key] = memory_quota.Row(value)

        self.assert_caught(Broken, 'a_first_count_overwrites_no_other')

    def test_a_count_that_not_all_cells_answered(self) -> None:
        class Broken(Correct):
            def _check_counts(self, names: Any, counts: Any) -> None:
                """Take what there is."""

        for check in (
            'what_some_cells_answered_is_not_stored',
            'what_is_due_stays_so_while_a_cell_is_silent',
            'a_refresh_with_a_silent_cell_stores_nothing',
        ):
            self.assert_caught(Broken, check)

    def test_a_part_of_a_refresh_that_is_stored(self) -> None:
        class Broken(Correct):
            def refresh(self, context, resources, **of):
                late: set[str] = set()
                for name in sorted(resources):
                    late |= super().refresh(context, [name], **of)
                return frozenset(late)

            def _check_counts(self, names: Any, counts: Any) -> None:
                if names != ['cores']:
                    super()._check_counts(names, counts)

        self.assert_caught(
            Broken, 'a_refresh_with_a_silent_cell_stores_nothing'
        )

    def test_a_count_under_a_lock(self) -> None:
        class Broken(Correct):
            def _count(self, keys: Any, count: Any) -> Any:
                with self._open_books():
                    return super()._count(keys, count)

        with mock.patch.object(harnesses, 'DEADLINE', 0.5):
            for check in (
                'nothing_is_held_while_what_is_new_is_counted',
                'nothing_is_held_while_what_is_due_is_counted',
                'nothing_is_held_while_a_refresh_counts',
            ):
                self.assert_caught(Broken, check)

    def test_a_refresh_that_overwrites(self) -> None:
        class Broken(Correct):
            def _untouched(self, key: Any, version: int) -> bool:
                return True

        for check in (
            'a_refresh_overwrites_no_commit_made_meanwhile',
            'a_refresh_keeps_what_is_reserved',
            'a_refresh_keeps_what_was_reserved_meanwhile',
        ):
            self.assert_caught(Broken, check)

    def test_a_refresh_that_compares_values(self) -> None:
        class Broken(Correct):
            """Neither a version, nor what is open: what is seen alone."""

            def refresh(self, context, resources, **of):
                with self._open_books() as books:
                    self.seen = {
                        key: (row.in_use, books.reserved(key))
                        for key, row in books.rows.items()
                    }
                return super().refresh(context, resources, **of)

            def _untouched(self, key: Any, version: int) -> bool:
                now = (self.books.rows[key].in_use, self.books.reserved(key))
                return self.seen[key] == now

        for check in (
            'a_refresh_sees_changes_that_cancel_out',
            'a_refresh_sees_what_was_rolled_back_meanwhile',
            'a_refresh_sees_less_that_is_reserved',
            'a_refresh_keeps_what_is_reserved',
        ):
            self.assert_caught(Broken, check)

    def test_a_refresh_that_looks_at_the_version_alone(self) -> None:
        class Broken(Correct):
            def _untouched(self, key: Any, version: int) -> bool:
                return self.books.rows[key].version == version

        for check in (
            'a_refresh_keeps_what_is_reserved',
            'a_refresh_sees_less_that_is_reserved',
        ):
            self.assert_caught(Broken, check)

    def test_a_refresh_that_looks_at_what_is_reserved_alone(self) -> None:
        class Broken(Correct):
            def _untouched(self, key: Any, version: int) -> bool:
                row = self.books.rows[key]
                return row.version == version and not self.books.reserved(key)

        self.assert_caught(Broken, 'a_refresh_sees_less_that_is_reserved')

    def test_a_refresh_that_does_not_look_at_the_version(self) -> None:
        class Broken(Correct):
            def _untouched(self, key: Any, version: int) -> bool:
                return not self.books.is_held(key)

        for check in (
            'a_refresh_overwrites_no_commit_made_meanwhile',
            'a_refresh_sees_changes_that_cancel_out',
        ):
            self.assert_caught(Broken, check)

    def test_a_count_that_a_refusal_rolls_back(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                with self._open_books() as books:
                    kept = copy.deepcopy(books.rows)
                try:
                    return super().reserve(context, deltas, **of)
                except exception.OverQuota:
                    books.rows = kept
                    raise

        self.assert_caught(Broken, 'what_was_counted_survives_a_refusal')
        self.assert_caught(Broken, 'what_was_first_counted_survives_a_refusal')

    def test_a_check_of_what_was_before_the_count(self) -> None:
        class Broken(Correct):
            def _know(self, keys: Any, count: Any) -> None:
                before = copy.deepcopy(self.books.rows)
                super()._know(keys, count)
                self.after, self.books.rows = (
                    self.books.rows,
                    {**self.books.rows, **before},
                )

            def _check(self, *args: Any) -> None:
                try:
                    super()._check(*args)
                finally:
                    self.books.rows = self.after

        self.assert_caught(
            Broken, 'who_was_blocked_by_an_old_count_goes_on_at_once'
        )

    def test_a_refresh_that_forgets_what_is_due(self) -> None:
        class Broken(Correct):
            def refresh(self, context, resources, **of):
                late = super().refresh(context, resources, **of)
                for row in self.books.rows.values():
                    row.due = False
                return late

        self.assert_caught(Broken, 'what_was_not_stored_stays_due')

    def test_a_refresh_that_leaves_it_at_that(self) -> None:
        class Broken(Correct):
            def _mark_due(self, keys: Any) -> None:
                """Nobody will count what could not be stored."""

        self.assert_caught(Broken, 'what_a_refresh_could_not_store_is_due')

    def test_due_for_ever(self) -> None:
        class Broken(Correct):
            def _store(self, seen: Any, counted: Any) -> set[str]:
                due = {key: self.books.rows[key].due for key in seen}
                late = super()._store(seen, counted)
                for key in seen:
                    self.books.rows[key].due = due[key]
                return late

        self.assert_caught(Broken, 'what_was_refreshed_is_due_no_more')
        self.assert_caught(Broken, 'a_reset_has_the_next_reservation_count')

    def test_due_is_counted_while_one_is_open(self) -> None:
        class Broken(Correct):
            def _due(self, key: Any) -> bool:
                return self.books.rows[key].due

            def _untouched(self, key: Any, version: int) -> bool:
                return self.books.rows[key].version == version

        self.assert_caught(Broken, 'while_one_is_open_the_last_count_stands')

    def test_a_reset_that_does_nothing(self) -> None:
        class Broken(Correct):
            def reset(self, context, resources, **of):
                """Leave all as it is."""

        self.assert_caught(Broken, 'a_reset_has_the_next_reservation_count')

    def test_a_reset_of_all_users_that_is_of_none(self) -> None:
        class Broken(Correct):
            def _known(self, resources, project_id, user_id, per_project=()):
                return super()._known(
                    resources, project_id, user_id or '', per_project
                )

        self.assert_caught(Broken, 'a_reset_is_of_one_user_or_all')
        self.assert_caught(Broken, 'a_refresh_may_be_of_all_users')

    def test_a_refresh_that_says_that_all_was_stored(self) -> None:
        class Broken(Correct):
            def refresh(self, context, resources, **of):
                super().refresh(context, resources, **of)
                return frozenset()

        self.assert_caught(Broken, 'a_refresh_stores_what_it_can')

    def test_a_refresh_for_users_of_what_has_none_now(self) -> None:
        class Broken(Correct):
            def refresh(self, context, resources, *, per_project=(), **of):
                return super().refresh(context, resources, **of)

        self.assert_caught(
            Broken, 'a_refresh_asks_for_no_user_of_what_has_none_now'
        )

    def test_books_that_were_wrong_and_are_believed(self) -> None:
        class Broken(Correct):
            def commit(self, context, handle):
                due = {key: row.due for key, row in self.books.rows.items()}
                super().commit(context, handle)
                for key, row in self.books.rows.items():
                    row.due = due[key]

        self.assert_caught(Broken, 'what_would_fall_below_zero_is_counted')

    def test_reservations_that_are_born_expired(self) -> None:
        class Broken(Correct):
            def _ends(self, expire):
                if isinstance(expire, int) and expire <= 0:
                    return 0
                return super()._ends(expire)

        self.assert_caught(Broken, 'a_time_that_is_none_is_refused')


class TestBrokenNoop(helpers.BrokenTestCase):
    """What a driver without reservations may get wrong."""

    suite = conformance.QuotaSuite
    correct = noop.NoopQuota
    harness = conformance.Harness

    check = 'reservations_undeclared_hold_nothing'

    def test_a_handle_that_looks_like_one(self) -> None:
        class Broken(noop.NoopQuota):
            def reserve(self, *args: Any, **of: Any) -> str:
                return super().reserve(*args, **of) or 'x'

        self.assert_caught(Broken, self.check)

    def test_a_second_commit_that_is_refused(self) -> None:
        class Broken(noop.NoopQuota):
            ended = False

            def commit(self, context: Any, handle: str) -> None:
                if self.ended:
                    raise exception.ReservationNotFound(handle)
                self.ended = True

        self.assert_caught(Broken, self.check)

    def test_a_count_for_nobody(self) -> None:
        class Broken(noop.NoopQuota):
            def refresh(self, context, resources, *, count, **of):
                count(resources, None)
                return frozenset()

        self.assert_caught(Broken, self.check)


class PrivateHarness(helpers.QuotaHarness):
    """Says of books in memory that all processes have the same."""

    shared = True


class TestBrokenDatabase(helpers.BrokenTestCase):
    """What cannot be seen without a database, or another process."""

    suite = conformance.QuotaSuite
    correct = driver.DatabaseQuota
    harness = conformance.DatabaseHarness

    def test_books_of_one_process(self) -> None:
        class Broken(Correct):
            """Right, in one process."""

        for check in (
            'processes_share_one_limit',
            'first_reservations_of_processes_agree',
            'of_a_commit_and_the_expiries_of_processes_one_wins',
        ):
            self.assert_passes(check)
            self.harness = PrivateHarness
            self.assert_fails(Broken, check)
            self.harness = conformance.DatabaseHarness

    def test_a_transaction_inside_that_of_the_request(self) -> None:
        class Broken(driver.DatabaseQuota):
            def _refuse_inside(self, context: Any) -> None:
                """Let it be."""

        self.assert_caught(Broken, 'an_open_transaction_is_refused')

    def test_a_count_with_a_transaction_open(self) -> None:
        class Broken(driver.DatabaseQuota):
            def __init__(self, options: Any, host: Any) -> None:
                super().__init__(options, host)
                self.writer = host.database.api.writer

            def reserve(self, context, deltas, *, count, **of):
                def locked(names, user):
                    with self.writer.using(context):
                        return count(names, user)

                return super().reserve(context, deltas, count=locked, **of)

        with mock.patch.object(harnesses, 'DEADLINE', 2):
            for check in (
                'nothing_is_held_while_what_is_new_is_counted',
                'nothing_is_held_while_what_is_due_is_counted',
            ):
                self.assert_caught(Broken, check)
