"""``router.cells``: created, changed and deleted, also across crashes."""

from __future__ import annotations

import dataclasses
import os
import uuid
from unittest import mock

import sqlalchemy as sa
from oslo_config import cfg

import cellplug
from cellplug import db
from cellplug import exception
from cellplug.cells import collection
from cellplug.db import schema
from cellplug.db.api import cells
from cellplug.db.cell import identity
from tests.functional import databases
from tests.functional import helpers_deployment as helpers


class CellTests:
    def _values(self, **values):
        return {
            'name': 'new',
            'database_connection': self.deployment.fresh_database(),
            'transport_url': 'fake://new/',
            **values,
        }

    def _identity(self, url):
        engine = databases.make_engine(url)
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            return identity.read(connection)

    def _cells(self):
        return sorted(cell.name for cell in self.router.cells.list())

    # -- create ------------------------------------------------------------

    def test_created_cell_is_found_by_everything_it_is_named_by(self):
        self.deploy(0)
        cell = self.router.cells.create(**self._values(state='no_new'))
        self.assertEqual(cellplug.CellState.NO_NEW, cell.state)
        self.assertGreater(cell.generation, 0)
        for named in (cell, cell.uuid, cell.uuid.upper(), 'new'):
            self.assertEqual(cell, self.router.cells.get(named))
        self.assertEqual([cell], self.router.cells.list())
        self.assertEqual(
            identity.Identity(cell.uuid, identity.CLAIMED),
            self._identity(cell.database_connection),
        )

    def test_uuid_is_stored_in_canonical_form(self):
        self.deploy(0)
        given = str(uuid.uuid4())
        cell = self.router.cells.create(**self._values(uuid=given.upper()))
        self.assertEqual(given, cell.uuid)

    def test_cells_are_listed_in_the_order_of_their_creation(self):
        self.deploy(0)
        for name in ('b', 'c', 'a'):
            self.deployment.add_cell(name)
        self.assertEqual(
            ['b', 'c', 'a'], [c.name for c in self.router.cells.list()]
        )

    def test_what_is_unique_is_used_once(self):
        self.deploy(1)
        first = self.deployment.cells[0]
        for key, value in (
            ('uuid', first.uuid),
            ('name', first.name),
            ('database_connection', first.database_connection),
            ('transport_url', first.transport_url),
        ):
            error = self.assertRaises(
                exception.CellMappingExists,
                self.router.cells.create,
                **self._values(**{key: value}),
            )
            self.assertEqual((key, 'cell1'), (error.attribute, error.other))
        self.assertEqual(['cell1'], self._cells())

    def test_deleted_as_it_was_when_it_was_locked(self):
        """Somebody changes the cell between the first look and the lock."""
        self.deploy(1)
        cell = self.deployment.cells[0]
        old = dataclasses.replace(cell, generation=cell.generation - 1)
        with mock.patch.object(db.cell_queries, 'get', lambda *_: old):
            self.router.cells.delete(cell)
        self.assertRaises(exception.CellMappingNotFound, self.targeted, cell)

    def test_queue_of_another_cell_is_refused_by_a_host_in_common(self):
        self.deploy(0)
        self.deployment.add_cell('one', transport_url='rabbit://u:p@a,u:p@b/v')
        self.deployment.add_cell('two', transport_url='rabbit://u:p@c/v')
        for attempt in (
            lambda url: self.router.cells.create(
                **self._values(transport_url=url)
            ),
            lambda url: self.router.cells.update('two', transport_url=url),
        ):
            error = self.assertRaises(
                exception.CellMappingExists, attempt, 'rabbit://x:y@A:5672/v'
            )
            self.assertEqual(
                ('transport_url', 'one'), (error.attribute, error.other)
            )
        self.assertEqual(['one', 'two'], self._cells())

    def test_name_that_no_cell_can_have_is_not_looked_up(self):
        self.deploy(1)
        for name in ('a\0b', 'a\ud800b', ''):
            self.assertRaises(
                exception.InvalidInput, self.router.cells.get, name
            )

    def test_bad_url_in_a_row_names_its_cell(self):
        self.deploy(1)
        cell = self.deployment.cells[0]
        for column in ('slave_connection', 'database_connection'):
            with helpers.past_cellplug(self.deployment.api_url) as connection:
                connection.execute(
                    sa.text(
                        f'UPDATE cell_mapping SET {column} = :url, '
                        'generation = generation + 1'
                    ),
                    {'url': 'mysql://u:secret@h/x'},
                )
            self.router.cells._resolver.forget_cell(cell.uuid)
            error = self.assertRaises(
                exception.InvalidURL, self.targeted, cell.uuid
            )
            self.assertEqual(
                f"{column} of cell 'cell1' ({cell.uuid})", error.name
            )
            self.assertNotIn('secret', str(error))

    def test_bad_url_in_a_row_can_be_put_right(self):
        self.deploy(1)
        cell = self.deployment.cells[0]
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            connection.execute(
                sa.text("UPDATE cell_mapping SET database_connection = 'x'")
            )
        changed = self.router.cells.update(
            cell.uuid, database_connection=cell.database_connection
        )
        self.assertEqual(cell.database_connection, changed.database_connection)

    def test_same_cell_twice_is_refused(self):
        self.deploy(0)
        values = self._values()
        made = self.router.cells.create(**values)
        for repeated in (values, values | {'uuid': made.uuid}):
            self.assertRaises(
                exception.CellMappingExists,
                self.router.cells.create,
                **repeated,
            )
        self.assertEqual([made], self.router.cells.list())

    def test_several_cells_may_be_without_a_queue(self):
        self.deploy(0)
        for name in ('a', 'b'):
            self.deployment.add_cell(name, transport_url='none:///')
        self.assertEqual(['a', 'b'], self._cells())

    def test_database_of_another_cell_is_refused_with_a_hint(self):
        self.deploy(1)
        old = self.deployment.cells[0]
        self.router.cells.delete(old)
        values = self._values(database_connection=old.database_connection)
        error = self.assertRaises(
            exception.CellIdentityMismatch, self.router.cells.create, **values
        )
        self.assertEqual(old.uuid, error.found)
        self.assertIn(f'create it with uuid {old.uuid}', str(error))
        self.assertEqual([], self._cells())
        again = self.router.cells.create(**values, uuid=old.uuid)
        self.assertEqual(['cell1'], self.words(self.targeted(again)))

    def test_mismatch_never_undoes_a_cell_of_somebody_elses(self):
        self.deploy(2)
        one, two = self.deployment.cells
        foreign = two.database_connection
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            connection.execute(
                sa.text('DELETE FROM cell_mapping WHERE uuid = :u'),
                {'u': two.uuid},
            )
        # As if cell1 had been written between the look and the claim.
        self.router.cells._check_unique = lambda *_: None
        self.assertRaises(
            exception.CellIdentityMismatch,
            self.router.cells.create,
            **self._values(uuid=one.uuid, database_connection=foreign),
        )
        self.assertEqual(['cell1'], self._cells())

    def test_bad_input_writes_nothing(self):
        self.deploy(1)
        url = self.deployment.fresh_database()
        for key, value in (
            ('name', ''),
            ('name', ' new'),
            ('name', str(uuid.uuid4())),
            ('name', 'x' * 256),
            ('name', None),
            ('name', 'a\0b'),
            ('name', 'a\ud800b'),
            ('uuid', 'no-uuid'),
            ('state', 'half-open'),
            ('database_connection', ''),
            ('database_connection', 'mysql://u:secret@h/x'),
            ('database_connection', 'sqlite://'),
            ('database_connection', 5),
            ('database_connection', sa.make_url(url)),
            ('database_connection', 'mysql+pymysql://u:secret@h:/x'),
            ('database_connection', 'mysql+asyncmy://u:secret@h/x'),
            ('database_connection', f'{url}?connect_timeout=a&timeout=b'),
            ('database_connection', 'mysql+pymysql://u:secret@h/x?foo=1'),
            ('database_connection', 'mysql+pymysql://u:secret@h/x?port=1'),
            ('database_connection', 'postgresql+psycopg://h/x?secret_=1'),
            ('database_connection', 'postgresql+psycopg2://h/x?port=x'),
            (
                'database_connection',
                'postgresql+psycopg://u:secret@h/x?connect_timeout=abc',
            ),
            (
                'database_connection',
                'mysql+pymysql://u:secret@127.0.0.1:1/x?charset=nosuch',
            ),
            ('slave_connection', 'nonsense'),
            ('slave_connection', b'sqlite:///x'),
            ('slave_connection', 'mysql+pymysql://u:secret@h/x?foo=1'),
            ('transport_url', None),
            ('transport_url', 'rabbit://:1/'),
            ('transport_url', ''),
            ('transport_url', 'http://u:secret@h/'),
        ):
            values = self._values(database_connection=url) | {key: value}
            error = self.assertRaises(
                exception.InvalidInput, self.router.cells.create, **values
            )
            self.assertIn(key, str(error))
            self.assertNotIn('secret', str(error))
        with helpers.past_cellplug(url) as connection:
            self.assertEqual([], sa.inspect(connection).get_table_names())
        self.assertEqual(['cell1'], self._cells())

    def test_cell0_has_no_queue(self):
        self.deploy(0)
        error = self.assertRaises(
            exception.InvalidInput,
            self.router.cells.create,
            **self._values(uuid=cellplug.CELL0_UUID),
        )
        self.assertIn('none:///', str(error))
        cell0 = self.deployment.add_cell(
            'cell0', uuid=cellplug.CELL0_UUID, transport_url='none:///'
        )
        self.assertTrue(cell0.is_cell0)
        self.assertRaises(
            exception.InvalidInput,
            self.router.cells.update,
            'cell0',
            transport_url='fake://x/',
        )

    # -- update ------------------------------------------------------------

    def test_update_changes_what_is_passed_and_nothing_else(self):
        self.deploy(1)
        before = self.deployment.cells[0]
        after = self.router.cells.update('cell1', name='other')
        self.assertEqual('other', after.name)
        self.assertGreater(after.generation, before.generation)
        for key in ('uuid', 'database_connection', 'transport_url', 'state'):
            self.assertEqual(getattr(before, key), getattr(after, key))
        self.assertEqual(after, self.router.cells.get(before))
        after = self.router.cells.update(before, state='disabled')
        self.assertEqual('other', after.name)
        self.assertEqual('disabled', after.state)

    def test_update_to_what_another_cell_has_is_refused(self):
        self.deploy(2)
        one, two = self.deployment.cells
        for key in ('name', 'database_connection', 'transport_url'):
            error = self.assertRaises(
                exception.CellMappingExists,
                self.router.cells.update,
                one,
                **{key: getattr(two, key)},
            )
            self.assertEqual((key, 'cell2'), (error.attribute, error.other))
        self.assertEqual(one, self.router.cells.get('cell1'))

    def test_bad_update_writes_nothing(self):
        self.deploy(1)
        before = self.deployment.cells[0]
        for values in (
            {},
            {'name': 'x', 'state': 'nonsense'},
            {'name': 'x', 'database_connection': 'mysql://u:secret@h/x'},
            {'name': 'x', 'transport_url': 'http://u:secret@h/'},
            {'name': 'x', 'slave_connection': ''},
            {'name': None},
        ):
            error = self.assertRaises(
                exception.InvalidInput,
                self.router.cells.update,
                'cell1',
                **values,
            )
            self.assertNotIn('secret', str(error))
        self.assertEqual(before, self.router.cells.get('cell1'))
        self.assertRaises(
            exception.CellMappingNotFound,
            self.router.cells.update,
            'cell9',
            name='x',
        )

    def test_update_claims_a_new_database(self):
        self.deploy(1)
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'moved')
        cell = self.router.cells.update('cell1', database_connection=url)
        self.assertEqual(
            identity.Identity(cell.uuid, identity.CLAIMED),
            self._identity(url),
        )
        self.assertEqual(['moved'], self.words(self.targeted('cell1')))

    def test_update_to_the_database_of_a_deleted_cell_is_refused(self):
        self.deploy(2)
        one, two = self.deployment.cells
        self.router.cells.delete(two)
        self.assertRaises(
            exception.CellIdentityMismatch,
            self.router.cells.update,
            one,
            database_connection=two.database_connection,
        )
        self.assertEqual(one, self.router.cells.get('cell1'))
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))

    def test_claim_is_taken_back_when_the_row_cannot_be_written(self):
        self.deploy(1)
        url = self.deployment.fresh_database()
        # As if another process took the name between the look and the write.
        self.router.cells._check_unique = lambda *_: None
        self.assertRaises(
            exception.CellMappingExists,
            self.router.cells.create,
            **self._values(name='cell1', database_connection=url),
        )
        self.assertIsNone(self._identity(url))

    # -- delete ------------------------------------------------------------

    def test_cell_with_instances_is_not_deleted(self):
        self.deploy(2)
        context = self.context()
        instances = [str(uuid.uuid4()) for _ in range(3)]
        for instance in instances:
            self.router.instances.map(context, instance, 'cell1')
        error = self.assertRaises(
            exception.CellInUse, self.router.cells.delete, 'cell1'
        )
        self.assertEqual((3, 'cell1'), (error.instances, error.cell_name))
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))
        self.router.instances.unmap(context, instances)
        self.router.cells.delete('cell1')
        self.assertEqual(['cell2'], self._cells())

    def test_unknown_cells_are_not_found(self):
        self.deploy(1)
        for call in (self.router.cells.get, self.router.cells.delete):
            for wrong in ('cell9', str(uuid.uuid4()), 'CELL1', 'cell1 '):
                self.assertRaises(exception.CellMappingNotFound, call, wrong)
            for wrong in ('', None, 7):
                self.assertRaises(exception.InvalidInput, call, wrong)

    # -- without an API database -------------------------------------------

    def test_without_an_api_database_nothing_is_written(self):
        self.deploy(1)
        cell, context = self.deployment.cells[0], self.context()
        self.deployment.conf.set_override('connection', None, 'api_database')
        database = cellplug.Database()
        with self.deployment.open_router(database) as router:
            for call in (
                lambda: router.cells.create(**self._values()),
                lambda: router.cells.update(cell, name='x'),
                lambda: router.cells.delete(cell),
                router.cells.list,
                lambda: router.instances.map(context, str(uuid.uuid4()), cell),
                lambda: router.instances.unmap(context, str(uuid.uuid4())),
                lambda: router.instances.list(context),
            ):
                error = self.assertRaises(exception.NotSupported, call)
                self.assertIn('[api_database] connection', str(error))
            # What is known already can still be worked with.
            with router.target_cell(context, cell) as cctxt:
                words = database.reader(helpers.words)
                self.assertEqual(['cell1'], words(cctxt))


def _create_and_crash(step, api_url, values):
    """Create a cell in a process that ends at this step, with code 42."""
    home, name, when = step.split()
    owner = {
        'schema': type(schema.CELL),
        'identity': identity,
        'cells': cells,
        'collection': collection.CellCollection,
    }[home]
    inner = getattr(owner, name)

    def crashing(*args, **kwargs):
        if when == 'after':
            inner(*args, **kwargs)
        os._exit(42)

    setattr(owner, name, crashing)
    conf = cfg.ConfigOpts()
    cellplug.register_opts(conf)
    conf([], project='cellplug', default_config_files=[])
    conf.set_override('connection', api_url, 'api_database')
    with cellplug.CellRouter.from_conf(conf) as router:
        router.cells.create(**values)


_STEPS = (
    'schema sync before',
    'schema sync after',
    'identity begin_claim before',
    # Not committed: the claim is not there.
    'identity begin_claim after',
    'collection _insert before',
    'cells create before',
    # Not committed: the row is not there.
    'cells create after',
    'collection _insert after',
    'identity finish_claim before',
    'identity finish_claim after',
)


class CrashTests:
    """A creation that was killed anywhere is repeated, and there is one."""

    def _crash(self, step, url, given):
        values = {
            'name': 'new',
            'database_connection': url,
            'transport_url': 'fake://new/',
            'uuid': given,
        }
        codes = databases.in_processes(
            _create_and_crash, (step, self.deployment.api_url, values)
        )
        self.assertEqual([42], codes, step)

    def _repeat(self, step, given):
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'new')
        self._crash(step, url, given)
        made = self.router.cells.create(
            name='new',
            database_connection=url,
            transport_url='fake://new/',
            uuid=given,
        )
        self.assertEqual([made], self.router.cells.list(), step)
        if given:
            self.assertEqual(given, made.uuid)
        self.assertEqual(['new'], self.words(self.targeted('new')), step)
        engine = databases.make_engine(url)
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            self.assertEqual(
                identity.Identity(made.uuid, identity.CLAIMED),
                identity.read(connection),
                step,
            )
        self.router.cells.delete(made)

    def test_killed_creation_may_be_repeated(self):
        self.deploy(0)
        for step in _STEPS:
            self._repeat(step, None)

    def test_killed_creation_may_be_repeated_with_its_uuid(self):
        self.deploy(0)
        for step in _STEPS:
            self._repeat(step, str(uuid.uuid4()))

    def test_unfinished_cell_is_no_other_cells(self):
        self.deploy(0)
        url = self.deployment.fresh_database()
        self._crash('identity finish_claim before', url, None)
        for values in (
            {'name': 'other'},
            {'transport_url': 'fake://other/'},
            {'uuid': str(uuid.uuid4())},
            {'state': 'disabled'},
        ):
            self.assertRaises(
                exception.CellMappingExists,
                self.router.cells.create,
                **{
                    'name': 'new',
                    'database_connection': url,
                    'transport_url': 'fake://new/',
                    **values,
                },
            )
        self.assertEqual(['new'], [c.name for c in self.router.cells.list()])


class TestCellsOnSqlite(CellTests, CrashTests, helpers.DeploymentTestCase):
    pass


class TestCellsOnMariaDB(CellTests, CrashTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestCellsOnPostgreSQL(CellTests, CrashTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
