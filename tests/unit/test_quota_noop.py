"""The ``noop`` quota driver."""

import testtools

import cellplug
from cellplug import exception
from cellplug.testing import deployment


class TestNoop(testtools.TestCase):
    def setUp(self):
        super().setUp()
        conf = self.useFixture(
            deployment.ConfFixture({'quota.driver': 'noop'})
        ).conf
        self.router = cellplug.CellRouter.from_conf(
            conf, database=cellplug.Database()
        )
        self.addCleanup(self.router.close)
        self.driver = self.router._parts.loader.load('quota', 'noop')
        self.context = cellplug.RequestContext(user_id='u', project_id='p')

    def reserve(self, **more):
        return self.driver.reserve(
            self.context,
            {'cores': 2**53},
            project_id='p',
            user_id='u',
            defaults={'cores': 0},
            count=self.fail,
            **more,
        )

    def test_everything_is_admitted_and_nothing_counted(self):
        handle = self.reserve()
        self.assertEqual('', handle)
        self.driver.commit(self.context, handle)
        self.driver.commit(self.context, handle)
        self.driver.rollback(self.context, handle)
        self.assertEqual(0, self.driver.expire(self.context))

    def test_nothing_is_known(self):
        context = self.context
        for found in (
            self.driver.get_limits(context, project_id='p'),
            self.driver.get_class_limits(context, 'gold'),
            self.driver.get_users_limits(context, 'p'),
            self.driver.get_usages(context, project_id='p'),
            self.driver.get_reservations(context),
        ):
            self.assertFalse(found)
        refreshed = self.driver.refresh(
            context, ['cores'], project_id='p', count=self.fail
        )
        self.assertEqual(frozenset(), refreshed)
        self.driver.reset(context, ['cores'], project_id='p')

    def test_limits_cannot_be_set(self):
        self.assertEqual(frozenset(), self.driver.capabilities)
        for call, owner in (
            (self.driver.set_limits, {'project_id': 'p'}),
            (self.driver.set_class_limits, {'quota_class': 'gold'}),
        ):
            error = self.assertRaises(
                exception.NotSupported, call, self.context, {'a': 1}, **owner
            )
            self.assertIn('[quota] driver', str(error))

    def test_what_is_no_time_is_refused(self):
        error = self.assertRaises(
            exception.InvalidInput, self.reserve, expire='soon'
        )
        self.assertIn('soon', str(error))
