"""The suite of quota drivers, whole; here, what is admitted."""

from __future__ import annotations

import json
from typing import Any

from cellplug.testing.conformance import base
from cellplug.testing.conformance import quota_base
from cellplug.testing.conformance import quota_counting
from cellplug.testing.conformance import quota_ending
from cellplug.testing.conformance import quota_limits
from cellplug.testing.conformance import quota_refreshing
from cellplug.testing.conformance import quota_together
from cellplug.testing.conformance import quota_trouble

Capability = quota_base.Capability
USER = quota_base.USER


class QuotaSuite(
    quota_limits.LimitChecks,
    quota_ending.EndingChecks,
    quota_counting.CountingChecks,
    quota_refreshing.RefreshingChecks,
    quota_together.TogetherChecks,
    quota_trouble.TroubleChecks,
):
    """Whether one keeps :class:`cellplug.interfaces.QuotaDriver`.

    Each check has a project of its own, so the source need not be empty.
    """

    # -- admission ---------------------------------------------------------

    def test_a_handle_is_a_string(self) -> None:
        first, second = self.reserve(servers=1), self.reserve(servers=1)
        for handle in (first, second):
            self.assertIs(str, type(handle))
            self.assertEqual(handle, json.loads(json.dumps(handle)))
            self.hide_check('a handle', handle)
        if self.can(Capability.RESERVATIONS):
            self.assertNotEqual(first, second)

    @base.area('capabilities')
    def test_reservations_declared_are_tracked(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.reserve(servers=2)
        self.assertEqual((0, 2), self.usage('servers'))
        self.assertEqual((0, 2), self.usage('servers', USER))

    @base.area('capabilities')
    def test_reservations_undeclared_hold_nothing(self) -> None:
        if self.can(Capability.RESERVATIONS):
            self.not_applicable('it declares RESERVATIONS')
        handle = self.reserve(limit=1, servers=9)
        self.assertEqual('', handle)
        for _ in range(2):
            self.commit(handle)
            self.rollback(handle)
        self.reset()
        self.assertEqual(frozenset(), self.refresh())
        self.assertEqual(0, self.subject.expire(self.context))
        self.assertEqual(({}, []), (self.known(), self.reservations()))
        self.assertEqual([], self.counted)

    def test_up_to_the_limit_is_admitted(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.reserve(limit=3, servers=2)
        self.reserve(limit=3, servers=1)
        self.reserve(limit=3, servers=0)
        self.over(limit=3, servers=1)
        self.assertEqual((0, 3), self.usage('servers'))

    def test_what_is_in_use_counts(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=3)
        self.over(limit=3, servers=1)
        self.reserve(limit=4, servers=1)

    def test_a_refusal_says_what_and_how_much(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=2, cores=3)
        self.reserve(servers=1)
        refusal = self.over(limit=4, servers=2, cores=2, ram=1)
        self.assertEqual(['cores', 'servers'], refusal.overs)
        for name, used in (('servers', 3), ('cores', 3)):
            self.assertEqual(4, refusal.limits[name])
            self.assertEqual(used, refusal.usages[name])
            self.assertEqual(1, refusal.headroom[name])

    def test_a_refusal_names_all_that_is_over(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.set_limits(servers=5, cores=100)
        self.set_limits(user=USER, cores=3)
        self.reserve(user='other', servers=4, cores=50, ram=1)
        refusal = self.over(limit=9, servers=2, cores=4, ram=2)
        self.assertEqual(['cores', 'servers'], refusal.overs)
        self.assertEqual(1, refusal.headroom['servers'], 'of the project')
        self.assertEqual(3, refusal.headroom['cores'], 'of the user')

    def test_headroom_is_the_least_there_is(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.set_limits(servers=10)
        self.set_limits(user=USER, servers=8)
        self.reserve(user='other', servers=7)
        self.assertEqual(3, self.over(servers=4).headroom['servers'])
        self.assertEqual(3, self.over(servers=9).headroom['servers'])
        self.reserve(servers=3)
        self.assertEqual(0, self.over(servers=1).headroom['servers'])

    def test_headroom_is_never_negative(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=5)
        for delta in (1, 0):  # what adds nothing is over as well
            refusal = self.over(limit=3, servers=delta)
            self.assertEqual(5, refusal.usages['servers'])
            self.assertEqual(0, refusal.headroom['servers'])

    def test_all_or_nothing_is_reserved(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=1, cores=3, ram=1)
        self.over(limit=3, servers=1, cores=1, ram=1)
        for name in ('servers', 'cores', 'ram'):
            self.assertEqual(0, self.usage(name)[1], f'{name} reserved')

    def test_minus_one_is_unlimited(self) -> None:
        self.reserve(limit=-1, servers=10**6)

    def test_a_limit_that_is_set_comes_before_the_default(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.set_limits(servers=2, cores=-1)
        self.over(limit=100, servers=3)
        self.reserve(limit=0, servers=2, cores=50)

    def test_a_class_limits_who_is_in_it(self) -> None:
        self.need(Capability.RESERVATIONS)
        quota_class = self.new_class(servers=2)
        self.over(limit=100, quota_class=quota_class, servers=3)
        self.reserve(limit=0, quota_class=quota_class, servers=2)
        self.reserve(limit=100, servers=3)

    def test_a_limit_that_was_removed_refuses_nobody(self) -> None:
        self.need(Capability.RESERVATIONS)
        for limit in (2, 1):
            self.set_limits(servers=limit)
            self.set_limits(user=USER, servers=limit)
        self.over(limit=9, servers=2)
        nothing: dict[str, Any] = {'servers': None}
        self.set_limits(**nothing)
        self.over(limit=9, servers=2)
        self.set_limits(user=USER, **nothing)
        self.reserve(limit=9, servers=9)
        self.over(limit=9, servers=1)

    def test_the_projects_total_counts_all_users(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.set_limits(servers=5)
        self.reserve(user='one', servers=3)
        self.reserve(user='two', servers=2)
        self.over(user='two', servers=1)
        self.assertEqual((0, 5), self.usage('servers'))
        self.assertEqual((0, 3), self.usage('servers', 'one'))
        self.assertEqual((0, 2), self.usage('servers', 'two'))

    def test_a_user_has_a_limit_of_their_own(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.set_limits(servers=10)
        self.set_limits(user=USER, servers=2)
        self.reserve(servers=2)
        self.over(servers=1)
        self.reserve(user='other', servers=5)

    def test_a_reservation_may_have_no_user(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.commit(self.reserve(user=None, servers=2))
        self.assertEqual((2, 0), self.usage('servers'))
        self.over(limit=2, user=None, servers=1)

    def test_a_resource_may_have_no_users(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.set_limits(user=USER, networks=0)
        self.exist(networks=1, servers=1)
        handle = self.reserve(
            limit=4, per_project=['networks'], networks=2, servers=2
        )
        self.assertEqual((1, 2), self.usage('networks'))
        self.assertEqual({'servers'}, set(self.known(USER)))
        self.over(limit=4, per_project=['networks'], networks=2)
        self.commit(handle)
        self.assertEqual((3, 0), self.usage('networks'))
        self.assertNotIn((USER, 'networks'), self.counted)

    def test_projects_do_not_share(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.reserve(limit=1, servers=1)
        self.project += '-other'
        self.assertEqual((0, 0), self.usage('servers'))
        self.reserve(limit=1, servers=1)

    def test_less_is_always_admitted(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=5)
        handle = self.reserve(limit=1, servers=-2)
        self.assertEqual((5, 0), self.usage('servers'))
        self.commit(handle)
        self.assertEqual((3, 0), self.usage('servers'))
        self.rollback(self.reserve(limit=1, servers=-2))
        self.assertEqual((3, 0), self.usage('servers'))

    def test_nothing_falls_below_zero(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=1)
        self.commit(self.reserve(servers=-3))
        in_use, reserved = self.usage('servers')
        self.assertGreaterEqual(in_use, 0)
        self.assertEqual(0, reserved)

    def test_what_would_fall_below_zero_is_counted(self) -> None:
        self.need(Capability.RESERVATIONS)
        self.use(servers=0)
        creation = self.reserve(servers=1)
        self.use(servers=-1)  # made, and gone already
        self.commit(creation)
        self.reserve(limit=1, servers=1)

    def test_arguments_are_left_as_they_are(self) -> None:
        deltas, defaults = {'servers': 1, 'cores': 2}, {'servers': 5}
        self.subject.reserve(
            self.context,
            deltas,
            project_id=self.project,
            user_id=USER,
            defaults={**defaults, 'cores': 5},
            count=self.count,
        )
        self.assertEqual({'servers': 1, 'cores': 2}, deltas)
        self.assertEqual({'servers': 5}, defaults)
