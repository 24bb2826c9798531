"""Drivers are found by name, checked, built once and closed in order."""

import importlib
import importlib.metadata
import pathlib
import sys
import textwrap
import threading
import uuid
from typing import Any
from unittest import mock

import fixtures
import testtools
from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug import opts
from cellplug.interfaces import base
from cellplug.loader import checking

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

    def test_what_is_installed_while_a_loader_is_in_use_is_found(self) -> None:
        used = loader.Loader(self.conf, Host())
        self.assertRaises(
            exception.UnknownDriver, used.load, 'resolver', 'mine'
        )
        self.install()
        driver = used.load('resolver', 'mine')
        self.assertIsInstance(driver, interfaces.Resolver)

    def test_a_loader_reads_what_is_installed_once(self) -> None:
        self.install('one', 'first')
        self.install('two', 'second')
        with mock.patch.object(
            importlib.metadata,
            'entry_points',
            wraps=importlib.metadata.entry_points,
        ) as reads:
            used = loader.Loader(self.conf, Host())
            used.load('resolver', 'first')
            before = reads.call_count
            used.load('resolver', 'second')
        self.assertNotEqual(0, before)
        self.assertEqual(before, reads.call_count)

    def test_entry_points_that_cannot_be_read_are_passed_over(self) -> None:
        self.install()
        self.useFixture(
            DistributionFixture('garbled', '[cellplug.resolver]\nno sense\n')
        )
        names = {(o.interface, o.name) for o in loader.installed()}
        self.assertIn(('resolver', 'static'), names)
        self.assertIn(('resolver', 'mine'), names)
        self.assertEqual(['garbled 1.5'], loader.unreadable())
        driver = loader.Loader(self.conf, Host()).load('resolver', 'mine')
        self.assertIsInstance(driver, interfaces.Resolver)
        self.conf.set_override('driver', 'mine', 'resolver')
        with cellplug.CellRouter.from_conf(self.conf) as router:
            self.assertEqual([], router.cells.list())
        error = self.assertRaises(
            exception.UnknownDriver, loader.load_class, 'resolver', 'theirs'
        )
        self.assertIn('entry points of garbled 1.5', str(error))

    def test_all_entry_points_that_are_installed_can_be_read(self) -> None:
        self.assertEqual([], loader.unreadable())

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

    def test_a_url_for_a_name_is_not_quoted(self) -> None:
        for name in ('mysql://u:pa55word@h/x', 'u:pa55word@h'):
            error = self.assertRaises(exception.UnknownDriver, self.load, name)
            self.assertNotIn('pa55word', str(error))
            self.assertNotIn('pa55word', repr(error))

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
                checking._check_version('resolver', 'mine', eval(version))
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
            checking._check_version('resolver', 'mine', version)

    def test_a_constructor_that_fails_says_why(self) -> None:
        distribution = self.install()
        module = importlib.import_module(distribution.module)

        def fail(self: Any, options: Any, host: Any) -> None:
            raise OSError('disk on fire')

        module.Theirs.__init__ = fail
        error = self.assertRaises(exception.DriverLoadError, self.load, 'mine')
        self.assertIn('disk on fire', str(error))

    def test_a_module_that_exits_ends_no_process(self) -> None:
        for number, line in enumerate(
            ('raise SystemExit("I want out")', 'assert False, "I want out"')
        ):
            self.useFixture(
                DistributionFixture(
                    f'leaver{number}',
                    f'[cellplug.resolver]\nleaver{number} = MODULE:Theirs\n',
                    line,
                )
            )
            error = self.assertRaises(
                exception.DriverLoadError, self.load, f'leaver{number}'
            )
            self.assertIn('I want out', str(error))
            self.assertIn(f'leaver{number} 1.5', str(error))
        self.assertIn('resolver_static', dict(opts.list_opts()))

    def test_options_or_a_constructor_that_exits_ends_no_process(self) -> None:
        def leave(*_: Any) -> None:
            sys.exit('I want out')

        for place in ('options', '__init__'):
            distribution = self.install(place.strip('_'), place.strip('_'))
            module = importlib.import_module(distribution.module)
            setattr(module.Theirs, place, leave)
            error = self.assertRaises(
                exception.DriverLoadError, self.load, place.strip('_')
            )
            self.assertIn('I want out', str(error))

    def test_options_that_are_none_leave_the_sample_whole(self) -> None:
        for number, (options, reason) in enumerate(
            (
                ("[cfg.StrOpt('x'), 'pa55word']", "'str', which is no option"),
                ("[cfg.StrOpt('x'), cfg.IntOpt('x')]", "two options 'x'"),
                ('3', 'not iterable'),
            )
        ):
            name = f'odd{number}'
            source = RESOLVER.format(name='Theirs', body='x = 1')
            source += f'Theirs.options = classmethod(lambda cls: {options})\n'
            self.useFixture(
                DistributionFixture(
                    name,
                    f'[cellplug.resolver]\n{name} = MODULE:Theirs\n',
                    source,
                )
            )
            error = self.assertRaises(
                exception.DriverLoadError, self.load, name
            )
            self.assertIn(reason, str(error))
            self.assertNotIn('pa55word', str(error))
            self.assertNotIn(f'resolver_{name}', dict(opts.list_opts()))
        self.assertIn('resolver_static', dict(opts.list_opts()))

    def test_capabilities_that_are_none_are_refused(self) -> None:
        for number, value in enumerate(
            ("['instances']", "frozenset({'instances'})", 'None')
        ):
            name = f'able{number}'
            self.install(name, name, body=f'capabilities = {value}')
            error = self.assertRaises(
                exception.DriverLoadError, self.load, name
            )
            self.assertIn('capabilities', str(error))
            self.assertIn('of an enum', str(error))

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


class TestTogether(LoaderTestCase):
    """Drivers load late, when something is first used: from any thread."""

    def test_of_many_threads_one_builds(self) -> None:
        made = self.install()
        module = importlib.import_module(made.module)
        begun, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)
        original = module.Theirs.__init__

        def slow(driver: Any, *args: Any) -> None:
            begun.set()
            go_on.wait(30)
            original(driver, *args)

        module.Theirs.__init__ = slow
        built = loader.Loader(self.conf, Host())
        found: list[Any] = []

        def load() -> None:
            try:
                found.append(built.load('resolver', 'mine'))
            except exception.CellplugError as exc:
                found.append(exc)

        threads = [threading.Thread(target=load) for _ in range(2)]
        threads[0].start()
        self.assertTrue(begun.wait(30))
        threads[1].start()
        # Gives it the time to fail, if it does not wait.
        threads[1].join(0.2)
        go_on.set()
        for thread in threads:
            thread.join(30)
        self.assertEqual(2, len(found))
        self.assertIsInstance(found[0], interfaces.Resolver)
        self.assertIs(found[0], found[1])


class TestReload(LoaderTestCase):
    """One driver's trouble with a file is not the others'."""

    def setUp(self) -> None:
        super().setUp()
        self.reloaded: list[str] = []
        self.loader = loader.Loader(self.conf, Host())

    def add(self, name: str, error: Exception | None = None) -> None:
        def reload() -> None:
            self.reloaded.append(name)
            if error is not None:
                raise error

        self.install(name, driver=name)
        self.loader.load('resolver', name).reload = reload

    def test_all_are_reloaded_in_the_order_of_loading(self) -> None:
        self.add('first')
        self.add('second')
        self.loader.reload()
        self.assertEqual(['first', 'second'], self.reloaded)

    def test_drivers_without_anything_to_reload_are_fine(self) -> None:
        self.install()
        self.loader.load('resolver', 'mine')
        self.loader.reload()

    def test_the_first_that_refuses_is_told_and_stops_no_other(self) -> None:
        refusal = exception.ConfigurationError('one')
        self.add('first', refusal)
        self.add('second', exception.ConfigurationError('two'))
        self.add('third')
        told = self.assertRaises(
            exception.ConfigurationError, self.loader.reload
        )
        self.assertIs(refusal, told)
        self.assertEqual(['first', 'second', 'third'], self.reloaded)

    def test_one_that_fails_is_named_and_stops_no_other(self) -> None:
        self.add('first', KeyError('shelf'))
        self.add('second')
        failure = self.assertRaises(exception.DriverError, self.loader.reload)
        self.assertIn("'first': its reload failed: KeyError", str(failure))
        self.assertEqual(['first', 'second'], self.reloaded)

    def test_of_many_threads_one_reloads_at_a_time(self) -> None:
        inside: list[int] = []
        most = 0

        def reload() -> None:
            nonlocal most
            inside.append(1)
            most = max(most, len(inside))
            # Gives the others the time to come in, if nothing stops them.
            threading.Event().wait(0.02)
            inside.pop()

        self.install()
        self.loader.load('resolver', 'mine').reload = reload
        threads = [
            threading.Thread(target=self.loader.reload) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.assertEqual(([], 1), (inside, most))

    def test_drivers_that_were_injected_are_reloaded_too(self) -> None:
        self.add('mine')
        driver = self.loader.load('resolver', 'mine')
        with cellplug.CellRouter.from_conf(
            self.conf, resolver=driver
        ) as router:
            router.reload()
        self.assertEqual(['mine'], self.reloaded)


class TestChain(LoaderTestCase):
    BACKEND = (
        'options = classmethod(lambda cls: '
        "[cfg.StrOpt('backend', default='{}', help='Who.')])"
    )

    def chain(self, first: str) -> list[str]:
        self.conf.set_override('driver', first, 'resolver')
        return loader.chain(self.conf, 'resolver')

    def wrap(self, name: str, backend: str) -> None:
        source = RESOLVER.format(name='Theirs', body='x = 1')
        source += f'\nTheirs.{self.BACKEND.format(backend)}\n'
        self.useFixture(
            DistributionFixture(
                name, f'[cellplug.resolver]\n{name} = MODULE:Theirs\n', source
            )
        )

    def test_one_that_stands_alone(self) -> None:
        self.install()
        self.assertEqual(['mine'], self.chain('mine'))

    def test_those_behind_it_as_configured(self) -> None:
        self.install()
        self.wrap('inner', 'nobody')
        self.wrap('outer', 'inner')
        self.conf.register_opts(
            loader.load_options('resolver', 'inner'), 'resolver_inner'
        )
        self.conf.set_override('backend', 'mine', 'resolver_inner')
        self.assertEqual(['outer', 'inner', 'mine'], self.chain('outer'))

    def test_one_behind_that_is_not_installed(self) -> None:
        self.wrap('outer', 'nobody')
        error = self.assertRaises(exception.UnknownDriver, self.chain, 'outer')
        self.assertEqual('nobody', error.driver)

    def test_one_in_front_of_itself(self) -> None:
        self.wrap('inner', 'outer')
        self.wrap('outer', 'inner')
        error = self.assertRaises(exception.DriverError, self.chain, 'outer')
        self.assertIn('outer -> inner -> outer', str(error))


class TestOptions(LoaderTestCase):
    def test_the_api_database_runs_read_committed_whatever_cells_do(
        self,
    ) -> None:
        self.assertIn('isolation_level', self.conf.cell_database)
        self.assertNotIn('isolation_level', self.conf.api_database)
