"""The suite of quota drivers: what is counted, and when that is stored."""

from __future__ import annotations

from collections.abc import Collection

from cellplug import exception
from cellplug.objects import quota
from cellplug.testing.conformance import base
from cellplug.testing.conformance import quota_base

Capability = quota_base.Capability
USER = quota_base.USER


class CountingChecks(quota_base.QuotaCase):
    """The truth is counted where it is needed, and nothing twice."""

    def setUp(self) -> None:
        super().setUp()
        self.skip_own(CountingChecks, Capability.RESERVATIONS)

    # -- what is not known yet ---------------------------------------------

    def test_what_exists_already_is_counted_first(self) -> None:
        self.exist(servers=3)
        self.over(limit=3, servers=1)
        self.reserve(limit=4, servers=1)
        self.assertEqual((3, 1), self.usage('servers'))
        self.assertEqual(
            {(None, 'servers'), (USER, 'servers')}, {*self.counted}
        )

    def test_what_cannot_be_counted_is_not_admitted(self) -> None:
        def count(
            resources: Collection[str], user_id: str | None
        ) -> quota.Counts:
            raise exception.CellUnavailable('u', 'n', 'the suite says so')

        self.refused(
            exception.CellplugError, self.reserve, servers=1, count=count
        )
        self.assertEqual((0, 0), self.usage('servers'))
        self.exist(servers=2)
        self.reserve(servers=1)
        self.assertEqual((2, 1), self.usage('servers'))

    # -- refresh -----------------------------------------------------------

    def test_a_refresh_stores_what_was_counted(self) -> None:
        self.use(servers=5, cores=2)
        self.exist(servers=3)
        self.assertEqual(frozenset(), self.refresh())
        self.assertEqual((3, 0), self.usage('servers'))
        self.assertEqual((3, 0), self.usage('servers', USER))
        self.assertEqual((2, 0), self.usage('cores'))

    @base.area('threads')
    def test_a_refresh_overwrites_no_commit_made_meanwhile(self) -> None:
        self.use(servers=3)

        def count(
            resources: Collection[str], user_id: str | None
        ) -> quota.Counts:
            # What is created now is not in what was counted before.
            self.use(servers=1)
            return quota.Counts({'servers': 3})

        self.assertEqual({'servers'}, self.refresh(count=count))
        in_use, _ = self.usage('servers')
        self.assertGreater(in_use, 3)

    @base.area('threads')
    def test_a_refresh_keeps_what_is_reserved(self) -> None:
        self.use(servers=3)
        handle = self.reserve(servers=2)
        self.exist(servers=5)  # created, and about to be committed
        self.assertEqual({'servers'}, self.refresh())
        self.commit(handle)
        self.assertEqual((5, 0), self.usage('servers'))
