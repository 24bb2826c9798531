"""The suite of quota drivers: counting anew, beside all that goes on."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection

from cellplug import exception
from cellplug.objects import quota
from cellplug.testing.conformance import base
from cellplug.testing.conformance import quota_base
from cellplug.testing.conformance import quota_counting

Capability = quota_base.Capability
USER = quota_base.USER


class RefreshingChecks(quota_base.QuotaCase):
    """A count is stored only where nothing happened while it was made."""

    def setUp(self) -> None:
        super().setUp()
        self.skip_own(RefreshingChecks, Capability.RESERVATIONS)

    # -- what is stored ----------------------------------------------------

    def test_a_refresh_stores_what_was_counted(self) -> None:
        self.use(servers=5, cores=2)
        self.exist(servers=3)
        self.exist(user='other', servers=1)
        self.assertEqual(frozenset(), self.refresh())
        self.assertEqual((4, 0), self.usage('servers'))
        self.assertEqual((3, 0), self.usage('servers', USER))
        self.assertEqual((2, 0), self.usage('cores'))

    def test_a_refresh_is_of_one_user(self) -> None:
        self.use(servers=5)
        self.use(user='other', servers=4)
        self.refresh()
        self.assertEqual((0, 0), self.usage('servers', USER))
        self.assertEqual((4, 0), self.usage('servers', 'other'))

    def test_a_refresh_may_be_of_all_users(self) -> None:
        self.use(servers=5)
        self.use(user='other', servers=4)
        self.exist(servers=1)
        self.exist(user='other', servers=2)
        self.assertEqual(frozenset(), self.refresh(user=None))
        self.assertEqual((3, 0), self.usage('servers'))
        self.assertEqual((1, 0), self.usage('servers', USER))
        self.assertEqual((2, 0), self.usage('servers', 'other'))

    def test_a_refresh_may_be_of_what_has_no_users(self) -> None:
        self.use(per_project=['networks'], networks=3)
        self.counted.clear()
        self.refresh('networks', per_project=['networks'])
        self.assertEqual([(None, 'networks')], self.counted)
        self.assertEqual((0, 0), self.usage('networks'))

    def test_a_refresh_asks_for_no_user_of_what_has_none_now(self) -> None:
        self.use(networks=3)
        self.counted.clear()
        self.refresh('networks', user=None, per_project=['networks'])
        self.assertEqual([(None, 'networks')], self.counted)

    def test_a_refresh_learns_nothing_new(self) -> None:
        self.exist(servers=3)
        self.assertEqual(frozenset(), self.refresh())
        self.assertEqual(({}, {}), (self.known(), self.known(USER)))

    def test_a_refresh_with_a_silent_cell_stores_nothing(self) -> None:
        self.use(servers=3, cores=2)
        self.missing = quota_counting.SILENT
        error = self.refused(
            exception.CountIncomplete, self.refresh, 'servers', 'cores'
        )
        self.assertEqual(quota_counting.SILENT, error.missing)
        self.assertEqual((3, 0), self.usage('servers'))
        self.assertEqual((3, 0), self.usage('servers', USER))
        self.assertEqual((2, 0), self.usage('cores'))

    # -- what is not -------------------------------------------------------

    def _while_counting(
        self, others: Callable[[], object], **counted: int
    ) -> quota_base.Count:
        """A count, during each call of which others do something."""

        def count(
            resources: Collection[str], user_id: str | None
        ) -> quota.Counts:
            others()
            return quota.Counts(counted)

        return count

    @base.area('threads')
    def test_a_refresh_overwrites_no_commit_made_meanwhile(self) -> None:
        self.use(servers=3)
        # What is created now is not in what was counted before.
        count = self._while_counting(lambda: self.use(servers=1), servers=3)
        self.assertEqual({'servers'}, self.refresh(count=count))
        self.assertGreater(self.usage('servers')[0], 3)

    @base.area('threads')
    def test_a_refresh_keeps_what_is_reserved(self) -> None:
        self.use(servers=3)
        handle = self.reserve(servers=2)
        self.exist(servers=5)  # created, and about to be committed
        self.assertEqual({'servers'}, self.refresh())
        self.commit(handle)
        self.assertEqual((5, 0), self.usage('servers'))

    @base.area('threads')
    def test_a_refresh_keeps_what_was_reserved_meanwhile(self) -> None:
        self.use(servers=3)
        handles: list[str] = []

        def others() -> None:
            handles.append(self.reserve(servers=2))

        count = self._while_counting(others, servers=5)
        self.assertEqual({'servers'}, self.refresh(count=count))
        for handle in handles:
            self.commit(handle)
        self.assertEqual((3 + 2 * len(handles), 0), self.usage('servers'))

    @base.area('threads')
    def test_a_refresh_sees_changes_that_cancel_out(self) -> None:
        self.use(servers=3)

        def others() -> None:
            self.use(servers=1)
            self.use(servers=-1)

        # One was there for a moment, which is when it was counted.
        count = self._while_counting(others, servers=4)
        self.assertEqual({'servers'}, self.refresh(count=count))
        self.assertEqual((3, 0), self.usage('servers'))
        self.assertEqual((3, 0), self.usage('servers', USER))

    @base.area('threads')
    def test_a_refresh_sees_what_was_rolled_back_meanwhile(self) -> None:
        self.use(servers=3)

        def others() -> None:
            self.rollback(self.reserve(servers=1))

        count = self._while_counting(others, servers=4)
        self.assertEqual({'servers'}, self.refresh(count=count))
        self.assertEqual((3, 0), self.usage('servers'))

    @base.area('threads')
    def test_a_refresh_sees_less_that_is_reserved(self) -> None:
        self.use(servers=5)
        handle = self.reserve(servers=-2)
        self.exist(servers=3)  # two are gone, which is not committed yet
        self.assertEqual({'servers'}, self.refresh())
        self.assertEqual((5, 0), self.usage('servers'))
        self.commit(handle)
        self.assertEqual((3, 0), self.usage('servers'))
        self.assertEqual((3, 0), self.usage('servers', USER))

    def test_a_refresh_stores_what_it_can(self) -> None:
        self.use(servers=3, cores=3)
        self.reserve(servers=1)
        self.exist(servers=7, cores=7)
        self.assertEqual({'servers'}, self.refresh('servers', 'cores'))
        self.assertEqual((3, 1), self.usage('servers'))
        self.assertEqual((7, 0), self.usage('cores'))

    # -- what is due -------------------------------------------------------

    def _due(self, user: str | None = None) -> set[str]:
        return {
            name for name, one in self.known(user).items() if one.refresh_due
        }

    def test_a_reset_has_the_next_reservation_count(self) -> None:
        self.use(servers=5, cores=4)
        self.assertEqual(set(), self._due())
        self.reset('servers')
        self.assertEqual(({'servers'},) * 2, (self._due(), self._due(USER)))
        self.assertEqual((5, 0), self.usage('servers'))
        self.exist(servers=1)
        self.counted.clear()
        self.reserve(servers=1, cores=1)
        self.assertEqual((1, 1), self.usage('servers'))
        self.assertEqual((1, 1), self.usage('servers', USER))
        self.assertEqual((4, 1), self.usage('cores'))
        self.assertEqual((set(), set()), (self._due(), self._due(USER)))
        self.assertNotIn((None, 'cores'), self.counted)

    def test_a_reset_is_of_one_user_or_all(self) -> None:
        self.use(servers=2)
        self.use(user='other', servers=2)
        self.reset(user=USER)
        self.assertEqual({'servers'}, self._due(USER))
        self.assertEqual(set(), self._due('other'))
        self.reset()
        self.assertEqual({'servers'}, self._due('other'))
        self.assertEqual({'servers'}, self._due())

    def test_what_was_refreshed_is_due_no_more(self) -> None:
        self.use(servers=2)
        self.reset()
        self.refresh()
        self.assertEqual((set(), set()), (self._due(), self._due(USER)))
        self.counted.clear()
        self.reserve(servers=1)
        self.assertEqual([], self.counted)

    def test_what_was_not_stored_stays_due(self) -> None:
        self.use(servers=2)
        self.reset()
        handle = self.reserve(servers=0)
        self.reset()
        self.assertEqual({'servers'}, self.refresh())
        self.assertEqual({'servers'}, self._due())
        self.rollback(handle)
        self.exist(servers=4)
        self.reserve(servers=1)
        self.assertEqual((4, 1), self.usage('servers'))

    def test_what_a_refresh_could_not_store_is_due(self) -> None:
        self.use(servers=2, cores=2)
        handle = self.reserve(servers=1)
        self.exist(servers=4, cores=4)
        self.assertEqual({'servers'}, self.refresh('servers', 'cores'))
        self.assertEqual(({'servers'},) * 2, (self._due(), self._due(USER)))
        self.rollback(handle)
        self.reserve(servers=1)
        self.assertEqual((4, 1), self.usage('servers'))

    def test_what_expired_is_due(self) -> None:
        self.reserve(servers=2, cores=1, expire=1)
        self.reserve(ram=1)
        self.exist(servers=2)  # created by what died before its commit
        self.expire()
        self.assertEqual({'servers', 'cores'}, self._due())
        self.assertEqual({'servers', 'cores'}, self._due(USER))
        self.over(limit=2, servers=1)
        self.reserve(limit=3, servers=1)
        self.assertEqual((2, 1), self.usage('servers'))
