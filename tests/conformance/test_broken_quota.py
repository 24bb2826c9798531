"""Each defect of a quota driver is found by the check that is there for it."""

from __future__ import annotations

import time
from typing import Any

from cellplug import exception
from cellplug.testing import conformance
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

    def test_a_refresh_that_overwrites(self) -> None:
        class Broken(Correct):
            def _untouched(self, key: Any, version: int) -> bool:
                return True

        self.assert_caught(
            Broken, 'a_refresh_overwrites_no_commit_made_meanwhile'
        )
        self.assert_caught(Broken, 'a_refresh_keeps_what_is_reserved')

    def test_nothing_is_counted(self) -> None:
        class Broken(Correct):
            def _learn(self, counted: Any) -> None:
                super()._learn(dict.fromkeys(counted, 0))

        self.assert_caught(Broken, 'what_exists_already_is_counted_first')

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

    def test_a_refusal_that_says_little(self) -> None:
        class Broken(Correct):
            def _check(self, context, rows, *of):
                try:
                    super()._check(context, rows, *of)
                except exception.OverQuota as exc:
                    raise exception.OverQuota(exc.overs, {}, {}, {}) from exc

        self.assert_caught(Broken, 'a_refusal_says_what_and_how_much')

    def test_down_means_over(self) -> None:
        class Broken(Correct):
            def reserve(self, context, deltas, **of):
                try:
                    return super().reserve(context, deltas, **of)
                except exception.DatabaseUnavailable:
                    raise exception.OverQuota(deltas, {}, {}, {}) from None

        self.assert_caught(Broken, 'without_its_source_it_says_so')
