"""The suite of quota drivers: limits, and what is admitted."""

from __future__ import annotations

import json
from typing import Any

from cellplug import exception
from cellplug.testing.conformance import base
from cellplug.testing.conformance import quota_base
from cellplug.testing.conformance import quota_counting
from cellplug.testing.conformance import quota_ending
from cellplug.testing.conformance import quota_trouble

Capability = quota_base.Capability
USER = quota_base.USER


class QuotaSuite(
    quota_ending.EndingChecks,
    quota_counting.CountingChecks,
    quota_trouble.TroubleChecks,
):
    """Whether one keeps :class:`cellplug.interfaces.QuotaDriver`.

    Each check has a project of its own, so the source need not be empty.
    """

    # -- limits ------------------------------------------------------------

    def test_a_limit_that_is_not_set_is_absent(self) -> None:
        self.assertEqual({}, self.limits())
        self.assertEqual({}, self.limits(user_id=USER, quota_class='nobody'))

    def test_limits_are_set_changed_and_removed(self) -> None:
        self.set_limits(servers=3, cores=-1, ram=0)
        self.assertEqual({'servers': 3, 'cores': -1, 'ram': 0}, self.limits())
        self.set_limits(servers=5)
        self.assertEqual({'servers': 5, 'cores': -1, 'ram': 0}, self.limits())
        self.set_limits(servers=None, ram=None)
        self.assertEqual({'cores': -1}, self.limits())
        self.set_limits(servers=None)
        self.assertEqual({'cores': -1}, self.limits())

    def test_a_users_limit_comes_before_the_projects(self) -> None:
        self.set_limits(servers=9, cores=8)
        self.set_limits(user=USER, servers=2)
        self.assertEqual({'servers': 9, 'cores': 8}, self.limits())
        self.assertEqual({'servers': 2, 'cores': 8}, self.limits(user_id=USER))
        self.assertEqual(
            {'servers': 9, 'cores': 8}, self.limits(user_id='other')
        )
        self.set_limits(user=USER, servers=None)
        self.assertEqual({'servers': 9, 'cores': 8}, self.limits(user_id=USER))

    def test_a_class_comes_behind_the_project(self) -> None:
        self.need(Capability.LIMITS)
        quota_class = f'class-{self.project}'
        self.subject.set_class_limits(
            self.context,
            {'servers': 7, 'cores': 6},
            quota_class=quota_class,
        )
        self.set_limits(servers=3)
        self.assertEqual(
            {'servers': 3, 'cores': 6}, self.limits(quota_class=quota_class)
        )
        self.assertEqual({'servers': 3}, self.limits())
        self.subject.set_class_limits(
            self.context, {'cores': None}, quota_class=quota_class
        )
        self.assertEqual({'servers': 3}, self.limits(quota_class=quota_class))

    def test_the_class_default_comes_last(self) -> None:
        self.need(Capability.LIMITS)
        resource = f'r-{self.project}'
        self.subject.set_class_limits(
            self.context, {resource: 4}, quota_class='default'
        )
        try:
            self.assertEqual({resource: 4}, self.limits())
            values: dict[str, Any] = {resource: 2}
            self.set_limits(**values)
            self.assertEqual({resource: 2}, self.limits())
        finally:
            self.subject.set_class_limits(
                self.context, {resource: None}, quota_class='default'
            )

    @base.area('capabilities')
    def test_limits_undeclared_are_not_supported(self) -> None:
        if self.can(Capability.LIMITS):
            self.not_applicable('it declares LIMITS')
        self.refused(
            exception.NotSupported,
            self.subject.set_limits,
            self.context,
            {'servers': 1},
            project_id=self.project,
        )
        self.refused(
            exception.NotSupported,
            self.subject.set_class_limits,
            self.context,
            {'servers': 1},
            quota_class='default',
        )

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
