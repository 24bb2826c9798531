"""``router.place``: a cell for a new instance, chosen and mapped at once."""

from __future__ import annotations

import collections
import contextlib
import pathlib
import threading
import uuid as uuid_module

import sqlalchemy as sa
import testtools

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug.cells import placing_counts
from cellplug.db.api import models
from cellplug.objects import CELL0_UUID
from cellplug.testing import fixtures
from tests.functional import databases
from tests.functional import helpers_deployment as helpers
from tests.unit import helpers_static

Capability = interfaces.PlacementCapability


def new():
    return str(uuid_module.uuid4())


class Told(interfaces.Placement):
    """Answers as it is told, and notes what it is asked.

    :ivar answer: what gives the answer, from candidates; names by default.
    :ivar questions: the candidates and the request of each call.
    """

    def __init__(self, *names, capabilities=()):
        self.capabilities = frozenset(capabilities)
        self.names = names
        self.questions = []
        self.answer = self.by_name

    def rank(self, context, candidates, request):
        self.questions.append((candidates, request))
        return self.answer(candidates, request)

    def by_name(self, candidates, request):
        uuids = {one.cell.name: one.uuid for one in candidates}
        return [uuids[name] for name in self.names if name in uuids]

    def close(self):
        pass


class PlacingTestCase(helpers.DeploymentTestCase):
    def setUp(self):
        super().setUp()
        self.start()

    def start(self, **router):
        self.deploy(3, router=router)
        self.one, self.two, self.three = self.deployment.cells
        self.mine = self.context(project_id='p', user_id='u')

    def place(self, instance=None, **options):
        """The name of the cell that an instance was placed in."""
        made = self.router.place(self.mine, instance or new(), **options)
        return made.cell.name

    def fill(self, **counts):
        """Map so many instances of another project to each cell."""
        self.router.instances.map_many(
            self.mine,
            [
                {'instance_uuid': new(), 'cell': name, 'project_id': 'q'}
                for name, count in counts.items()
                for _ in range(count)
            ],
        )

    def mapped(self):
        """How many instances each cell has, read past cellplug."""
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            rows = connection.execute(
                sa.select(models.instance_mapping.c.cell_uuid)
            )
            names = {cell.uuid: cell.name for cell in self.deployment.cells}
            return collections.Counter(names[uuid] for (uuid,) in rows)

    def refused(self, **options):
        """Why an instance could not be placed, by the cells' names."""
        before = self.mapped()
        error = self.assertRaises(
            exception.NoCellAvailable, self.place, **options
        )
        self.assertEqual(before, self.mapped())
        return error.why


class PlaceTests:
    # -- where -------------------------------------------------------------

    def test_the_cell_with_the_fewest_gets_it(self):
        self.fill(cell1=3, cell2=1, cell3=2)
        self.assertEqual('cell2', self.place())

    def test_cells_are_filled_evenly(self):
        self.fill(cell1=4)
        for _ in range(11):
            self.place()
        self.assertEqual(
            {'cell1': 5, 'cell2': 5, 'cell3': 5}, dict(self.mapped())
        )

    def test_it_is_mapped_with_project_user_and_cell(self):
        instance = new()
        made = self.router.place(self.mine, instance.upper())
        self.assertEqual(
            (instance, 'p', 'u', made.cell.uuid),
            (
                made.instance_uuid,
                made.project_id,
                made.user_id,
                made.cell_uuid,
            ),
        )
        self.assertIn(made.cell, self.deployment.cells)
        self.assertEqual(made, self.router.instances.get(self.mine, instance))
        with self.router.target_instance(self.mine, instance) as cctxt:
            self.assertEqual(made.cell_uuid, cctxt.cell_uuid)

    def test_project_and_user_may_be_given(self):
        made = self.router.place(self.mine, new(), project_id='q', user_id='v')
        self.assertEqual(('q', 'v'), (made.project_id, made.user_id))

    def test_one_that_is_mapped_stays_where_it_is(self):
        instance = new()
        made = self.router.instances.map(self.mine, instance, 'cell3')
        self.fill(cell3=5)
        for cell in self.deployment.cells:
            self.router.cells.update(cell, state='disabled')
        for options in (
            {},
            {'project_id': 'q'},
            {'exclude': ['cell3']},
            {'cells': ['cell1']},
            {'cells': []},
        ):
            again = self.router.place(self.mine, instance, **options)
            self.assertEqual(made, again)
            self.assertEqual('cell3', again.cell.name)

    # -- which cells -------------------------------------------------------

    def test_closed_cells_get_nothing_and_are_told(self):
        for state in ('no_new', 'read_only', 'disabled'):
            self.router.cells.update('cell2', state=state)
            for _ in range(6):
                self.assertNotEqual('cell2', self.place())
            self.assertEqual(
                {'cell2': f'it is {state}'}, self.refused(cells=['cell2'])
            )
        self.router.cells.update('cell2', state='enabled')
        self.assertEqual('cell2', self.place())

    def test_cell0_gets_nothing(self):
        self.deployment.add_cell(
            'cell0', uuid=CELL0_UUID, transport_url='none:///'
        )
        for _ in range(9):
            self.assertNotEqual('cell0', self.place())
        for cell in self.deployment.cells:
            self.router.cells.update(cell, state='no_new')
        self.assertNotIn('cell0', self.refused())
        self.assertIn(
            'never be placed', self.refused(cells=['cell0'])['cell0']
        )

    def test_cells_may_be_named_in_any_way(self):
        self.fill(cell1=9, cell3=9)
        for cell in (self.one, self.one.uuid.upper(), 'cell1'):
            self.assertEqual('cell1', self.place(cells=[cell]))
            self.assertNotEqual('cell1', self.place(exclude=[cell]))
        self.assertEqual('cell2', self.place(cells=iter(['cell1', 'cell2'])))

    def test_an_excluded_cell_is_told(self):
        found = self.refused(
            cells=['cell1', 'cell2'], exclude=['cell2', 'cell1', 'cell3']
        )
        self.assertEqual(
            {'cell1': 'it was excluded', 'cell2': 'it was excluded'}, found
        )

    def test_no_cells_at_all(self):
        self.assertEqual({}, self.refused(cells=[]))

    def test_what_is_wrong_is_one_line_and_maps_nothing(self):
        nobody = self.context(project_id=None)
        for context, instance, options, expected in (
            (nobody, new(), {}, exception.InvalidInput),
            (None, new(), {}, exception.InvalidInput),
            (self.mine, 'no-uuid', {}, exception.InvalidUUID),
            (self.mine, new(), {'project_id': ''}, exception.InvalidInput),
            (self.mine, new(), {'user_id': 'a\0'}, exception.InvalidInput),
            (self.mine, new(), {'cells': 'cell1'}, exception.InvalidInput),
            (self.mine, new(), {'cells': self.one}, exception.InvalidInput),
            (self.mine, new(), {'cells': 5}, exception.InvalidInput),
            (self.mine, new(), {'exclude': 'cell1'}, exception.InvalidInput),
            (self.mine, new(), {'exclude': [None]}, exception.InvalidInput),
            (self.mine, new(), {'hints': 'big'}, exception.InvalidInput),
            (self.mine, new(), {'hints': {1: 2}}, exception.InvalidInput),
            (
                self.mine,
                new(),
                {'cells': ['cell9']},
                exception.CellMappingNotFound,
            ),
            (
                self.mine,
                new(),
                {'exclude': [new()]},
                exception.CellMappingNotFound,
            ),
        ):
            error = self.assertRaises(
                expected, self.router.place, context, instance, **options
            )
            self.assertNotIn('\n', str(error))
        self.assertEqual({}, dict(self.mapped()))

    # -- the request's transaction -----------------------------------------

    def test_it_joins_the_requests_api_transaction(self):
        def fail():
            with self.database.api.writer.using(self.mine):
                for _ in range(6):
                    self.place()
                found = self.router.instances.list(self.mine)
                counts = collections.Counter(m.cell_uuid for m in found)
                # It sees what the request itself has placed.
                self.assertEqual([2, 2, 2], list(counts.values()))
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual({}, dict(self.mapped()))

    def test_what_could_not_be_placed_may_go_to_cell0_at_once(self):
        self.deployment.add_cell(
            'cell0', uuid=CELL0_UUID, transport_url='none:///'
        )
        for cell in self.deployment.cells:
            self.router.cells.update(cell, state='no_new')
        instance = new()
        with self.database.api.writer.using(self.mine):
            self.assertRaises(exception.NoCellAvailable, self.place, instance)
            self.router.instances.map(self.mine, instance, CELL0_UUID)
        found = self.router.instances.get(self.mine, instance)
        self.assertEqual('cell0', found.cell.name)

    # -- at once -----------------------------------------------------------

    def test_one_instance_placed_by_many_is_placed_once(self):
        other = self.deployment.open_router(cellplug.Database())
        for _ in range(5):
            instance = new()
            race = databases.Race(
                *(
                    self.placing(router, instance)
                    for router in (self.router, other) * 4
                )
            )
            self.assertEqual([], race.errors)
            self.assertEqual(1, len({m.cell_uuid for m in race.outcomes}))
            self.assertEqual(1, len({m.generation for m in race.outcomes}))
        self.assertEqual(5, self.mapped().total())

    def placing(self, router, instance):
        return lambda: router.place(self.context(), instance)

    def test_many_at_once_stay_as_even_as_there_are_placers(self):
        placers, each = 6, 15
        # Dice would leave that much of a difference.
        self.fill(cell1=25)

        def work():
            for _ in range(each):
                self.router.place(self.context(), new())

        race = databases.Race(*[work] * placers)
        self.assertEqual([], race.errors)
        counts = self.mapped()
        self.assertEqual(placers * each + 25, counts.total())
        self.assertLessEqual(
            max(counts.values()) - min(counts.values()), placers, counts
        )

    def test_processes_agree_on_where_an_instance_is(self):
        instances = [new() for _ in range(10)]
        self.place()
        self.router.close()
        self.router = self.deployment.open_router(self.database)
        start = databases.barrier(4)

        def work():
            start.wait(databases.PATIENCE)
            for instance in instances:
                made = self.router.place(self.context(), instance)
                again = self.router.instances.get(self.mine, instance)
                assert (made.cell_uuid, made.generation) == (
                    again.cell_uuid,
                    again.generation,
                )

        codes = databases.in_processes(work, *[()] * 4)
        self.assertEqual([0] * 4, codes)
        self.assertEqual(len(instances) + 1, self.mapped().total())

    def test_nothing_comes_into_a_cell_once_it_was_closed(self):
        stop = threading.Event()

        def work():
            while not stop.is_set():
                self.router.place(self.context(), new())

        with contextlib.ExitStack() as running:
            running.callback(stop.set)
            placers = [
                running.enter_context(helpers.Background(work))
                for _ in range(3)
            ]
            databases.poll_until(
                lambda: self.mapped()['cell1'] > 3, 'nothing is placed'
            )
            self.router.cells.update('cell1', state='no_new')
            closed_with = self.mapped()
            databases.poll_until(
                lambda: self.mapped()['cell2'] > closed_with['cell2'] + 5,
                'nothing more is placed',
            )
            stop.set()
        for placer in placers:
            placer.join()
        self.assertEqual(closed_with['cell1'], self.mapped()['cell1'])

    def test_whoever_closes_a_cell_waits_for_those_that_place_in_it(self):
        with contextlib.ExitStack() as later:
            with self.database.api.writer.using(self.mine):
                self.place(cells=['cell1'])
                closing = later.enter_context(
                    helpers.Background(
                        lambda: self.router.cells.update(
                            'cell1', state='no_new'
                        )
                    )
                )
                databases.wait_until_one_waits(self.engine())
                self.assertFalse(closing.ended)
            closing.join()
        self.assertEqual({'cell1': 1}, dict(self.mapped()))

    def engine(self):
        engine = databases.make_engine(self.deployment.api_url)
        self.addCleanup(engine.dispose)
        return engine


class TestPlaceOnSqlite(PlaceTests, PlacingTestCase):
    backend = 'sqlite'


class TestPlaceOnMariaDB(PlaceTests, PlacingTestCase):
    backend = 'mariadb'


class TestPlaceOnPostgreSQL(PlaceTests, PlacingTestCase):
    backend = 'postgresql'


class MeanwhileTests:
    """What happens between the driver's answer and the mapping."""

    def start(self):
        self.told = Told('cell2', 'cell3', 'cell1')
        super().start(placement=self.told)
        self.other = self.deployment.open_router(
            cellplug.Database(), placement=Told()
        )

    def meanwhile(self, call):
        """Have something happen behind the driver's answer, elsewhere."""

        def answer(candidates, request):
            helpers.in_thread(call)
            return self.told.by_name(candidates, request)

        self.told.answer = answer

    def test_a_cell_that_was_closed_gets_nothing(self):
        self.meanwhile(
            lambda: self.other.cells.update('cell2', state='no_new')
        )
        self.assertEqual('cell3', self.place())

    def test_a_cell_that_was_deleted_gets_nothing(self):
        self.meanwhile(lambda: self.other.cells.delete('cell2'))
        self.assertEqual('cell3', self.place())

    def test_the_last_one_that_was_closed_is_told(self):
        self.told.names = ('cell2',)
        self.meanwhile(
            lambda: self.other.cells.update('cell2', state='disabled')
        )
        self.assertEqual(
            {
                'cell1': 'the placement driver ruled it out',
                'cell2': 'it is disabled',
                'cell3': 'the placement driver ruled it out',
            },
            self.refused(),
        )

    def test_somebody_else_placed_it(self):
        instance = new()
        self.meanwhile(
            lambda: self.other.instances.map(self.context(), instance, 'cell1')
        )
        self.assertEqual('cell1', self.place(instance))


class TestMeanwhileOnMariaDB(MeanwhileTests, PlacingTestCase):
    backend = 'mariadb'


class TestMeanwhileOnPostgreSQL(MeanwhileTests, PlacingTestCase):
    backend = 'postgresql'


class TestDrivers(PlacingTestCase):
    """What the router and a driver say to each other."""

    def start(self):
        self.told = Told('cell2', 'cell1')
        super().start(placement=self.told)

    def test_the_driver_decides(self):
        self.assertEqual('cell2', self.place())
        self.assertEqual('cell1', self.place(exclude=['cell2']))
        self.assertEqual(
            {'cell3': 'the placement driver ruled it out'},
            self.refused(cells=['cell3']),
        )

    def test_it_is_told_what_the_caller_knows(self):
        instance, hints = new(), {'zone': 'east'}
        self.place(instance, project_id='q', user_id='v', hints=hints)
        hints['zone'] = 'west'
        [(candidates, request)] = self.told.questions
        self.assertEqual(
            (instance, 'q', 'v', {'zone': 'east'}),
            (
                request.instance_uuid,
                request.project_id,
                request.user_id,
                dict(request.hints),
            ),
        )
        self.assertEqual(
            {'cell1', 'cell2', 'cell3'}, {one.cell.name for one in candidates}
        )

    def test_it_gets_the_counts_that_it_declares(self):
        self.fill(cell1=2, cell2=3)
        self.router.instances.map(self.mine, new(), 'cell2')
        for needs, expected in (
            ((), {'cell1': (None, None), 'cell2': (None, None)}),
            ((Capability.COUNTS,), {'cell1': (2, None), 'cell2': (4, None)}),
            (
                (Capability.PROJECT_COUNTS,),
                {'cell1': (None, 0), 'cell2': (None, 1)},
            ),
        ):
            self.told.capabilities = frozenset(needs)

            def fail(candidates, request):
                raise ZeroDivisionError

            self.told.answer = fail
            self.assertRaises(
                ZeroDivisionError, self.place, cells=['cell1', 'cell2']
            )
            candidates, _ = self.told.questions[-1]
            self.assertEqual(
                expected,
                {
                    one.cell.name: (one.instances, one.project_instances)
                    for one in candidates
                },
            )

    def test_it_is_not_asked_where_nothing_is_open(self):
        self.refused(cells=[])
        self.assertEqual([], self.told.questions)

    def test_its_reason_stands_beside_those_of_the_cells(self):
        def refuse(candidates, request):
            raise exception.NoCellAvailable(
                request.instance_uuid, reason='the moon is full'
            )

        self.told.answer = refuse
        self.router.cells.update('cell3', state='no_new')
        instance = new()
        error = self.assertRaises(
            exception.NoCellAvailable, self.place, instance
        )
        self.assertEqual(
            (instance, 'the moon is full', {'cell3': 'it is no_new'}),
            (error.instance_uuid, error.reason, error.why),
        )
        self.assertIn('the moon is full', str(error))

    def test_an_answer_that_cannot_be_is_the_drivers_fault(self):
        for answer in (
            [new()],
            ['cell1'],
            [self.one],
            [None],
            None,
            'cell1',
            5,
            {self.one.uuid},
        ):
            self.told.answer = lambda *_, found=answer: found
            error = self.assertRaises(exception.DriverError, self.place)
            self.assertEqual('placement', error.interface)
            self.assertIn("placement driver 'Told': rank ", str(error))
            self.assertNotIn('\n', str(error))
        self.assertEqual({}, dict(self.mapped()))

    def test_one_that_is_named_twice_counts_once(self):
        self.told.names = ('cell3', 'cell3', 'cell1')
        self.assertEqual('cell3', self.place())


class TestConfigured(helpers.DeploymentTestCase):
    """Drivers and options by configuration alone."""

    def place(self, context, **options):
        return self.router.place(context, new(), **options).cell.name

    def test_pinned(self):
        self.deploy(
            3,
            options={
                'placement.driver': 'pinned',
                'placement_pinned.projects': {'gold': 'cell3'},
                'placement_pinned.backend': 'project_affinity',
            },
        )
        gold, tin = (self.context(project_id=p) for p in ('gold', 'tin'))
        self.assertEqual({'cell3'}, {self.place(gold) for _ in range(4)})
        home = self.place(tin)
        self.assertEqual({home}, {self.place(tin) for _ in range(6)})
        self.router.cells.update('cell3', state='no_new')
        error = self.assertRaises(exception.NoCellAvailable, self.place, gold)
        self.assertIn("is pinned to cell 'cell3'", error.reason)
        self.assertEqual({'cell3': 'it is no_new'}, error.why)

    def test_weighted(self):
        self.deploy(
            2,
            options={
                'placement.driver': 'weighted',
                'placement_weighted.weights': {'cell1': '3'},
            },
        )
        mine = self.context()
        found = collections.Counter(self.place(mine) for _ in range(12))
        self.assertEqual({'cell1': 9, 'cell2': 3}, dict(found))

    def test_a_driver_that_cannot_be_had_is_told_at_the_first_placing(self):
        self.deploy(1, options={'placement.driver': 'nobody'})
        error = self.assertRaises(
            exception.UnknownDriver, self.place, self.context()
        )
        self.assertEqual('placement', error.interface)

    def test_a_caching_resolver_is_told(self):
        self.deploy(
            2,
            options={'resolver.driver': 'local', 'resolver_local.ttl': 60.0},
        )
        instance, mine = new(), self.context()
        for _ in range(2):
            self.assertRaises(
                exception.InstanceMappingNotFound,
                self.router.instances.get,
                mine,
                instance,
            )
        made = self.router.place(mine, instance)
        self.assertEqual(made, self.router.instances.get(mine, instance))

    def test_after_close_nothing_is_placed(self):
        self.deploy(1)
        self.router.close()
        self.assertRaises(exception.CellplugError, self.place, self.context())

    def test_a_driver_that_was_given_is_closed(self):
        told, closed = Told('cell1'), []
        told.close = lambda: closed.append(True)
        self.deploy(1, router={'placement': told})
        self.router.close()
        self.assertEqual([True], closed)

    def test_counts_may_be_remembered(self):
        self.deploy(2, options={'placement.count_max_age': 600.0})
        mine = self.context()
        found = collections.Counter(self.place(mine) for _ in range(6))
        self.assertEqual({'cell1': 3, 'cell2': 3}, dict(found))
        # What others map is seen later.
        other = self.deployment.open_router(cellplug.Database())
        for _ in range(4):
            other.instances.map(mine, new(), 'cell1')
        found = collections.Counter(self.place(mine) for _ in range(2))
        self.assertEqual({'cell1': 1, 'cell2': 1}, dict(found))


class TestCounts(databases.OnSqlite):
    """The memory of counts, by an injected clock."""

    tables = 'api'

    def setUp(self):
        super().setUp()
        self.now = 100.0
        self.counts = placing_counts.Counts(5.0, lambda: self.now)
        self.cell = new()

    def map(self):
        with self.engine.begin() as connection:
            connection.execute(
                sa.insert(models.instance_mapping),
                {
                    'instance_uuid': new(),
                    'cell_uuid': self.cell,
                    'project_id': 'p',
                    'generation': 1,
                },
            )

    def get(self):
        with self.engine.connect() as connection:
            return self.counts.get(connection).get(self.cell, 0)

    def test_a_count_serves_until_it_is_too_old(self):
        self.map()
        self.assertEqual(1, self.get())
        self.map()
        self.now += 4.9
        self.assertEqual(1, self.get())
        self.now += 0.2
        self.assertEqual(2, self.get())

    def test_what_is_placed_here_is_added(self):
        self.assertEqual(0, self.get())
        self.counts.add(self.cell)
        self.assertEqual(1, self.get())
        self.now += 6
        self.assertEqual(0, self.get())

    def test_a_slow_count_does_not_undo_a_newer_one(self):
        test = self

        class Slow:
            """Others count and place before its answer arrives."""

            def execute(self, statement):
                with test.engine.connect() as connection:
                    rows = connection.execute(statement).all()
                test.assertEqual(0, test.get())
                test.counts.add(test.cell)
                return rows

        self.counts.get(Slow())
        self.assertEqual(1, self.get())

    def test_what_was_given_out_is_the_callers_own(self):
        self.map()
        with self.engine.connect() as connection:
            for _ in range(2):
                found = self.counts.get(connection)
                self.assertEqual({self.cell: 1}, found)
                found.clear()

    def test_without_an_age_nothing_is_remembered(self):
        self.counts = placing_counts.Counts(0.0)
        for expected in (1, 2):
            self.map()
            self.counts.add(self.cell)
            self.assertEqual(expected, self.get())

    def test_a_child_counts_for_itself(self):
        self.assertEqual(0, self.get())
        self.map()

        def work():
            assert self.get() == 1

        self.engine.dispose()
        self.assertEqual([0], databases.in_processes(work, ()))
        self.assertEqual(0, self.get())


class TestDown(helpers.DeploymentTestCase):
    """A cell whose database does not answer."""

    def setUp(self):
        super().setUp()
        self.deploy(
            2,
            options={
                'cells.breaker_threshold': 2,
                'cells.breaker_retry': 0.05,
                'cells.breaker_retry_max': 0.05,
            },
        )
        self.mine = self.context()
        url = self.deployment.cells[1].database_connection
        self.file = pathlib.Path(sa.make_url(url).database)

    def place(self, **options):
        return self.router.place(self.mine, new(), **options).cell.name

    def break_it(self):
        """Take the file of cell2 away, until its circuit is open."""
        away = self.file.with_suffix('.away')
        self.file.rename(away)
        self.addCleanup(self.mend, away)
        self.database.get_engine(self.targeted('cell2')).dispose()
        for _ in range(2):
            self.assertRaises(
                exception.CellUnavailable, self.words, self.targeted('cell2')
            )
        return away

    def mend(self, away):
        if away.exists():
            away.rename(self.file)

    def test_it_gets_nothing_until_it_answers_again(self):
        self.assertEqual('cell2', self.place(cells=['cell2']))
        away = self.break_it()
        for _ in range(4):
            self.assertEqual('cell1', self.place())
        error = self.assertRaises(
            exception.NoCellAvailable, self.place, cells=['cell2']
        )
        self.assertEqual({'cell2': 'its database does not answer'}, error.why)
        self.mend(away)
        databases.poll_until(self._answers, 'cell2 stays down')
        self.assertEqual('cell2', self.place())

    def _answers(self):
        try:
            return self.place(cells=['cell2'])
        except exception.NoCellAvailable:
            return None


class TestStatic(testtools.TestCase):
    """Cells that are no rows of the API database."""

    def make(self, **options):
        self.files = self.useFixture(
            helpers_static.StaticFixture(
                'east', 'west', options={'resolver_static': options}
            )
        )
        self.context = cellplug.RequestContext(user_id='u', project_id='p')
        return self.files

    def test_they_get_instances_by_their_own_state(self):
        api = self.useFixture(fixtures.DatabaseFixture('sqlite')).url
        files = self.make(instances='database')
        files.sections['api_database'] = {'connection': api}
        files.sections['cell_east']['state'] = 'no_new'
        files.write()
        with files.open_router(database=cellplug.Database()) as router:
            cellplug.sync_api_database(router.conf)
            instance = new()
            made = router.place(self.context, instance)
            self.assertEqual('west', made.cell.name)
            self.assertEqual(made, router.place(self.context, instance))
            error = self.assertRaises(
                exception.NoCellAvailable,
                router.place,
                self.context,
                new(),
                exclude=['west'],
            )
            self.assertEqual(
                {'east': 'it is no_new', 'west': 'it was excluded'}, error.why
            )
            files.sections['cell_east']['state'] = 'enabled'
            files.write()
            router.reload()
            made = router.place(self.context, new())
            self.assertEqual('east', made.cell.name)

    def test_where_rules_decide_nothing_is_placed(self):
        files = self.make(
            instances='rules', projects='acme:west', default_cell='east'
        )
        with files.open_router(database=cellplug.Database()) as router:
            error = self.assertRaises(
                exception.NotSupported, router.place, self.context, new()
            )
            self.assertIn('keeps no mappings', str(error))
