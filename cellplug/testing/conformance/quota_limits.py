"""The suite of quota drivers: limits."""

from __future__ import annotations

from typing import Any

from cellplug import exception
from cellplug.objects import quota
from cellplug.testing.conformance import base
from cellplug.testing.conformance import quota_base

Capability = quota_base.Capability
USER = quota_base.USER


class LimitChecks(quota_base.QuotaCase):
    """What is set is found, and what is removed is gone."""

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
        quota_class = self.new_class(servers=7, cores=6)
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

    def test_a_limit_says_where_it_was_found(self) -> None:
        quota_class = self.new_class(ram=1, cores=1, servers=1)
        self.set_limits(cores=2, servers=2)
        self.set_limits(user=USER, servers=3)
        found = self.subject.get_limits(
            self.context,
            project_id=self.project,
            user_id=USER,
            quota_class=quota_class,
        )
        self.assertEqual(
            {
                'ram': quota.Limit('ram', 1, 'class'),
                'cores': quota.Limit('cores', 2, 'project'),
                'servers': quota.Limit('servers', 3, 'user'),
            },
            found,
        )

    def test_a_class_answers_for_itself_alone(self) -> None:
        quota_class = self.new_class(servers=7)
        self.set_limits(servers=3, cores=2)
        found = self.subject.get_class_limits(self.context, quota_class)
        self.assertEqual(
            {'servers': 7}, {name: one.limit for name, one in found.items()}
        )
        self.assertEqual(
            {}, self.subject.get_class_limits(self.context, self.project)
        )

    def test_the_users_with_limits_are_found(self) -> None:
        self.set_limits(servers=9)
        self.set_limits(user='one', servers=2, cores=3)
        self.set_limits(user='two', servers=-1)
        self.set_limits(user='three', servers=4)
        self.set_limits(user='three', servers=None)
        found = self.subject.get_users_limits(self.context, self.project)
        plain = {
            user: {name: one.limit for name, one in limits.items()}
            for user, limits in found.items()
            if limits
        }
        self.assertEqual(
            {'one': {'servers': 2, 'cores': 3}, 'two': {'servers': -1}}, plain
        )

    def test_what_was_removed_does_not_rise_again(self) -> None:
        quota_class = self.new_class(servers=7)
        for limit in (3, 5):
            self.set_limits(servers=limit)
            self.set_limits(user=USER, servers=limit)
        everywhere: dict[str, Any] = {
            'user_id': USER,
            'quota_class': quota_class,
        }
        self.set_limits(user=USER, servers=None)
        self.assertEqual({'servers': 5}, self.limits(**everywhere))
        self.set_limits(servers=None)
        self.assertEqual({'servers': 7}, self.limits(**everywhere))
        self.subject.set_class_limits(
            self.context, {'servers': None}, quota_class=quota_class
        )
        self.assertEqual({}, self.limits(**everywhere))
        self.assertEqual({}, self.limits())

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
