"""The ``database`` quota driver on a deployment, and a truth to count."""

import contextlib
import threading

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import registry
from cellplug.db import retry
from cellplug.db.api import models
from cellplug.objects import quota
from tests.functional import databases
from tests.functional import helpers_deployment as helpers

PROJECT, USER = 'project', 'user'


class Clock:
    """Seconds since 1970, as a test turns them."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class Cells:
    """What exists, by user and resource; ``count`` asks it.

    :ivar missing: the cells that do not answer, and why.
    :ivar asked: the users (None for all) and resources of each count.
    :ivar before: called, once, when the cells are about to be asked.
    :ivar meanwhile: called, once, when they have been asked, and what they
        said is on its way.
    """

    def __init__(self):
        self.truth = {}
        self.missing = {}
        self.asked = []
        self.error = None
        self.before = None
        self.meanwhile = None

    def exist(self, user=USER, **numbers):
        self.truth.update({(user, name): n for name, n in numbers.items()})

    def count(self, resources, user_id):
        self.asked.append((user_id, tuple(sorted(resources))))
        if self.error is not None:
            raise self.error
        self._call('before')
        values = {
            name: sum(
                number
                for (user, one), number in self.truth.items()
                if one == name and user_id in (None, user)
            )
            for name in resources
        }
        self._call('meanwhile')
        return quota.Counts(values, dict(self.missing))

    def _call(self, name):
        call = getattr(self, name)
        setattr(self, name, None)
        if call is not None:
            call()


class QuotaTestCase(helpers.DeploymentTestCase):
    """Gives ``self.driver``, the books of PROJECT, and a clock to turn."""

    options = {}  # noqa: RUF012 (read only)

    def setUp(self):
        super().setUp()
        self.clock = Clock()
        self.cells = Cells()
        self.deploy(
            0, options=dict(self.options), router={'clock': self.clock}
        )
        self.driver = self.new_driver()
        self.url = self.deployment.api_url

    def new_driver(self):
        return self.router._parts.loader.load('quota', 'database')

    def option(self, name, value):
        self.deployment.conf.set_override(name, value, 'quota_database')

    def reserve(
        self, limit=-1, user=USER, expire=None, quota_class=None, **deltas
    ):
        return self.driver.reserve(
            self.context(),
            deltas,
            project_id=PROJECT,
            user_id=user,
            defaults=dict.fromkeys(deltas, limit),
            count=self.cells.count,
            expire=expire,
            quota_class=quota_class,
        )

    def commit(self, handle):
        self.driver.commit(self.context(), handle)

    def rollback(self, handle):
        self.driver.rollback(self.context(), handle)

    def expire(self):
        return self.driver.expire(self.context())

    def use(self, **deltas):
        self.commit(self.reserve(**deltas))

    def refresh(self, *resources, user=USER):
        return self.driver.refresh(
            self.context(),
            resources or ('cores',),
            project_id=PROJECT,
            user_id=user,
            count=self.cells.count,
        )

    def reset(self, *resources, user=None):
        self.driver.reset(
            self.context(),
            resources or ('cores',),
            project_id=PROJECT,
            user_id=user,
        )

    def usage(self, resource='cores', user=None):
        """In use and reserved; None where nothing is known."""
        found = self.driver.get_usages(
            self.context(), project_id=PROJECT, user_id=user
        ).get(resource)
        return found and (found.in_use, found.reserved)

    def usages(self, resource='cores'):
        """The same of the total and the user."""
        return self.usage(resource), self.usage(resource, USER)

    def is_due(self, resource='cores', user=None):
        return self.driver.get_usages(
            self.context(), project_id=PROJECT, user_id=user
        )[resource].refresh_due

    def stored(self, table, *columns):
        """Rows, read past cellplug."""
        query = sa.select(*(table.c[name] for name in columns)).order_by(
            table.c.id
        )
        with helpers.past_cellplug(self.url) as connection:
            return [tuple(row) for row in connection.execute(query)]

    def change_usages(self, **values):
        """Change all rows past cellplug, as nothing of ours would."""
        with helpers.past_cellplug(self.url) as connection:
            connection.execute(sa.update(models.quota_usages), values)

    def engine(self):
        """The engine of the driver's transactions."""
        engines = self.router._registry.engines(registry.API_DATABASE)
        return engines.manager().engine

    @contextlib.contextmanager
    def conflicts(self):
        """The conflicts that a statement or a COMMIT met meanwhile."""
        met = []

        def see(context):
            error = context.sqlalchemy_exception
            if error is not None and retry.is_conflict(error):
                met.append(error)

        engine = self.engine()
        sa.event.listen(engine, 'handle_error', see)
        try:
            yield met
        finally:
            sa.event.remove(engine, 'handle_error', see)


def race(*calls):
    """Outcomes of calls that start at once."""
    return databases.Race(*calls).outcomes


def refused(outcomes):
    """How many were over quota; anything else that was raised fails."""
    errors = [one for one in outcomes if isinstance(one, Exception)]
    for error in errors:
        if not isinstance(error, exception.OverQuota):
            raise error
    return len(errors)


def in_thread(call):
    """Run a call to its end in another thread."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(databases.PATIENCE)
