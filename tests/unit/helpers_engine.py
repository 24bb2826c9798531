"""An engine on a driver in memory, and a truth that it counts."""

from __future__ import annotations

import types

import testtools
from oslo_config import cfg

import cellplug
from cellplug import quota
from tests.conformance import memory_quota

NOW = 1_700_000_000.0


class Truth:
    """What exists; a resource's ``sync``.

    :ivar all: of a project, by resource.
    :ivar users: the same of each user.
    :ivar calls: with what it was called: project and user.
    """

    def __init__(self, **everything):
        self.all = everything
        self.users = {}
        self.calls = []
        self.contexts = []

    def __call__(self, context, project_id, user_id):
        self.calls.append((project_id, user_id))
        self.contexts.append(context)
        if user_id is None:
            return self.all
        return self.users.get(user_id, dict.fromkeys(self.all, 0))


class EngineTestCase(testtools.TestCase):
    """Gives ``self.quotas`` and what stands around it."""

    def setUp(self):
        super().setUp()
        self.now = NOW
        self.conf = cfg.ConfigOpts()
        cellplug.register_opts(self.conf)
        self.conf([], project='cellplug', default_config_files=[])
        host = types.SimpleNamespace(clock=lambda: self.now)
        self.driver = memory_quota.MemoryQuota(None, host)
        self.quotas = self.engine(self.driver)
        self.truth = Truth(instances=0, cores=0)
        self.context = cellplug.RequestContext(user_id='u', project_id='p')

    def engine(self, driver):
        return quota.QuotaEngine(
            self.conf, driver, scatter=self.scatter, clock=lambda: self.now
        )

    def scatter(self, context, fn, *args, **options):
        raise AssertionError('nothing is scattered here')

    def register(self, **defaults):
        """Reservable resources with these limits by default."""
        self.quotas.register_resources(
            cellplug.ReservableResource(n, sync=self.truth, default=limit)
            for n, limit in defaults.items()
        )

    def usage(self, resource='instances', user_id=None):
        """Limit, in use and reserved."""
        if user_id is None:
            found = self.quotas.get_project_quotas(self.context, 'p')
        else:
            found = self.quotas.get_user_quotas(self.context, 'p', user_id)
        one = found[resource]
        return one.limit, one.in_use, one.reserved
