"""What a run asks for, and that its quotas just admit it."""

from __future__ import annotations

import collections
import pathlib

import fixtures
import testtools
from oslo_config import cfg

import cellplug
from cellplug.lab import flavors
from cellplug.lab import people
from cellplug.lab import plan

EXPECTED = plan.Expected


class TestPlan(testtools.TestCase):
    def test_all_that_were_wanted_fit_whatever_their_number(self):
        for instances in (1, 2, 3, 6, 7, 30, 41):
            made = plan.Plan(instances, limited=True)
            self.assertEqual(
                {
                    EXPECTED.ACTIVE: instances,
                    EXPECTED.ERROR: 1,
                    EXPECTED.REFUSED: 2,
                },
                collections.Counter(boot.expected for boot in made.boots),
            )

    def test_names_sort_as_they_were_asked_for(self):
        for instances in (1, 9, 10, 99, 100):
            boots = plan.Plan(instances, limited=False).boots
            fitting = [b.name for b in boots if b.expected is EXPECTED.ACTIVE]
            self.assertEqual(sorted(set(fitting)), fitting)
            (large,) = (b for b in boots if b.expected is EXPECTED.ERROR)
            self.assertEqual(large.name, max(*fitting, large.name))

    def test_the_one_no_cell_takes_needs_the_place_of_the_last(self):
        boots = plan.Plan(5, limited=True).boots
        self.assertEqual(
            [EXPECTED.ERROR, EXPECTED.ACTIVE, EXPECTED.REFUSED],
            [boot.expected for boot in boots[-3:]],
        )
        self.assertGreater(boots[-3].flavor.memory_mb, flavors.LARGEST_MB)

    def test_the_guest_is_refused_while_the_project_has_room(self):
        for instances in (1, 3, 7, 30):
            boots = plan.Plan(instances, limited=True).boots
            of_guest = [n for n, b in enumerate(boots) if b.user == 'guest']
            last = boots[of_guest[-1]]
            self.assertIs(EXPECTED.REFUSED, last.expected)
            after = boots[of_guest[-1] :]
            self.assertIn(EXPECTED.ACTIVE, [b.expected for b in after])
            self.assertLessEqual(last.flavor.cores, 1)

    def test_without_limits_nothing_is_refused(self):
        boots = plan.Plan(9, limited=False).boots
        self.assertNotIn(EXPECTED.REFUSED, [b.expected for b in boots])
        self.assertEqual(10, len(boots))

    def test_both_users_are_known(self):
        boots = plan.Plan(30, limited=True).boots
        self.assertEqual(set(people.USERS), {boot.user for boot in boots})


class TestResources(testtools.TestCase):
    """Installed everywhere, and there in a lab alone."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = self.folder / 'cellplug.conf'
        self.path.write_text(
            f'[api_database]\nconnection = sqlite:///{self.folder}/api.sqlite'
        )

    def names(self, **options):
        conf = cfg.ConfigOpts()
        cellplug.register_opts(conf)
        conf([], project='cellplug', use_env=False, **options)
        with cellplug.CellRouter.from_conf(conf) as router:
            return list(router.quotas.resources)

    def test_other_deployments_do_not_get_them(self):
        files = [str(self.path)]
        self.assertEqual([], self.names(default_config_files=files))
        self.assertEqual([], self.names(default_config_files=[]))

    def test_a_lab_has_them_wherever_it_is_looked_at_from(self):
        with self.path.open('a') as file:
            file.write('\n[quota]\nresource_plugins = lab\n')
        self.assertEqual(
            ['cores', 'instances', 'memory_mb'],
            self.names(default_config_files=[str(self.path)]),
        )
