"""What each shipped placement driver does with its candidates."""

from __future__ import annotations

import collections
import pathlib
import types
from typing import Any

import fixtures
import testtools
from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug import objects
from cellplug.conf import drivers as driver_options
from cellplug.objects import identifiers
from cellplug.objects import placement

Capability = interfaces.PlacementCapability


class Host:
    """What these drivers ask of a router."""

    def __init__(self) -> None:
        self.conf = cfg.ConfigOpts()
        cellplug.register_opts(self.conf)
        self.loader = loader.Loader(self.conf, self)  # type: ignore[arg-type]
        self.load = self.loader.load
        self.files: list[str] = []

    def read_config(self) -> cfg.ConfigOpts:
        conf = cfg.ConfigOpts()
        conf([], project='cellplug', default_config_files=self.files)
        return conf


def cell(name: str, uuid: str | None = None) -> objects.CellMapping:
    return objects.CellMapping(
        uuid=uuid or identifiers.new_uuid(),
        name=name,
        database_connection=f'sqlite:////nowhere/{name}',
        transport_url=f'fake://{name}/',
    )


class DriverTestCase(testtools.TestCase):
    driver = 'spread'

    def setUp(self) -> None:
        super().setUp()
        self.host = Host()
        self.cells = {name: cell(name) for name in ('c1', 'c2', 'c3')}

    def configure(self, text: str) -> None:
        """Write the configuration that the driver is made from."""
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'conf')
        path.write_text(text)
        self.host.files = [str(path)]
        self.host.conf(
            [], project='cellplug', default_config_files=[str(path)]
        )

    def make(self, text: str = '') -> Any:
        self.configure(text)
        return self.host.load('placement', self.driver)

    def findings(self, text: str) -> list[str]:
        """What ``config validate`` would tell."""
        self.configure(text)
        found = loader.load_class('placement', self.driver)
        return list(found.check_config(self.host.read_config()))

    def rank(
        self,
        driver: Any,
        project_id: str = 'p',
        projects: dict[str, int] | None = None,
        **instances: int,
    ) -> list[str]:
        """The names of the cells, best first."""
        candidates = [
            objects.Candidate(
                cell=self.cells[name],
                instances=number,
                project_instances=(projects or {}).get(name, 0),
            )
            for name, number in instances.items()
        ]
        request = objects.PlacementRequest(
            instance_uuid=identifiers.new_uuid(), project_id=project_id
        )
        names = {one.uuid: name for name, one in self.cells.items()}
        ranked = driver.rank(cellplug.RequestContext(), candidates, request)
        return [names[uuid] for uuid in ranked]

    def no_cell(self, driver: Any, **options: Any) -> str:
        """Why no cell can take an instance."""
        error = self.assertRaises(
            exception.NoCellAvailable, self.rank, driver, **options
        )
        return error.reason


class TestInterface(testtools.TestCase):
    def test_the_default_driver_is_installed(self) -> None:
        name = driver_options.DEFAULTS['placement']
        self.assertEqual('spread', name)
        loader.load_class('placement', name)

    def test_hints_cannot_be_changed(self) -> None:
        request = objects.PlacementRequest(instance_uuid='i', project_id='p')
        self.assertEqual({}, dict(request.hints))
        self.assertIsInstance(request.hints, types.MappingProxyType)

    def test_no_repr_shows_a_url(self) -> None:
        one = objects.CellMapping(
            uuid=identifiers.new_uuid(),
            name='c',
            database_connection='mysql+pymysql://u:s3cr3t@h/d',
            transport_url='rabbit://u:s3cr3t@h/v',
        )
        self.assertNotIn('s3cr3t', repr(objects.Candidate(cell=one)))


class TestTurns(testtools.TestCase):
    """The order in which candidates come, which settles ties."""

    def setUp(self) -> None:
        super().setUp()
        self.all = [
            objects.Candidate(cell=cell(f'c{number}')) for number in range(5)
        ]

    def turn(self, instance: str, *left_out: int) -> list[str]:
        some = [one for at, one in enumerate(self.all) if at not in left_out]
        return [one.cell.name for one in placement.in_turn(some, instance)]

    def test_it_depends_on_the_instance_alone(self) -> None:
        one = identifiers.new_uuid()
        before = self.turn(one)
        self.all.reverse()
        self.assertEqual(before, self.turn(one))

    def test_a_cell_that_goes_leaves_the_others_in_order(self) -> None:
        one = identifiers.new_uuid()
        before = self.turn(one)
        for at in range(5):
            left = [name for name in before if name != f'c{at}']
            self.assertEqual(left, self.turn(one, at))

    def test_each_cell_is_first_about_as_often(self) -> None:
        firsts = collections.Counter(
            self.turn(f'instance-{number}')[0] for number in range(5000)
        )
        # 1000 each are expected; 28 is the standard deviation.
        for number in firsts.values():
            self.assertLess(abs(number - 1000), 6 * 28)
        self.assertEqual(5, len(firsts))


class TestSpread(DriverTestCase):
    def test_the_fewest_come_first(self) -> None:
        ranked = self.rank(self.make(), c1=5, c2=0, c3=3)
        self.assertEqual(['c2', 'c3', 'c1'], ranked)

    def test_equals_stay_in_their_order(self) -> None:
        driver = self.make()
        self.assertEqual(
            ['c3', 'c1', 'c2'], self.rank(driver, c3=2, c1=2, c2=2)
        )
        self.assertEqual(
            ['c1', 'c3', 'c2'], self.rank(driver, c2=3, c1=2, c3=2)
        )


class TestWeighted(DriverTestCase):
    driver = 'weighted'
    THREE_TO_ONE = '[placement_weighted]\nweights = c1:3, c2:1\n'

    def fill(self, driver: Any, count: int, **start: int) -> dict[str, int]:
        """Place so many, each in the first cell."""
        for _ in range(count):
            start[self.rank(driver, **start)[0]] += 1
        return start

    def test_cells_fill_in_proportion(self) -> None:
        driver = self.make(self.THREE_TO_ONE)
        self.assertEqual(
            {'c1': 300, 'c2': 100}, self.fill(driver, 400, c1=0, c2=0)
        )

    def test_what_is_out_of_proportion_is_made_up_for(self) -> None:
        driver = self.make(self.THREE_TO_ONE)
        self.assertEqual(
            {'c1': 75, 'c2': 25}, self.fill(driver, 80, c1=0, c2=20)
        )

    def test_without_weights_it_is_even(self) -> None:
        self.assertEqual(
            ['c2', 'c3', 'c1'], self.rank(self.make(), c1=5, c2=0, c3=3)
        )

    def test_a_cell_of_weight_0_gets_nothing(self) -> None:
        driver = self.make('[placement_weighted]\nweights = c2:0\n')
        self.assertEqual(['c3', 'c1'], self.rank(driver, c1=9, c2=0, c3=5))

    def test_others_have_the_default_weight(self) -> None:
        text = '[placement_weighted]\ndefault_weight = 0\nweights = c2:1\n'
        driver = self.make(text)
        self.assertEqual(['c2'], self.rank(driver, c1=0, c2=9, c3=0))
        self.assertEqual(
            'every cell that is open has weight 0',
            self.no_cell(driver, c1=0, c3=0),
        )
        self.assertEqual([], self.rank(driver))

    def test_a_cell_may_be_named_by_its_uuid(self) -> None:
        uuid = self.cells['c2'].uuid.upper()
        driver = self.make(f'[placement_weighted]\nweights = {uuid}:0\n')
        self.assertEqual(['c1'], self.rank(driver, c1=9, c2=0))

    def test_a_weight_that_is_none_is_one_line(self) -> None:
        for bad in ('heavy', '-1', 'nan', 'inf', '', '1e-300', '3:4'):
            text = f'[placement_weighted]\nweights = c1:{bad}\n'
            error = self.assertRaises(
                exception.ConfigurationError, self.make, text
            )
            self.assertIn(
                f'[placement_weighted] weights: c1: {bad!r} is no weight',
                str(error),
            )
            self.assertEqual([str(error)], self.findings(text))
        self.assertEqual([], self.findings(self.THREE_TO_ONE))

    def test_a_reload_takes_other_weights(self) -> None:
        driver = self.make(self.THREE_TO_ONE)
        self.assertEqual(['c1', 'c2'], self.rank(driver, c1=1, c2=1))
        self.configure('[placement_weighted]\nweights = c1:1, c2:3\n')
        driver.reload()
        self.assertEqual(['c2', 'c1'], self.rank(driver, c1=1, c2=1))
        self.configure('[placement_weighted]\nweights = c1:lots\n')
        self.assertRaises(exception.ConfigurationError, driver.reload)
        self.assertEqual(['c2', 'c1'], self.rank(driver, c1=1, c2=1))


class TestProjectAffinity(DriverTestCase):
    driver = 'project_affinity'

    def test_the_cell_with_the_most_of_the_project_comes_first(self) -> None:
        ranked = self.rank(
            self.make(), c1=9, c2=50, c3=0, projects={'c1': 2, 'c2': 7}
        )
        self.assertEqual(['c2', 'c1', 'c3'], ranked)

    def test_where_it_has_as_many_the_backend_decides(self) -> None:
        driver = self.make()
        ranked = self.rank(driver, c1=1, c2=2, c3=0)
        self.assertEqual(['c3', 'c1', 'c2'], ranked)
        ranked = self.rank(
            driver, c1=8, c2=5, c3=0, projects={'c1': 2, 'c2': 2}
        )
        self.assertEqual(['c2', 'c1', 'c3'], ranked)

    def test_what_the_backend_rules_out_is_out(self) -> None:
        driver = self.make(
            '[placement_project_affinity]\nbackend = weighted\n'
            '[placement_weighted]\nweights = c2:0\n'
        )
        ranked = self.rank(driver, c1=5, c2=0, c3=6, projects={'c2': 9})
        self.assertEqual(['c1', 'c3'], ranked)

    def test_it_needs_what_its_backend_needs(self) -> None:
        self.assertEqual(set(Capability), set(self.make().capabilities))

    def test_it_does_not_stand_in_front_of_itself(self) -> None:
        error = self.assertRaises(
            exception.DriverLoadError,
            self.make,
            '[placement_project_affinity]\nbackend = project_affinity\n',
        )
        self.assertIn('stands in front of itself', str(error))


class TestPinned(DriverTestCase):
    driver = 'pinned'
    ONE = '[placement_pinned]\nprojects = gold:c2\n'

    def test_a_pinned_project_goes_to_its_cell_alone(self) -> None:
        driver = self.make(self.ONE)
        self.assertEqual(['c2'], self.rank(driver, 'gold', c1=0, c2=9, c3=0))

    def test_another_goes_where_the_backend_says(self) -> None:
        driver = self.make(self.ONE)
        self.assertEqual(['c2', 'c1'], self.rank(driver, 'tin', c1=1, c2=0))

    def test_a_cell_may_be_named_by_its_uuid(self) -> None:
        uuid = self.cells['c2'].uuid.upper()
        driver = self.make(f'[placement_pinned]\nprojects = gold:{uuid}\n')
        self.assertEqual(['c2'], self.rank(driver, 'gold', c1=0, c2=9))

    def test_a_cell_that_is_not_open_is_told(self) -> None:
        why = self.no_cell(self.make(self.ONE), project_id='gold', c1=0, c3=0)
        self.assertEqual(
            "project 'gold' is pinned to cell 'c2', which is not open for it",
            why,
        )

    def test_a_reserved_cell_is_for_the_pinned_alone(self) -> None:
        driver = self.make(self.ONE + 'reserved = true\n')
        self.assertEqual(['c1'], self.rank(driver, 'tin', c1=9, c2=0))
        self.assertEqual(['c2'], self.rank(driver, 'gold', c1=0, c2=9))
        self.assertEqual([], self.rank(driver, 'tin', c2=0))

    def test_others_may_be_refused(self) -> None:
        driver = self.make(self.ONE + 'only_pinned = true\n')
        self.assertEqual(
            "project 'tin' is pinned to no cell",
            self.no_cell(driver, project_id='tin', c1=0, c2=0),
        )

    def test_it_needs_what_its_backend_needs(self) -> None:
        driver = self.make()
        self.assertEqual({Capability.COUNTS}, set(driver.capabilities))

    def test_a_pin_that_cannot_be_is_one_line(self) -> None:
        for bad in ('gold:', 'x:' + 'y' * 256, 'x' * 256 + ':c1'):
            text = f'[placement_pinned]\nprojects = {bad}\n'
            error = self.assertRaises(
                exception.ConfigurationError, self.make, text
            )
            self.assertIn('[placement_pinned] projects: ', str(error))
            self.assertEqual([str(error)], self.findings(text))
        self.assertEqual([], self.findings(self.ONE))

    def test_a_reload_takes_other_pins(self) -> None:
        driver = self.make(self.ONE)
        self.configure('[placement_pinned]\nprojects = gold:c1\n')
        driver.reload()
        self.assertEqual(['c1'], self.rank(driver, 'gold', c1=9, c2=0))
        self.configure('[placement_pinned]\nprojects = gold:\n')
        self.assertRaises(exception.ConfigurationError, driver.reload)
        self.assertEqual(['c1'], self.rank(driver, 'gold', c1=9, c2=0))
