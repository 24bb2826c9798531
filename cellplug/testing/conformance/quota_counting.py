"""The suite of quota drivers: what is counted before it is admitted."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection

from cellplug import exception
from cellplug.objects import quota
from cellplug.testing.conformance import base
from cellplug.testing.conformance import doing
from cellplug.testing.conformance import quota_base

Capability = quota_base.Capability
USER = quota_base.USER

SILENT = {'cell2': 'timed out'}
"""A cell that does not answer, and why."""


class CountingChecks(quota_base.QuotaCase):
    """What is not known, or due, is counted first; the rest is not."""

    def setUp(self) -> None:
        super().setUp()
        self.skip_own(CountingChecks, Capability.RESERVATIONS)

    def test_the_users_that_have_a_usage_are_named(self) -> None:
        self.assertEqual([], self.users())
        self.reserve(servers=1)
        self.reserve(user='other', servers=1)
        self.assertEqual(sorted([USER, 'other']), self.users())

    def users(self) -> list[str]:
        found: list[str] = self.subject.get_users(self.context, self.project)
        return found

    # -- what is not known yet ---------------------------------------------

    def test_what_exists_already_is_counted_first(self) -> None:
        self.exist(servers=3)
        self.over(limit=3, servers=1)
        self.reserve(limit=4, servers=1)
        self.assertEqual((3, 1), self.usage('servers'))
        self.assertEqual((3, 1), self.usage('servers', USER))

    def test_a_total_and_its_users_are_counted_each(self) -> None:
        self.exist(servers=2)
        self.exist(user='other', servers=3)
        self.reserve(servers=1)
        self.assertEqual((5, 1), self.usage('servers'))
        self.assertEqual((2, 1), self.usage('servers', USER))
        self.assertEqual(
            {(None, 'servers'), (USER, 'servers')}, set(self.counted)
        )

    def test_a_user_who_is_new_is_counted(self) -> None:
        self.exist(user='other', servers=3)
        self.exist(servers=2)
        self.reserve(user='other', servers=1)
        self.counted.clear()
        self.reserve(servers=1)
        self.assertEqual([(USER, 'servers')], self.counted)
        self.assertEqual((5, 2), self.usage('servers'))
        self.assertEqual((2, 1), self.usage('servers', USER))

    def test_without_a_user_the_total_alone_is_counted(self) -> None:
        self.exist(servers=2)
        self.reserve(user=None, servers=1)
        self.assertEqual([(None, 'servers')], self.counted)
        self.assertEqual({}, self.known(USER))

    def test_what_is_known_is_not_counted_again(self) -> None:
        self.exist(servers=2)
        self.use(servers=1)
        self.counted.clear()
        self.reserve(limit=4, servers=1)
        self.over(limit=4, servers=1)
        self.assertEqual([], self.counted)

    def test_what_cannot_be_counted_is_not_admitted(self) -> None:
        def count(
            resources: Collection[str], user_id: str | None
        ) -> quota.Counts:
            raise exception.CellUnavailable('u', 'n', 'the suite says so')

        self.refused(
            exception.CellplugError, self.reserve, servers=1, count=count
        )
        self.assertEqual({}, self.known())
        self.exist(servers=2)
        self.reserve(servers=1)
        self.assertEqual((2, 1), self.usage('servers'))

    def test_what_some_cells_answered_is_not_stored(self) -> None:
        self.exist(servers=2)
        self.missing = SILENT
        error = self.refused(
            exception.CountIncomplete, self.reserve, servers=1
        )
        self.assertEqual(SILENT, error.missing)
        self.assertEqual(['servers'], error.resources)
        self.assertEqual(({}, {}), (self.known(), self.known(USER)))
        self.missing = {}
        self.exist(servers=3)
        self.reserve(servers=1)
        self.assertEqual((3, 1), self.usage('servers'))
        self.assertEqual((3, 1), self.usage('servers', USER))

    @base.area('threads')
    def test_a_first_count_overwrites_no_other(self) -> None:
        count = self._meanwhile(lambda: self.use(servers=2), servers=0)
        self.reserve(servers=1, count=count)
        self.assertEqual((2, 1), self.usage('servers'))
        self.assertEqual((2, 1), self.usage('servers', USER))

    # -- what is due -------------------------------------------------------

    def test_what_was_counted_survives_a_refusal(self) -> None:
        self.use(servers=1)
        self.exist(servers=3)
        self.reset()
        refusal = self.over(limit=3, servers=1)
        self.assertEqual(3, refusal.usages['servers'])
        self.assertEqual((3, 0), self.usage('servers'))
        self.assertEqual((3, 0), self.usage('servers', USER))
        self.counted.clear()
        self.over(limit=3, servers=1)
        self.assertEqual([], self.counted)

    def test_what_was_first_counted_survives_a_refusal(self) -> None:
        self.exist(servers=3)
        self.over(limit=3, servers=1)
        self.counted.clear()
        self.over(limit=3, servers=1)
        self.assertEqual([], self.counted)
        self.assertEqual((3, 0), self.usage('servers'))

    def test_who_was_blocked_by_an_old_count_goes_on_at_once(self) -> None:
        self.use(servers=5, cores=5)
        self.exist(servers=2, cores=4)
        self.reset('servers', 'cores')
        refusal = self.over(limit=5, servers=3, cores=2)
        self.assertEqual(['cores'], refusal.overs)
        self.assertEqual(4, refusal.usages['cores'])
        self.assertEqual(1, refusal.headroom['cores'])
        self.reset('servers', 'cores')
        self.reserve(limit=5, servers=3, cores=1)
        self.assertEqual((2, 3), self.usage('servers'))

    def test_what_is_due_stays_so_while_a_cell_is_silent(self) -> None:
        self.use(servers=3)
        self.reset()
        self.missing = SILENT
        self.refused(exception.CountIncomplete, self.reserve, servers=1)
        self.assertEqual((3, 0), self.usage('servers'))
        self.assertTrue(self.known()['servers'].refresh_due)
        self.missing = {}
        self.exist(servers=5)
        self.reserve(servers=1)
        self.assertEqual((5, 1), self.usage('servers'))

    def test_while_one_is_open_the_last_count_stands(self) -> None:
        self.use(servers=2)
        handle = self.reserve(servers=1)
        self.reset()
        self.exist(servers=3)  # that one was created, and is not committed
        self.rollback(self.reserve(limit=4, servers=1))
        self.over(limit=4, servers=2)
        self.assertEqual((2, 1), self.usage('servers'))
        self.assertTrue(self.known()['servers'].refresh_due)
        self.commit(handle)
        self.assertEqual((3, 0), self.usage('servers'))
        self.exist(servers=1)
        self.reserve(limit=4, servers=3)
        self.assertEqual((1, 3), self.usage('servers'))

    # -- nothing is held ---------------------------------------------------

    @base.area('threads')
    def test_nothing_is_held_while_what_is_new_is_counted(self) -> None:
        self.reserve(servers=1, count=self._meanwhile(self._others))
        self.assertEqual(1, self.usage('servers')[1])

    @base.area('threads')
    def test_nothing_is_held_while_what_is_due_is_counted(self) -> None:
        self.use(servers=1)
        self.reset()
        self.reserve(servers=1, count=self._meanwhile(self._others))
        self.assertEqual(1, self.usage('servers')[1])

    @base.area('threads')
    def test_nothing_is_held_while_a_refresh_counts(self) -> None:
        self.use(servers=1)
        self.refresh(count=self._meanwhile(self._others))
        self.assertEqual(0, self.usage('servers')[1])

    def _others(self) -> None:
        """What others do with the same usages, all of it."""
        handle = self.reserve(servers=1)
        self.commit(self.reserve(servers=1))
        self.rollback(handle)
        self.subject.expire(self.context)
        self.usage('servers')

    def _meanwhile(
        self, others: Callable[[], None], **counted: int
    ) -> quota_base.Count:
        """A count during whose first call others do something."""
        calls: list[bool] = []

        def count(
            resources: Collection[str], user_id: str | None
        ) -> quota.Counts:
            if not calls:
                calls.append(True)
                doing.bounded(others)
            return quota.Counts({**dict.fromkeys(resources, 0), **counted})

        return count
