"""Drivers are found by name, checked, built once and closed in order."""

import importlib
import pathlib
import sys
import textwrap
import uuid
from typing import Any

import fixtures
import testtools
from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug import opts
from cellplug.interfaces import base

RESOLVER = """
from oslo_config import cfg
from cellplug import interfaces

class {name}(interfaces.Resolver):
    {body}

    @classmethod
    def options(cls):
        return [cfg.StrOpt('planet', default='mars', help='Where.')]

    def __init__(self, options, host):
        self.options_group = options
        self.host = host
        self.closed = 0

    def get_cell(self, cell): ...
    def list_cells(self): return []
    def get_instance(self, instance_uuid): ...
    def get_instances(self, instance_uuids): return {{}}
    def forget_cell(self, cell_uuid): ...
    def forget_instance(self, instance_uuid, below_generation=None): ...
    def close(self): self.closed += 1
"""


class DistributionFixture(fixtures.Fixture):
    """An installed distribution with entry points, for this test alone."""

    def __init__(self, name: str, points: str, source: str = '') -> None:
        super().__init__()
        self.name = name
        self.module = f'outside_{uuid.uuid4().hex}'
        self._points = points
        self._source = source

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        info = folder / f'{self.name}-1.5.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {self.name}\nVersion: 1.5\n'
        )
        points = textwrap.dedent(self._points).replace('MODULE', self.module)
        (info / 'entry_points.txt').write_text(points)
        (folder / f'{self.module}.py').write_text(self._source)
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        self.addCleanup(sys.modules.pop, self.module, None)
        importlib.invalidate_caches()
        # stevedore remembers for the process what was installed.
        self.useFixture(
            fixtures.MonkeyPatch(
                'stevedore.extension.ExtensionManager.ENTRY_POINT_CACHE', {}
            )
        )


class Host:
    """What a driver gets, where the test needs nothing of it."""

    database: Any = None
    clock: Any = None


class LoaderTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.conf = cfg.ConfigOpts()
        cellplug.register_opts(self.conf)
        self.conf([], project='cellplug', default_config_files=[])

    def install(
        self, name: str = 'stranger', driver: str = 'mine', body: str = 'x = 1'
    ) -> DistributionFixture:
        return self.useFixture(
            DistributionFixture(
                name,
                f'[cellplug.resolver]\n{driver} = MODULE:Theirs\n',
                RESOLVER.format(name='Theirs', body=body),
            )
        )


class TestFinding(LoaderTestCase):
    def test_the_shipped_drivers_are_installed(self) -> None:
        names = {(o.interface, o.name) for o in loader.installed()}
        self.assertIn(('resolver', 'database'), names)
        self.assertIn(('transport_cache', 'process'), names)

    def test_a_stranger_is_listed_with_its_origin(self) -> None:
        self.install()
        [found] = [o for o in loader.installed('resolver') if o.name == 'mine']
        self.assertEqual('stranger 1.5', found.origin)

    def test_a_stranger_loads_and_gets_its_options_group(self) -> None:
        self.install()
        driver = loader.Loader(self.conf, Host()).load('resolver', 'mine')
        self.assertIsInstance(driver, interfaces.Resolver)
        self.assertEqual('mars', driver.options_group.planet)

    def test_a_strangers_options_reach_the_sample(self) -> None:
        self.install()
        self.assertIn('resolver_mine', dict(opts.list_opts()))


class TestRefusing(LoaderTestCase):
    def load(self, name: str) -> Any:
        return loader.Loader(self.conf, Host()).load('resolver', name)

    def test_an_unknown_name_lists_what_is_installed(self) -> None:
        error = self.assertRaises(
            exception.UnknownDriver, self.load, 'databse'
        )
        self.assertIn('database', error.available)
        self.assertIn("resolver driver 'databse'", str(error))
        self.assertNotIn('\n', str(error))

    def test_a_driver_that_cannot_be_imported_says_why(self) -> None:
        self.useFixture(
            DistributionFixture(
                'broken',
                '[cellplug.resolver]\nbroken = MODULE:Theirs\n',
                'import no_such_module_anywhere\n',
            )
        )
        error = self.assertRaises(
            exception.DriverLoadError, self.load, 'broken'
        )
        self.assertIn('no_such_module_anywhere', str(error))
        self.assertIn('broken 1.5', str(error))
        self.assertIsInstance(error.__cause__, ModuleNotFoundError)

    def test_a_broken_driver_leaves_the_others_working(self) -> None:
        self.useFixture(
            DistributionFixture(
                'broken',
                '[cellplug.resolver]\nbroken = MODULE:Theirs\n',
                'raise RuntimeError("no")\n',
            )
        )
        self.install()
        self.assertIsInstance(self.load('mine'), interfaces.Resolver)
        self.assertIn('resolver_mine', dict(opts.list_opts()))

    def test_a_missing_class_says_which(self) -> None:
        self.useFixture(
            DistributionFixture(
                'hollow', '[cellplug.resolver]\nhollow = MODULE:Nothing\n'
            )
        )
        error = self.assertRaises(
            exception.DriverLoadError, self.load, 'hollow'
        )
        self.assertIn('Nothing', str(error))

    def test_one_name_from_two_distributions_names_both(self) -> None:
        self.install('first')
        self.install('second')
        error = self.assertRaises(exception.DuplicateDriver, self.load, 'mine')
        self.assertIn('first 1.5', str(error))
        self.assertIn('second 1.5', str(error))

    def test_what_is_no_resolver_is_refused(self) -> None:
        self.useFixture(
            DistributionFixture(
                'wrong',
                '[cellplug.resolver]\nwrong = MODULE:Theirs\n',
                'class Theirs:\n    pass\n',
            )
        )
        error = self.assertRaises(
            exception.WrongDriverType, self.load, 'wrong'
        )
        self.assertIn('cellplug.interfaces.Resolver', str(error))

    def test_a_resolver_that_lacks_a_method_is_refused(self) -> None:
        self.useFixture(
            DistributionFixture(
                'partial',
                '[cellplug.resolver]\npartial = MODULE:Theirs\n',
                'from cellplug import interfaces\n'
                'class Theirs(interfaces.Resolver):\n    pass\n',
            )
        )
        error = self.assertRaises(
            exception.WrongDriverType, self.load, 'partial'
        )
        self.assertIn('get_instance', str(error))

    def refusal(self, version: str) -> str:
        """What is said of a driver of this api_version, in one line."""
        self.install(body=f'api_version = {version}')
        error = self.assertRaises(exception.DriverLoadError, self.load, 'mine')
        self.assertNotIn('\n', str(error))
        return str(error)

    def test_an_older_contract_asks_for_a_newer_driver(self) -> None:
        line = self.refusal('0')
        self.assertIn('version 0 of the driver contracts', line)
        self.assertIn('this cellplug has 1', line)
        self.assertIn('install a newer release of the driver', line)

    def test_a_newer_contract_asks_for_a_newer_cellplug(self) -> None:
        line = self.refusal(str(base.API_VERSION + 1))
        self.assertIn('upgrade cellplug', line)

    def test_a_version_that_is_no_integer_says_what_to_write(self) -> None:
        for version in ("'1'", '1.0', 'None', 'True'):
            with testtools.ExpectedException(exception.DriverLoadError):
                loader._check_version('resolver', 'mine', eval(version))
        self.assertIn("its api_version is '1'", self.refusal("'1'"))

    def test_every_version_of_the_range_is_taken(self) -> None:
        self.useFixture(
            fixtures.MonkeyPatch('cellplug.interfaces.base.API_VERSION', 4)
        )
        self.useFixture(
            fixtures.MonkeyPatch(
                'cellplug.interfaces.base.OLDEST_API_VERSION', 2
            )
        )
        self.assertIn('this cellplug has 2 to 4', self.refusal('5'))
        for version in (2, 3, 4):
            loader._check_version('resolver', 'mine', version)

    def test_a_constructor_that_fails_says_why(self) -> None:
        distribution = self.install()
        module = importlib.import_module(distribution.module)

        def fail(self: Any, options: Any, host: Any) -> None:
            raise OSError('disk on fire')

        module.Theirs.__init__ = fail
        error = self.assertRaises(exception.DriverLoadError, self.load, 'mine')
        self.assertIn('disk on fire', str(error))

    def test_options_that_fail_say_why_and_leave_the_sample_whole(
        self,
    ) -> None:
        distribution = self.install()
        module = importlib.import_module(distribution.module)

        def fail() -> None:
            raise KeyError('colour')

        module.Theirs.options = fail
        error = self.assertRaises(exception.DriverLoadError, self.load, 'mine')
        self.assertIn('colour', str(error))
        self.assertIn('rpc', dict(opts.list_opts()))

    def test_a_driver_that_asks_for_itself_is_refused(self) -> None:
        distribution = self.install()
        module = importlib.import_module(distribution.module)

        def ask(self: Any, options: Any, host: Any) -> None:
            host.load('resolver', 'mine')

        module.Theirs.__init__ = ask
        host: Any = Host()
        one = loader.Loader(self.conf, host)
        host.load = one.load
        error = self.assertRaises(
            exception.DriverLoadError, one.load, 'resolver', 'mine'
        )
        self.assertIn('mine -> mine', str(error))


class TestLife(LoaderTestCase):
    def test_a_driver_is_built_once(self) -> None:
        self.install()
        one = loader.Loader(self.conf, Host())
        first = one.load('resolver', 'mine')
        self.assertIs(first, one.load('resolver', 'mine'))

    def test_drivers_close_once_the_last_loaded_first(self) -> None:
        closed: list[str] = []
        one = loader.Loader(self.conf, Host())
        for name in ('early', 'late'):
            self.install(name, driver=name)
            driver = one.load('resolver', name)
            driver.close = lambda name=name: closed.append(name)
        one.close()
        one.close()
        self.assertEqual(['late', 'early'], closed)

    def test_a_close_that_fails_does_not_stop_the_others(self) -> None:
        closed: list[str] = []

        def fail() -> None:
            raise RuntimeError('stuck')

        one = loader.Loader(self.conf, Host())
        self.install('early', driver='early')
        self.install('late', driver='late')
        one.load('resolver', 'early').close = lambda: closed.append('early')
        one.load('resolver', 'late').close = fail
        self.assertRaises(ExceptionGroup, one.close)
        self.assertEqual(['early'], closed)

    def test_the_router_uses_the_driver_that_the_option_names(self) -> None:
        self.install()
        self.conf.set_override('driver', 'mine', 'resolver')
        with cellplug.CellRouter.from_conf(self.conf) as router:
            self.assertEqual([], router.cells.list())


class TestOptions(LoaderTestCase):
    def test_the_api_database_runs_read_committed_whatever_cells_do(
        self,
    ) -> None:
        self.assertIn('isolation_level', self.conf.cell_database)
        self.assertNotIn('isolation_level', self.conf.api_database)
