"""Mappings by the thousand: what holds for few holds for many."""

from __future__ import annotations

import random
import tracemalloc
import uuid

import fixtures
import sqlalchemy as sa
import testtools

import cellplug
from cellplug import exception
from cellplug.cmd import app
from cellplug.cmd import instance_write
from cellplug.db import tables
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.unit import helpers_static

CHUNK = 500
"""How many rows one statement inserts here."""

MANY = 2 * CHUNK + 7
CLOSED = ('no_new', 'read_only', 'disabled')


def new():
    return str(uuid.uuid4())


def some(count):
    return [new() for _ in range(count)]


class BulkTests:
    def setUp(self):
        super().setUp()
        self.useFixture(
            fixtures.MonkeyPatch('cellplug.db.api.inserting.CHUNK', CHUNK)
        )
        self.deploy(2)
        self.one, self.two = self.deployment.cells
        self.instances = self.router.instances
        self.mine = self.context(project_id='p', user_id='u')

    def mapped(self):
        """The committed mappings, read past cellplug."""
        query = sa.text(
            'SELECT instance_uuid, cell_uuid FROM instance_mapping'
        )
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def statements(self, call):
        """The statements that a call makes on the API database."""
        seen = []

        def note(conn, cursor, statement, *rest):
            seen.append(statement)

        with self.database.api.writer.using(self.mine) as session:
            engine = tables.connection(session).engine
        sa.event.listen(engine, 'before_cursor_execute', note)
        try:
            call()
        finally:
            sa.event.remove(engine, 'before_cursor_execute', note)
        return seen


class MapManyTests(BulkTests):
    def test_what_is_returned_is_what_is_there(self):
        given = some(MANY)
        made = self.instances.map_many(
            self.mine, [(one, self.one) for one in given]
        )
        self.assertEqual(given, [one.instance_uuid for one in made])
        found = self.instances.get_many(self.mine, given)
        for one in made:
            there = found[one.instance_uuid]
            self.assertEqual(one, there)
            self.assertEqual(one.created_at, there.created_at)
            self.assertIsNone(one.updated_at)
            self.assertEqual(self.one, one.cell)
            self.assertGreater(one.generation, 0)

    def test_what_is_there_already_stays_as_it_is(self):
        """Some in every chunk, one chunk wholly, one not at all."""
        given = sorted(some(3 * CHUNK))
        old = [*given[:CHUNK], *given[CHUNK::97]]
        theirs = self.instances.map_many(
            self.context(project_id='q', user_id='v'),
            [(one, 'cell1') for one in old],
        )
        before = {one.instance_uuid: one for one in theirs}
        made = self.instances.map_many(
            self.mine, [(one, 'cell1') for one in given]
        )
        self.assertEqual(given, [one.instance_uuid for one in made])
        for one in made:
            known = before.get(one.instance_uuid)
            if known is None:
                self.assertEqual(('p', 'u'), (one.project_id, one.user_id))
            else:
                self.assertEqual(known, one)
        self.assertEqual(
            {one.instance_uuid: one for one in made},
            self.instances.get_many(self.mine, given),
        )

    def test_one_in_another_cell_refuses_all_wherever_it_stands(self):
        given = sorted(some(MANY))
        for taken in (given[0], given[CHUNK], given[-1]):
            self.instances.map(self.mine, taken, 'cell2')
            error = self.assertRaises(
                exception.InstanceAlreadyMapped,
                self.instances.map_many,
                self.mine,
                [(one, 'cell1') for one in given],
            )
            self.assertEqual(
                (taken, self.two.uuid, self.one.uuid),
                (error.instance_uuid, error.cell_uuid, error.requested),
            )
            self.assertEqual({taken: self.two.uuid}, self.mapped())
            self.instances.unmap(self.mine, taken)

    def test_a_remapped_instance_has_a_higher_generation(self):
        given = some(50)
        for _ in range(3):
            first = self.instances.map_many(
                self.mine, [(one, 'cell1') for one in given]
            )
            self.instances.unmap(self.mine, given)
            second = self.instances.map_many(
                self.mine, [(one, 'cell2') for one in given]
            )
            for before, after in zip(first, second, strict=True):
                self.assertGreater(after.generation, before.generation)
            self.instances.unmap(self.mine, given)

    def test_there_is_no_statement_for_each(self):
        given = [(one, 'cell1') for one in some(MANY)]
        seen = self.statements(
            lambda: self.instances.map_many(self.mine, given)
        )
        self.assertLess(len(seen), 25, seen)
        again = self.statements(
            lambda: self.instances.map_many(self.mine, given)
        )
        self.assertLess(len(again), 35, again)

    def test_odd_strings_are_stored_as_they_are(self):
        odd = ["it's", 'a%sb', '%(x)s', 'ab\\', '"; --', 'né🙂', ':p', '?']
        given = [
            {'instance_uuid': new(), 'cell': 'cell1', 'project_id': p,
             'user_id': u}
            for p in odd for u in (*odd, None)
        ]  # fmt: skip
        self.instances.map_many(self.context(user_id=None), given)
        found = self.instances.get_many(
            self.mine, [one['instance_uuid'] for one in given]
        )
        for one in given:
            there = found[one['instance_uuid']]
            self.assertEqual(
                (one['project_id'], one['user_id']),
                (there.project_id, there.user_id),
            )

    def test_many_who_map_the_same_agree(self):
        """Overlapping, in other orders, some of them there before."""
        for _ in range(3):
            given = some(1500)
            self.instances.map_many(
                self.mine, [(one, 'cell1') for one in given[::100]]
            )
            parts = [given[:1100], given[400:], given[::-1], given[200:1300]]
            race = databases.Race(
                *[
                    lambda part=part: self.instances.map_many(
                        self.context(project_id='p'),
                        [(one, 'cell1') for one in part],
                    )
                    for part in parts
                ]
            )
            self.assertEqual([], race.errors)
            found = self.instances.get_many(self.mine, given)
            self.assertEqual(1500, len(found))
            for part, outcome in zip(parts, race.outcomes, strict=True):
                self.assertEqual([found[one] for one in part], outcome)

    def test_of_two_cells_one_gets_all_or_they_share_none(self):
        for _ in range(3):
            given = some(1200)
            race = databases.Race(
                *[
                    lambda cell=cell, given=given: self.instances.map_many(
                        self.context(project_id='p'),
                        [(one, cell) for one in given],
                    )
                    for cell in ('cell1', 'cell2', 'cell1', 'cell2')
                ]
            )
            self.assertEqual(2, len(race.errors), race.errors)
            for error in race.errors:
                self.assertIsInstance(error, exception.InstanceAlreadyMapped)
            there = self.mapped()
            self.assertEqual(1, len({there[one] for one in given}))


class MapStreamTests(BulkTests):
    def test_any_number_from_an_iterator(self):
        given = some(1234)
        count = self.instances.map_stream(
            self.mine, ((one, 'cell1') for one in given), chunk=100
        )
        self.assertEqual(1234, count)
        self.assertEqual(dict.fromkeys(given, self.one.uuid), self.mapped())
        again = dict.fromkeys(given, 'cell1')
        self.assertEqual(1234, self.instances.map_stream(self.mine, again))
        self.assertEqual(0, self.instances.map_stream(self.mine, []))

    def test_what_was_mapped_before_an_error_stays(self):
        given = sorted(some(350))
        self.instances.map(self.mine, given[333], 'cell2')
        self.assertRaises(
            exception.InstanceAlreadyMapped,
            self.instances.map_stream,
            self.mine,
            [(one, 'cell1') for one in given],
            chunk=100,
        )
        there = self.mapped()
        self.assertEqual(self.two.uuid, there.pop(given[333]))
        self.assertEqual(dict.fromkeys(given[:300], self.one.uuid), there)

    def test_inside_a_transaction_it_is_all_or_none(self):
        given = [(one, 'cell1') for one in some(350)]

        def fail():
            with self.database.api.writer.using(self.mine):
                self.instances.map_stream(self.mine, given, chunk=100)
                self.assertEqual(350, len(self.instances.list(self.mine)))
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual({}, self.mapped())

    def test_no_transaction_is_open_while_items_are_made(self):
        def items():
            for one in some(30):
                self.assertFalse(
                    self.database.has_open_api_transaction(self.mine)
                )
                yield one, 'cell1'

        count = self.instances.map_stream(self.mine, items(), chunk=10)
        self.assertEqual(30, count)

    def test_a_chunk_that_cannot_be_is_refused(self):
        for bad in (0, -1, 1.5, '1', None, True):
            for call in (
                lambda bad=bad: self.instances.map_stream(
                    self.mine, [(new(), 'cell1')], chunk=bad
                ),
                lambda bad=bad: self.instances.iterate(self.mine, page=bad),
            ):
                if bad is True:
                    continue
                error = self.assertRaises(exception.InvalidInput, call)
                self.assertIn(error.name, ('chunk', 'page'))
        self.assertRaises(
            exception.InvalidInput,
            lambda: self.instances.unmap(self.mine, [new()], chunk=0),
        )
        self.assertEqual({}, self.mapped())


class ConflictTests(BulkTests):
    def test_chunks_that_lose_a_conflict_are_repeated(self):
        """Whoever maps and unmaps the same at once deadlocks now and then."""
        given = some(300)
        chooser = random.Random(1)
        parts = [chooser.sample(given, 150) for _ in range(24)]

        def work(mine):
            for number, part in enumerate(mine):
                context = self.context(project_id='p')
                if number % 2:
                    self.instances.unmap(context, part, chunk=50)
                else:
                    self.instances.map_stream(
                        context, [(one, 'cell1') for one in part], chunk=50
                    )

        race = databases.Race(
            *[lambda n=n: work(parts[n::6]) for n in range(6)]
        )
        self.assertEqual([], race.errors)
        self.instances.map_stream(self.mine, [(one, 'cell1') for one in given])
        self.assertEqual(set(given), set(self.mapped()))

    def test_the_command_repeats_what_lost_a_conflict(self):
        given = some(300)
        chooser = random.Random(2)
        parts = [chooser.sample(given, 150) for _ in range(24)]
        command = instance_write.Unmap(app.App(), None)

        def work(mine):
            for number, part in enumerate(mine):
                if number % 2:
                    command._unmap(self.router, part)
                else:
                    self.instances.map_stream(
                        self.context(project_id='p'),
                        [(one, 'cell1') for one in part],
                        chunk=50,
                    )

        race = databases.Race(
            *[lambda n=n: work(parts[n::6]) for n in range(6)]
        )
        self.assertEqual([], race.errors)


class StateTests(BulkTests):
    def close(self, state):
        self.router.cells.update('cell1', state=state)

    def test_a_cell_that_is_not_enabled_takes_nothing_new(self):
        """Lesson B 16: other states than ``enabled`` are honoured."""
        elsewhere = self.instances.map(self.mine, new(), 'cell2')
        for state in CLOSED:
            self.close(state)
            for attempt in (
                lambda: self.instances.map(self.mine, new(), 'cell1'),
                lambda: self.instances.map_many(
                    self.mine, [(new(), 'cell2'), (new(), 'cell1')]
                ),
                lambda: self.instances.map_stream(
                    self.mine, [(one, 'cell1') for one in some(3)]
                ),
                lambda: self.instances.move(
                    self.mine,
                    elsewhere.instance_uuid,
                    'cell1',
                    expected_generation=elsewhere.generation,
                ),
            ):
                error = self.assertRaises(exception.CellStateForbids, attempt)
                self.assertEqual(
                    (self.one.uuid, 'cell1', state),
                    (error.cell_uuid, error.cell_name, error.state),
                )
                self.assertIn(f'is {state}', str(error))
            self.assertEqual(
                {elsewhere.instance_uuid: self.two.uuid}, self.mapped()
            )

    def test_what_is_there_already_may_be_mapped_again(self):
        given = some(5)
        made = self.instances.map_many(
            self.mine, [(one, 'cell1') for one in given]
        )
        for state in CLOSED:
            self.close(state)
            again = self.instances.map(self.mine, given[0], 'cell1')
            self.assertEqual(made[0], again)
            many = self.instances.map_many(
                self.mine, [(one, 'cell1') for one in given]
            )
            self.assertEqual(made, many)
            self.assertRaises(
                exception.CellStateForbids,
                self.instances.map_many,
                self.mine,
                [(one, 'cell1') for one in [*given, new()]],
            )

    def test_what_lives_there_already_is_mapped_if_it_is_said(self):
        other = self.instances.map(self.mine, new(), 'cell2')
        for state in CLOSED:
            self.close(state)
            one, *more = some(5)
            self.instances.map(self.mine, one, 'cell1', existing=True)
            self.instances.map_many(
                self.mine, [(u, 'cell1') for u in more[:2]], existing=True
            )
            self.instances.map_stream(
                self.mine, [(u, 'cell1') for u in more[2:]], existing=True
            )
            moved = self.instances.move(
                self.mine,
                other.instance_uuid,
                'cell1',
                expected_generation=other.generation,
                existing=True,
            )
            there = self.mapped()
            for uuid_ in (one, *more, other.instance_uuid):
                self.assertEqual(self.one.uuid, there[uuid_])
            other = self.instances.move(
                self.mine,
                moved.instance_uuid,
                'cell2',
                expected_generation=moved.generation,
            )

    def test_an_instance_in_another_cell_is_told_first(self):
        taken = self.instances.map(self.mine, new(), 'cell2').instance_uuid
        self.close('no_new')
        for attempt in (
            lambda: self.instances.map(self.mine, taken, 'cell1'),
            lambda: self.instances.map_many(self.mine, {taken: 'cell1'}),
        ):
            self.assertRaises(exception.InstanceAlreadyMapped, attempt)

    def test_the_state_that_counts_is_the_databases(self):
        """A CellMapping in the caller's hands may be old."""
        old = self.one
        self.close('no_new')
        self.assertRaises(
            exception.CellStateForbids,
            self.instances.map,
            self.mine,
            new(),
            old,
        )
        newer = self.router.cells.get('cell1')
        self.close('enabled')
        self.instances.map(self.mine, new(), newer)

    def test_the_state_costs_no_statement(self):
        """It comes with the cell's row, which is locked anyway."""
        seen = self.statements(
            lambda: self.instances.map(self.mine, new(), self.one)
        )
        reads = [one for one in seen if 'cell_mapping' in one]
        self.assertEqual(1, len(reads), seen)


class ReadingTests(BulkTests):
    def fill(self, count, **values):
        given = sorted(some(count))
        self.instances.map_many(
            self.context(project_id='p', **values),
            [(one, ('cell1', 'cell2')[n % 2]) for n, one in enumerate(given)],
        )
        return given

    def iterated(self, **filters):
        return [
            one.instance_uuid
            for one in self.instances.iterate(self.mine, **filters)
        ]

    def test_all_come_once_in_order_whatever_the_page(self):
        given = self.fill(23)
        for page in (1, 2, 7, 22, 23, 24, 1000):
            self.assertEqual(given, self.iterated(page=page))
        self.assertEqual(given[::2], self.iterated(page=3, cell='cell1'))
        self.assertEqual(given[1::2], self.iterated(page=3, cell=self.two))
        self.assertEqual(given, self.iterated(page=5, project_id='p'))
        self.assertEqual([], self.iterated(page=5, project_id='q'))
        self.assertEqual(given[12:], self.iterated(page=5, marker=given[11]))
        self.assertEqual([], self.iterated(page=5, marker=given[-1].upper()))

    def test_each_has_its_cell(self):
        self.fill(23)
        for one in self.instances.iterate(self.mine, page=4):
            cell = self.one if one.cell_uuid == self.one.uuid else self.two
            self.assertEqual(cell, one.cell)

    def test_changes_between_pages_lose_and_repeat_nothing(self):
        given = self.fill(30)
        seen = []
        for number, one in enumerate(
            self.instances.iterate(self.mine, page=5)
        ):
            seen.append(one.instance_uuid)
            if number == 7:
                self.instances.unmap(self.mine, [given[2], given[20]])
                self.instances.map_many(
                    self.mine, {str(uuid.UUID(int=1)): 'cell1'}
                )
        self.assertEqual([u for u in given if u != given[20]], seen)

    def test_a_page_is_read_when_it_is_asked_for(self):
        self.fill(10)
        found = self.instances.iterate(self.mine, page=3)
        seen = self.statements(lambda: [next(found) for _ in range(3)])
        reads = [one for one in seen if 'FROM instance_mapping' in one]
        self.assertEqual(1, len(reads), seen)

    def test_bad_arguments_are_refused_at_once(self):
        for filters, error in (
            ({'page': 0}, exception.InvalidInput),
            ({'marker': 'vm'}, exception.InvalidUUID),
            ({'project_id': ''}, exception.InvalidInput),
            ({'cell': 'cell9'}, exception.CellMappingNotFound),
        ):
            self.assertRaises(
                error,
                lambda filters=filters: self.instances.iterate(
                    self.mine, **filters
                ),
            )

    def test_many_are_looked_up_with_their_cells(self):
        given = self.fill(MANY)
        found = self.instances.get_many(self.mine, [*given, *some(3)])
        self.assertEqual(given, sorted(found))
        for one in found.values():
            cell = self.one if one.cell_uuid == self.one.uuid else self.two
            self.assertEqual(cell, one.cell)

    def test_a_mapping_whose_cell_was_lost_is_still_found(self):
        given = self.fill(MANY)
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            connection.execute(
                sa.text("DELETE FROM cell_mapping WHERE name = 'cell2'")
            )
        listed = list(self.instances.iterate(self.mine))
        found = self.instances.get_many(self.mine, given)
        self.assertEqual(MANY, len(found))
        for one in (*listed, *found.values()):
            lost = one.cell_uuid == self.two.uuid
            self.assertEqual(None if lost else self.one, one.cell)

    def test_many_are_unmapped_in_chunks(self):
        given = self.fill(500)
        kept = given.pop()
        count = self.instances.unmap(
            self.mine, iter([*given, *some(5)]), chunk=100
        )
        self.assertEqual(499, count)
        self.assertEqual([kept], list(self.mapped()))

    def test_what_was_unmapped_before_an_error_stays_so(self):
        given = self.fill(250)
        self.assertRaises(
            exception.InvalidUUID,
            lambda: self.instances.unmap(
                self.mine, [*given[:220], 'vm'], chunk=100
            ),
        )
        self.assertEqual(sorted(given[200:]), sorted(self.mapped()))

    def test_without_chunks_it_is_all_or_none(self):
        given = self.fill(250)
        self.assertRaises(
            exception.InvalidUUID,
            lambda: self.instances.unmap(self.mine, [*given, 'vm']),
        )
        self.assertEqual(250, len(self.mapped()))


class MemoryTests(BulkTests):
    """What is in memory does not grow with what is mapped."""

    def test_memory_is_constant_in_the_number_of_instances(self):
        self.work(1000)  # Whatever is imported and cached by the first.
        small = self.peaks(2000)
        large = self.peaks(10000)
        for name, peak in large.items():
            self.assertLess(peak, 1.5 * small[name] + 100_000, name)

    def work(self, count):
        return {name: call() for name, call in self.calls(count).items()}

    def calls(self, count):
        def uuids():
            return (str(uuid.UUID(int=n * 2**64)) for n in range(count))

        return {
            'map_stream': lambda: self.instances.map_stream(
                self.mine, ((one, 'cell1') for one in uuids()), chunk=500
            ),
            'iterate': lambda: sum(
                1 for _ in self.instances.iterate(self.mine, page=500)
            ),
            'unmap': lambda: self.instances.unmap(
                self.mine, uuids(), chunk=500
            ),
        }

    def peaks(self, count):
        found = {}
        for name, call in self.calls(count).items():
            tracemalloc.start()
            try:
                self.assertEqual(count, call())
                found[name] = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        return found


class ForgettingTests(BulkTests):
    def test_the_resolver_forgets_what_was_committed_chunk_by_chunk(self):
        told = []
        forget = self.router._resolver.forget_instances
        self.router._resolver.forget_instances = told.append
        self.addCleanup(
            setattr, self.router._resolver, 'forget_instances', forget
        )
        given = some(25)
        self.instances.map_stream(
            self.mine, [(one, 'cell1') for one in given], chunk=10
        )
        self.assertEqual([10, 10, 5], [len(one) for one in told])
        known = self.instances.get_many(self.mine, given)
        for one in told:
            for uuid_, generation in one.items():
                self.assertEqual(known[uuid_].generation, generation)
        del told[:]
        self.instances.unmap(self.mine, given, chunk=20)
        self.assertEqual([20, 5], [len(one) for one in told])


class TestMapManyOnSqlite(MapManyTests, helpers.DeploymentTestCase):
    pass


class TestMapStreamOnSqlite(MapStreamTests, helpers.DeploymentTestCase):
    pass


class TestStateOnSqlite(StateTests, helpers.DeploymentTestCase):
    pass


class TestReadingOnSqlite(ReadingTests, helpers.DeploymentTestCase):
    pass


class TestMapManyOnMariaDB(MapManyTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestMapStreamOnMariaDB(MapStreamTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestStateOnMariaDB(StateTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestReadingOnMariaDB(ReadingTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestMapManyOnPostgreSQL(MapManyTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestMapStreamOnPostgreSQL(MapStreamTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestStateOnPostgreSQL(StateTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestReadingOnPostgreSQL(ReadingTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestConflictOnMariaDB(ConflictTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestConflictOnPostgreSQL(ConflictTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestMemory(MemoryTests, helpers.DeploymentTestCase):
    pass


class TestForgetting(ForgettingTests, helpers.DeploymentTestCase):
    pass


class TestCellsOfFiles(testtools.TestCase):
    """Cells that are no rows: their states stand in the configuration."""

    def setUp(self):
        super().setUp()
        files = helpers_static.StaticFixture('east', 'west')
        self.files = self.useFixture(files)
        url = self.files.fresh_database()
        self.files.sections['api_database'] = {'connection': url}
        self.files.sections['cell_west']['state'] = 'no_new'
        self.files.write()
        cellplug.sync_api_database(self.files.conf())
        self.instances = self.files.open_router().instances
        self.mine = cellplug.RequestContext(user_id='u', project_id='p')

    def test_many_are_mapped_and_listed_with_them(self):
        given = sorted(some(25))
        made = self.instances.map_many(
            self.mine, [(one, 'east') for one in given]
        )
        listed = list(self.instances.iterate(self.mine, cell='east', page=4))
        self.assertEqual(made, listed)
        for one in (*made, *listed):
            self.assertEqual('east', one.cell.name)

    def test_their_states_are_honoured(self):
        (old,) = some(1)
        self.instances.map(self.mine, old, 'west', existing=True)
        self.instances.map_many(self.mine, {old: 'west'})
        made = self.instances.map(self.mine, new(), 'east')
        for attempt in (
            lambda: self.instances.map(self.mine, new(), 'west'),
            lambda: self.instances.map_stream(
                self.mine, {new(): 'east', new(): 'west'}
            ),
            lambda: self.instances.move(
                self.mine,
                made.instance_uuid,
                'west',
                expected_generation=made.generation,
            ),
        ):
            error = self.assertRaises(exception.CellStateForbids, attempt)
            self.assertEqual('west', error.cell_name)
        self.assertEqual(2, len(self.instances.list(self.mine)))
