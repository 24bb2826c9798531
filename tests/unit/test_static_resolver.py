"""The ``static`` resolver: what the files say, all of it or nothing."""

from __future__ import annotations

import pathlib
import uuid

import fixtures
import testtools
from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug.testing import deployment
from tests.unit import helpers_static

UUIDS = helpers_static.UUIDS
SECRET = 'pa55word'


class StaticTestCase(testtools.TestCase):
    cells: tuple[str, ...] = ('cell0', 'east', 'west')
    options: dict[str, dict[str, str]] = {}  # noqa: RUF012 (read only)

    def setUp(self) -> None:
        super().setUp()
        self.files = self.useFixture(
            helpers_static.StaticFixture(*self.cells, options=self.options)
        )

    def context(self, project_id: str | None = 'p') -> cellplug.RequestContext:
        return cellplug.RequestContext(user_id='u', project_id=project_id)

    def change(self, group: str, **values: str | None) -> None:
        """Edit the file; None removes."""
        section = self.files.sections.setdefault(group, {})
        for option, value in values.items():
            section.pop(option, None)
            if value is not None:
                section[option] = value
        self.files.write()

    def assert_refused(self, *words: str) -> None:
        """A router does not start, and says why in one line."""
        refusal = self.assertRaises(
            exception.ConfigurationError, self.files.open_router
        )
        self.assertNotIn('\n', str(refusal))
        for word in (str(self.files.path), *words):
            self.assertIn(word, str(refusal))
        self.assertNotIn(SECRET, str(refusal))
        self.assertIsNone(refusal.__cause__)


class TestCells(StaticTestCase):
    def test_the_cells_are_those_of_the_files_in_their_order(self) -> None:
        self.change('cell_west', state='read_only')
        router = self.files.open_router()
        self.assertEqual(
            [(name, UUIDS[name]) for name in self.cells],
            [(cell.name, cell.uuid) for cell in router.cells.list()],
        )
        west = router.cells.get('west')
        self.assertEqual(
            (
                self.files.sections['cell_west']['database_connection'],
                'fake://west/',
                None,
                cellplug.CellState.READ_ONLY,
            ),
            (
                west.database_connection,
                west.transport_url,
                west.slave_connection,
                west.state,
            ),
        )

    def test_a_cell_is_found_by_uuid_and_name_exactly(self) -> None:
        router = self.files.open_router()
        east = router.cells.get('east')
        self.assertEqual(east, router.cells.get(UUIDS['east'].upper()))
        for unknown in ('EAST', 'eas', str(uuid.uuid4())):
            missing = self.assertRaises(
                exception.CellMappingNotFound, router.cells.get, unknown
            )
            self.assertEqual(unknown, missing.cell)

    def test_uuids_become_canonical(self) -> None:
        self.change('cell_east', uuid=UUIDS['east'].replace('-', '').upper())
        router = self.files.open_router()
        self.assertEqual(UUIDS['east'], router.cells.get('east').uuid)

    def test_cell0_is_a_cell_like_any_other_without_a_queue(self) -> None:
        router = self.files.open_router()
        cell0 = router.cells.get(cellplug.CELL0_UUID)
        self.assertTrue(cell0.is_cell0)
        self.assertFalse(cell0.has_queue)

    def test_there_may_be_none(self) -> None:
        self.files.sections = {
            'resolver': {'driver': 'static'},
            'resolver_static': {'cells': ''},
        }
        self.files.write()
        self.assertEqual([], self.files.open_router().cells.list())

    def test_a_dollar_is_written_twice(self) -> None:
        url = 'rabbit://u:a$b@h/v'
        self.change('cell_east', transport_url=url.replace('$', '$$'))
        router = self.files.open_router()
        self.assertEqual(url, router.cells.get('east').transport_url)

    def test_generations_stay_while_nothing_changes(self) -> None:
        router = self.files.open_router()
        before = router.cells.list()
        self.files.clock += 1
        router.reload()
        self.assertEqual(before, router.cells.list())

    def test_only_a_cell_that_changed_gets_a_larger_generation(self) -> None:
        router = self.files.open_router()
        before = {cell.name: cell for cell in router.cells.list()}
        # Whatever the clock does.
        self.files.clock -= 100
        self.change('cell_east', state='no_new')
        router.reload()
        after = {cell.name: cell for cell in router.cells.list()}
        self.assertEqual(before['west'], after['west'])
        self.assertEqual(before['cell0'], after['cell0'])
        self.assertLess(before['east'].generation, after['east'].generation)

    def test_generations_grow_across_a_restart(self) -> None:
        first = self.files.open_router()
        generation = first.cells.get('east').generation
        first.close()
        self.files.clock += 0.001
        second = self.files.open_router()
        self.assertLess(generation, second.cells.get('east').generation)

    def test_a_cell_that_comes_back_is_newer_than_it_was(self) -> None:
        router = self.files.open_router()
        before = router.cells.get('east')
        group = self.files.sections.pop('cell_east')
        self.change('resolver_static', cells='cell0, west')
        router.reload()
        self.files.sections['cell_east'] = group
        self.change('resolver_static', cells='cell0, west, east')
        router.reload()
        after = router.cells.get('east')
        self.assertLess(before.generation, after.generation)
        with router.target_cell(self.context(), 'east') as cctxt:
            self.assertEqual(UUIDS['east'], cctxt.cell_uuid)

    def test_nothing_shows_a_secret(self) -> None:
        self.change('cell_east', transport_url=f'rabbit://u:{SECRET}@h/v')
        router = self.files.open_router()
        driver = router.drivers.load('resolver', 'static')
        self.assertNotIn(SECRET, repr(driver))
        self.assertNotIn(SECRET, repr(vars(driver)))


class TestWrites(StaticTestCase):
    def test_cells_are_changed_in_the_files_alone(self) -> None:
        router = self.files.open_router()
        for write in (
            lambda: router.cells.create(
                name='new',
                database_connection=self.files.fresh_database(),
                transport_url='fake://new/',
            ),
            lambda: router.cells.update('east', name='renamed'),
            lambda: router.cells.delete('east'),
        ):
            refusal = self.assertRaises(exception.NotSupported, write)
            self.assertIn('StaticResolver', str(refusal))

    def test_without_an_api_database_nothing_is_mapped(self) -> None:
        router = self.files.open_router()
        instance, context = str(uuid.uuid4()), self.context()
        for call in (
            lambda: router.instances.map(context, instance, 'east'),
            lambda: router.instances.get(context, instance),
            lambda: router.instances.unmap(context, instance),
        ):
            refusal = self.assertRaises(exception.NotSupported, call)
            self.assertIn('[api_database]', str(refusal))


class TestMappingsInTheAPIDatabase(StaticTestCase):
    """``instances = database``, with cells that have no rows there."""

    def setUp(self) -> None:
        super().setUp()
        url = self.files.fresh_database()
        self.change('api_database', connection=url)
        cellplug.sync_api_database(self.files.conf())
        self.router = self.files.open_router()
        self.instance = str(uuid.uuid4())

    def test_instances_map_to_the_cells_of_the_files(self) -> None:
        made = self.router.instances.map(self.context(), self.instance, 'east')
        found = self.router.instances.get(self.context(), self.instance)
        self.assertEqual(self.router.cells.get('east'), made.cell)
        self.assertEqual(self.router.cells.get('east'), found.cell)
        self.assertEqual(
            (UUIDS['east'], 'p', 'u', made.generation),
            (
                found.cell_uuid,
                found.project_id,
                found.user_id,
                found.generation,
            ),
        )
        with self.router.target_instance(
            self.context(), self.instance
        ) as cctxt:
            self.assertEqual(UUIDS['east'], cctxt.cell_uuid)
            self.assertEqual(made.generation, cctxt.route.generation)

    def test_many_are_mapped_moved_listed_and_unmapped(self) -> None:
        context = self.context()
        uuids = sorted(str(uuid.uuid4()) for _ in range(3))
        made = self.router.instances.map_many(
            context, dict.fromkeys(uuids, 'east')
        )
        self.router.instances.move(
            context,
            uuids[0],
            'west',
            expected_generation=made[0].generation,
        )
        found = self.router.instances.get_many(
            context, [*uuids, UUIDS['east']]
        )
        self.assertEqual(
            dict(zip(uuids, ('west', 'east', 'east'), strict=True)),
            {key: one.cell.name for key, one in found.items()},
        )
        listed = self.router.instances.list(context, cell='east')
        self.assertEqual(
            [(uuids[1], 'east'), (uuids[2], 'east')],
            [(one.instance_uuid, one.cell.name) for one in listed],
        )
        self.assertEqual(3, self.router.instances.unmap(context, uuids))

    def test_a_request_sees_what_it_has_not_committed(self) -> None:
        context = self.context()
        with self.router.database.api.writer.using(context):
            self.router.instances.map(context, self.instance, 'east')
            found = self.router.instances.get(context, self.instance)
            many = self.router.instances.get_many(context, [self.instance])
            with self.router.target_cell(context, 'west') as cctxt:
                self.assertEqual(UUIDS['west'], cctxt.cell_uuid)
        self.assertEqual('east', found.cell.name)
        self.assertEqual('east', many[self.instance].cell.name)

    def test_no_instance_is_mapped_to_a_cell_that_no_file_names(self) -> None:
        for cell in ('north', UUIDS['north']):
            missing = self.assertRaises(
                exception.CellMappingNotFound,
                self.router.instances.map,
                self.context(),
                self.instance,
                cell,
            )
            self.assertEqual(cell, missing.cell)

    def test_an_instance_in_a_cell_that_is_no_longer_named(self) -> None:
        other = str(uuid.uuid4())
        self.router.instances.map(self.context(), self.instance, 'east')
        self.router.instances.map(self.context(), other, 'west')
        del self.files.sections['cell_east']
        self.change('resolver_static', cells='cell0, west')
        self.router.reload()
        for look_up in (
            self.router.instances.get,
            self.router.target_instance,
        ):
            missing = self.assertRaises(
                exception.CellMappingNotFound,
                look_up,
                self.context(),
                self.instance,
            )
            self.assertEqual(UUIDS['east'], missing.cell)
        found = self.router.instances.get_many(
            self.context(), [self.instance, other]
        )
        self.assertIsNone(found[self.instance].cell)
        self.assertEqual('west', found[other].cell.name)

    def test_an_unmapped_instance_is_not_found(self) -> None:
        self.assertRaises(
            exception.InstanceMappingNotFound,
            self.router.instances.get,
            self.context(),
            self.instance,
        )
        with self.router.database.api.reader.using(self.context()):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                self.router.instances.get,
                self.context(),
                self.instance,
            )

    def test_what_it_declares(self) -> None:
        driver = self.router.drivers.load('resolver', 'static')
        capability = interfaces.ResolverCapability
        self.assertEqual(
            {capability.INSTANCES, capability.OWN_CELLS}, driver.capabilities
        )


class TestRules(StaticTestCase):
    options = {  # noqa: RUF012 (read only)
        'resolver_static': {
            'instances': 'rules',
            'projects': 'acme:west, umbrella:cell0',
            'default_cell': 'east',
        }
    }

    def setUp(self) -> None:
        super().setUp()
        self.router = self.files.open_router()
        self.instance = str(uuid.uuid4())

    def home(self, project_id: str) -> cellplug.InstanceMapping:
        return self.router.instances.get(
            self.context(project_id), self.instance
        )

    def test_an_instance_is_where_its_project_is(self) -> None:
        for project, cell in (
            ('acme', 'west'),
            ('umbrella', 'cell0'),
            ('anyone', 'east'),
        ):
            found = self.home(project)
            self.assertEqual(
                (self.instance, project, UUIDS[cell], cell),
                (
                    found.instance_uuid,
                    found.project_id,
                    found.cell_uuid,
                    found.cell.name,
                ),
            )

    def test_the_caller_may_name_the_instances_project(self) -> None:
        admin = self.context('admins')
        found = self.router.instances.get(
            admin, self.instance, project_id='acme'
        )
        self.assertEqual('west', found.cell.name)
        many = self.router.instances.get_many(
            admin, [self.instance], project_id='acme'
        )
        self.assertEqual({self.instance: found}, many)
        with self.router.target_instance(
            admin, self.instance, project_id='acme'
        ) as cctxt:
            self.assertEqual(UUIDS['west'], cctxt.cell_uuid)

    def test_without_a_project_nothing_is_guessed(self) -> None:
        for look_up in (
            self.router.instances.get,
            self.router.target_instance,
            lambda context, one: self.router.instances.get_many(
                context, [one]
            ),
        ):
            refusal = self.assertRaises(
                exception.InvalidInput,
                look_up,
                self.context(None),
                self.instance,
            )
            self.assertEqual('project_id', refusal.name)

    def test_without_a_default_other_projects_are_nowhere(self) -> None:
        self.change('resolver_static', default_cell=None)
        self.router.reload()
        self.assertRaises(
            exception.InstanceMappingNotFound, self.home, 'anyone'
        )
        self.assertEqual('west', self.home('acme').cell.name)

    def test_generations_follow_the_rules(self) -> None:
        before = {one: self.home(one) for one in ('acme', 'umbrella', 'x')}
        self.router.reload()
        for project, mapping in before.items():
            self.assertEqual(mapping, self.home(project))
        # acme falls back to the default, whose own rule stays as old.
        self.change('resolver_static', projects='umbrella:west')
        self.router.reload()
        self.assertEqual('east', self.home('acme').cell.name)
        for project in ('acme', 'umbrella'):
            self.assertLess(
                before[project].generation, self.home(project).generation
            )
        self.assertEqual(before['x'], self.home('x'))
        # Back again: newer than both.
        middle = self.home('acme').generation
        self.change('resolver_static', projects='acme:west, umbrella:west')
        self.router.reload()
        self.assertLess(middle, self.home('acme').generation)
        self.assertEqual(before['x'], self.home('x'))

    def test_an_edited_cell_leaves_the_instances_generation(self) -> None:
        before = self.home('acme')
        self.change('cell_west', state='no_new')
        self.router.reload()
        after = self.home('acme')
        self.assertEqual(before.generation, after.generation)
        self.assertLess(before.cell.generation, after.cell.generation)

    def test_mapping_is_refused_with_an_api_database_too(self) -> None:
        self.router.close()
        url = self.files.fresh_database()
        self.change('api_database', connection=url)
        cellplug.sync_api_database(self.files.conf())
        router = self.files.open_router()
        context = self.context('acme')
        for call in (
            lambda: router.instances.map(context, self.instance, 'east'),
            lambda: router.instances.map_many(
                context, {self.instance: 'east'}
            ),
            lambda: router.instances.unmap(context, self.instance),
            lambda: router.instances.list(context),
        ):
            refusal = self.assertRaises(exception.NotSupported, call)
            self.assertIn('StaticResolver', str(refusal))
        with router.database.api.reader.using(context):
            found = router.instances.get(context, self.instance)
        self.assertEqual('west', found.cell.name)

    def test_how_instances_are_found_takes_a_restart(self) -> None:
        self.change(
            'resolver_static',
            instances='database',
            projects=None,
            default_cell=None,
        )
        refusal = self.assertRaises(
            exception.ConfigurationError, self.router.reload
        )
        self.assertIn('restart', str(refusal))
        self.assertEqual('west', self.home('acme').cell.name)


class TestBadFiles(StaticTestCase):
    """Each is refused in a line that names the place, and no secret."""

    def test_a_missing_option(self) -> None:
        for option in ('uuid', 'database_connection', 'transport_url'):
            value = self.files.sections['cell_east'][option]
            self.change('cell_east', **{option: None})
            self.assert_refused(f'[cell_east] {option}', 'not set')
            self.change('cell_east', **{option: value})

    def test_an_option_that_no_cell_has(self) -> None:
        self.change('cell_east', database_conection=SECRET)
        self.assert_refused('[cell_east] database_conection')

    def test_a_missing_group(self) -> None:
        del self.files.sections['cell_east']
        self.files.write()
        self.assert_refused('[cell_east]', 'missing')

    def test_a_group_that_is_not_named(self) -> None:
        self.change('resolver_static', cells='cell0, east')
        self.assert_refused('[cell_west]', 'does not name')

    def test_a_group_that_stands_twice_in_one_file(self) -> None:
        # A header that was copied and not renamed gives one cell the
        # database of another.
        text = self.files.path.read_text()
        for header in ('[cell_east]', '[cell_EAST]'):
            self.files.write(
                f'{text}{header}\ntransport_url = rabbit://u:{SECRET}@h/n\n'
            )
            self.assert_refused('[cell_east]', 'stands twice')
        self.files.write(f'{text}[cell_east]\n')
        self.assert_refused('[cell_east]', 'stands twice')
        self.files.write(f'{text}[resolver_static]\n')
        self.files.open_router().close()

    def test_an_option_that_stands_twice_in_a_group(self) -> None:
        for group, option in (
            ('cell_east', 'database_connection'),
            ('cell_east', 'state'),
            ('resolver_static', 'cells'),
            ('resolver_static', 'projects'),
        ):
            self.files.write()
            text = self.files.path.read_text()
            line = f'{option} = {SECRET}'
            if option not in self.files.sections[group]:
                line += f'\n{line}'
            self.files.write(text.replace(f'[{group}]', f'[{group}]\n{line}'))
            self.assert_refused(f'[{group}] {option}', 'stands twice')

    def test_another_file_may_say_otherwise(self) -> None:
        other = self.files.path.with_name('other.conf')
        other.write_text('[cell_east]\nstate = disabled\n')
        conf = cfg.ConfigOpts()
        cellplug.register_opts(conf)
        conf(
            [],
            project='cellplug',
            default_config_files=[str(self.files.path), str(other)],
        )
        with cellplug.CellRouter.from_conf(conf) as router:
            self.assertEqual(
                cellplug.CellState.DISABLED, router.cells.get('east').state
            )

    def test_cellplugs_own_group_is_no_cell(self) -> None:
        self.change('cell_database', max_pool_size='3')
        self.files.open_router().close()
        self.change('resolver_static', cells='cell0, east, west, database')
        self.assert_refused('[cell_database] is something else')

    def test_values_that_cannot_be(self) -> None:
        for option, value, word in (
            ('uuid', SECRET, 'no uuid'),
            ('state', SECRET, 'none of enabled'),
            ('database_connection', f'mysql://u:{SECRET}@h/d', 'driver'),
            ('database_connection', f'nosql://u:{SECRET}@h/d', 'scheme'),
            ('database_connection', SECRET, 'URL'),
            ('slave_connection', f'mysql+pymysql://u:{SECRET}@h', 'database'),
            ('transport_url', f'amqp://u:{SECRET}@h/', 'scheme'),
            ('transport_url', f'rabbit://u:{SECRET}@', 'host'),
            ('transport_url', f'rabbit://u:{SECRET}$x@h/', '$$'),
        ):
            former = self.files.sections['cell_east'].get(option)
            self.change('cell_east', **{option: value})
            self.assert_refused(f'[cell_east] {option}', word)
            self.change('cell_east', **{option: former})

    def test_a_queue_for_cell0(self) -> None:
        self.change('cell_cell0', transport_url=f'rabbit://u:{SECRET}@h/')
        self.assert_refused('[cell_cell0] transport_url', 'none:///')

    def test_two_cells_with_one_value(self) -> None:
        self.change(
            'cell_west', database_connection='mysql+pymysql://u:a@h:3306/d'
        )
        self.change(
            'cell_east', database_connection=f'mysql+pymysql://v:{SECRET}@h/d'
        )
        self.assert_refused('[cell_west] database_connection', 'cell east')
        self.change(
            'cell_west', database_connection=self.files.fresh_database()
        )
        self.change('cell_west', uuid=UUIDS['east'])
        self.assert_refused('[cell_west] uuid', 'cell east')
        self.change('cell_west', uuid=UUIDS['west'])
        self.change('cell_west', transport_url='rabbit://u:a@h1,u:a@h2/v')
        self.change(
            'cell_east', transport_url=f'rabbit://v:{SECRET}@H2:5672/v'
        )
        self.assert_refused('[cell_west] transport_url', 'cell east')

    def test_names_that_cannot_be(self) -> None:
        for name, word in (
            ('east', 'would share'),
            ('EAST', 'would share'),
            (str(uuid.uuid4()), 'looks like a uuid'),
            ('a]b', 'something else'),
            (f'mysql://u:{SECRET}@h/d', 'no name'),
        ):
            self.change('resolver_static', cells=f'cell0, east, west, {name}')
            self.assert_refused('[resolver_static] cells', word)

    def test_rules_that_cannot_be(self) -> None:
        for values, option, word in (
            ({'default_cell': 'east'}, 'default_cell', 'instances = rules'),
            ({'projects': 'a:east'}, 'projects', 'instances = rules'),
            ({'instances': 'rules'}, 'instances', 'needs projects'),
            ({'instances': 'guess'}, 'instances', 'guess'),
            (
                {'instances': 'rules', 'default_cell': 'south'},
                'default_cell',
                'south',
            ),
            (
                {'instances': 'rules', 'projects': 'a:south'},
                'projects',
                'south',
            ),
            ({'instances': 'rules', 'projects': 'a'}, 'projects', 'pairs'),
            (
                {'instances': 'rules', 'projects': 'b, a:east'},
                'projects',
                'b,',
            ),
            (
                {'instances': 'rules', 'projects': 'a:east, a:west'},
                'projects',
                'Duplicate',
            ),
        ):
            former = dict(self.files.sections['resolver_static'])
            self.change('resolver_static', **values)
            self.assert_refused(f'[resolver_static] {option}', word)
            self.files.sections['resolver_static'] = former

    def test_a_url_among_the_rules_is_not_quoted(self) -> None:
        for values, option in (
            ({'default_cell': f'//u:{SECRET}@h/x'}, 'default_cell'),
            ({'default_cell': f'u:{SECRET}@h'}, 'default_cell'),
            ({'projects': f'mysql://u:{SECRET}@h/x'}, 'projects'),
            ({'projects': f'p:u:{SECRET}@h'}, 'projects'),
            ({'projects': f'mysql://u:{SECRET}@h/x, p:west'}, 'projects'),
            ({'projects': f'p:west, //u:{SECRET}@h, q:west'}, 'projects'),
            ({'projects': f'a:west, x:u:{SECRET}@h, x:y'}, 'projects'),
        ):
            former = dict(self.files.sections['resolver_static'])
            self.change('resolver_static', instances='rules', **values)
            self.assert_refused(f'[resolver_static] {option}')
            self.files.sections['resolver_static'] = former
        self.change('resolver_static', cells=f'cell0, u:{SECRET}@h')
        self.assert_refused('[resolver_static] cells')

    def test_a_url_for_a_group_or_an_option_is_not_quoted(self) -> None:
        self.change(f'cell_rabbit://u:{SECRET}@h/', uuid='3')
        self.assert_refused('does not name')
        del self.files.sections[f'cell_rabbit://u:{SECRET}@h/']
        for option in (f'u/{SECRET}@h', f'password {SECRET}'):
            self.change('cell_east', **{option: '3'})
            self.assert_refused('[cell_east] ***: no cell has such an option')
            del self.files.sections['cell_east'][option]

    def test_the_first_of_several_findings_and_how_many_more(self) -> None:
        self.change('cell_east', uuid=None, state='open')
        self.assert_refused('[cell_east] uuid', '1 more', 'config validate')


class TestReload(StaticTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.router = self.files.open_router()

    def refuse(self) -> str:
        before = self.router.cells.list()
        refusal = self.assertRaises(
            exception.ConfigurationError, self.router.reload
        )
        self.assertEqual(before, self.router.cells.list())
        self.assertIn(str(self.files.path), str(refusal))
        self.assertNotIn(SECRET, str(refusal))
        self.assertNotIn('\n', str(refusal))
        self.assertIsNone(refusal.__cause__)
        return str(refusal)

    def test_all_of_a_bad_file_is_refused(self) -> None:
        # The good change beside the bad one has no effect either.
        self.change('cell_west', state='disabled')
        self.change('cell_east', uuid='none')
        self.assertIn('[cell_east] uuid', self.refuse())
        self.change('cell_east', uuid=UUIDS['east'])
        self.router.reload()
        self.assertEqual(
            cellplug.CellState.DISABLED, self.router.cells.get('west').state
        )

    def test_a_syntax_error_names_its_line_and_not_its_text(self) -> None:
        self.files.write(f'[cell_east]\n{SECRET}\n')
        self.assertIn(f'{self.files.path}:2', self.refuse())

    def test_half_a_file_does_not_mean_that_there_are_no_cells(self) -> None:
        whole = self.files.path.read_text()
        self.files.write(whole[: whole.index('[resolver_static]')])
        self.assertIn('[resolver_static] cells: is not set', self.refuse())
        self.files.write('')
        self.refuse()

    def test_a_directory_that_is_gone(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        parts = folder / 'conf.d'
        parts.mkdir()
        self.files.path.rename(parts / 'cells.conf')
        conf = cfg.ConfigOpts()
        cellplug.register_opts(conf)
        conf(['--config-dir', str(parts)], project='cellplug')
        with cellplug.CellRouter.from_conf(conf) as router:
            before = router.cells.list()
            self.assertEqual(3, len(before))
            parts.rename(folder / 'away')
            refusal = self.assertRaises(
                exception.ConfigurationError, router.reload
            )
            self.assertIn(str(parts), str(refusal))
            self.assertEqual(before, router.cells.list())

    def test_a_file_that_is_gone(self) -> None:
        self.files.path.unlink()
        self.refuse()

    def test_a_file_of_other_bytes(self) -> None:
        self.files.path.write_bytes(b'[cell_east]\nuuid = \xff\xfe\n')
        refusal = self.assertRaises(
            exception.ConfigurationError, self.router.reload
        )
        self.assertIn('UTF-8', str(refusal))

    def test_a_bad_number_of_somebody_else_is_not_the_resolvers(self) -> None:
        self.change('cell_database', max_pool_size='many')
        self.change('cell_east', state='no_new')
        self.router.reload()
        self.assertEqual(
            cellplug.CellState.NO_NEW, self.router.cells.get('east').state
        )


class TestAsADriver(testtools.TestCase):
    def test_overrides_are_not_read(self) -> None:
        # The files alone say which cells there are, at the start as later.
        conf = self.useFixture(
            deployment.ConfFixture(
                {
                    'resolver.driver': 'static',
                    'resolver_static.cells': ['east'],
                }
            )
        ).conf
        refusal = self.assertRaises(
            exception.ConfigurationError, cellplug.CellRouter.from_conf, conf
        )
        self.assertEqual(
            '[resolver_static] cells: is not set; "cells =" says that there '
            'are none',
            str(refusal),
        )

    def test_an_example_of_a_cells_group_is_in_the_sample(self) -> None:
        options = {
            option.name: option
            for option in loader.load_options('resolver', 'static')
        }
        for word in ('[cell_east]', 'uuid =', 'transport_url = none:///'):
            self.assertIn(word, options['cells'].help)
