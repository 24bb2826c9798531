"""``router.instances``: which instance lives in which cell."""

from __future__ import annotations

import uuid

from cellplug import exception
from cellplug import objects
from tests.functional import helpers_deployment as helpers


def new():
    return str(uuid.uuid4())


class InstanceTests:
    def setUp(self):
        super().setUp()
        self.deploy(2)
        self.one, self.two = self.deployment.cells
        self.instances = self.router.instances
        self.mine = self.context(project_id='p', user_id='u')

    def _mapped(self):
        """All mappings: the cell's uuid by the instance's."""
        found = self.instances.list(self.mine)
        return {m.instance_uuid: m.cell_uuid for m in found}

    # -- map ---------------------------------------------------------------

    def test_instance_is_mapped_with_the_contexts_project_and_user(self):
        instance = new()
        made = self.instances.map(self.mine, instance, 'cell1')
        self.assertEqual(
            (instance, self.one.uuid, 'p', 'u'),
            (
                made.instance_uuid,
                made.cell_uuid,
                made.project_id,
                made.user_id,
            ),
        )
        self.assertGreater(made.generation, 0)
        found = self.instances.get(self.mine, instance.upper())
        self.assertEqual(made, found)
        self.assertEqual(self.one, found.cell)

    def test_project_and_user_may_be_given(self):
        made = self.instances.map(
            self.mine, new(), self.one, project_id='q', user_id='v'
        )
        self.assertEqual(('q', 'v'), (made.project_id, made.user_id))

    def test_same_cell_again_changes_nothing(self):
        instance = new()
        made = self.instances.map(self.mine, instance, 'cell1')
        for cell in (self.one, self.one.uuid, 'cell1'):
            again = self.instances.map(self.mine, instance, cell)
            self.assertEqual(made, again)

    def test_another_cell_is_refused(self):
        instance = new()
        self.instances.map(self.mine, instance, 'cell1')
        error = self.assertRaises(
            exception.InstanceAlreadyMapped,
            self.instances.map,
            self.mine,
            instance,
            'cell2',
        )
        self.assertEqual(
            (instance, self.one.uuid, self.two.uuid),
            (error.instance_uuid, error.cell_uuid, error.requested),
        )
        self.assertEqual({instance: self.one.uuid}, self._mapped())

    def test_bad_input_maps_nothing(self):
        nobody = self.context(project_id=None)
        for context, instance, cell, expected in (
            (nobody, new(), 'cell1', exception.InvalidInput),
            (self.mine, 'no-uuid', 'cell1', exception.InvalidUUID),
            (self.mine, None, 'cell1', exception.InvalidUUID),
            (self.mine, new(), 'cell9', exception.CellMappingNotFound),
            (self.mine, new(), new(), exception.CellMappingNotFound),
            (self.mine, new(), '', exception.InvalidInput),
            (self.mine, new(), None, exception.InvalidInput),
        ):
            self.assertRaises(
                expected, self.instances.map, context, instance, cell
            )
        self.assertEqual({}, self._mapped())

    def test_what_cannot_be_stored_is_refused(self):
        for bad in ('', 'x' * 256, 'a\0b', 'a\ud800b', 5, b'p'):
            for key in ('project_id', 'user_id'):
                owner = {'project_id': 'p', 'user_id': 'u', key: bad}
                for attempt in (
                    lambda o=owner: self.instances.map(
                        self.mine, new(), 'cell1', **o
                    ),
                    lambda o=owner: self.instances.map_many(
                        self.mine,
                        [{'instance_uuid': new(), 'cell': 'cell1', **o}],
                    ),
                ):
                    error = self.assertRaises(exception.InvalidInput, attempt)
                    self.assertEqual(key, error.name)
        self.assertEqual({}, self._mapped())

    def test_what_is_no_context_is_refused(self):
        one = new()
        for context in (None, {}, 'context', _With(None)):
            for attempt in (
                lambda c: self.instances.map(c, one, 'cell1'),
                lambda c: self.instances.map_many(c, {one: 'cell1'}),
                lambda c: self.instances.get(c, one),
                lambda c: self.instances.get_many(c, [one]),
                self.instances.list,
                lambda c: self.instances.unmap(c, one),
                lambda c: self.instances.move(
                    c, one, 'cell1', expected_generation=1
                ),
            ):
                error = self.assertRaises(
                    exception.InvalidInput, attempt, context
                )
                self.assertEqual('context', error.name)

    def test_generation_that_is_no_number_is_refused(self):
        made = self.instances.map(self.mine, new(), 'cell1')
        for bad in (None, str(made.generation), 1.5, True, -1, 2**63):
            error = self.assertRaises(
                exception.InvalidInput,
                self.instances.move,
                self.mine,
                made.instance_uuid,
                'cell2',
                expected_generation=bad,
            )
            self.assertEqual('expected_generation', error.name)
        self.assertEqual({made.instance_uuid: self.one.uuid}, self._mapped())

    def test_mapping_joins_the_requests_api_transaction(self):
        instance = new()

        def fail():
            with self.database.api.writer.using(self.mine):
                self.instances.map(self.mine, instance, 'cell1')
                self.assertEqual(
                    self.one.uuid,
                    self.instances.get(self.mine, instance).cell_uuid,
                )
                found = self.instances.get_many(self.mine, [instance])
                self.assertEqual([instance], list(found))
                raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, fail)
        self.assertEqual({}, self._mapped())

    # -- map_many ----------------------------------------------------------

    def test_many_are_mapped_in_every_form(self):
        a, b, c, d, e = sorted(new() for _ in range(5))
        self.instances.map_many(self.mine, {a: 'cell1', b: self.two})
        self.instances.map_many(self.mine, iter([(c, self.one.uuid)]))
        self.instances.map_many(
            self.mine,
            [
                objects.InstanceMapping(
                    instance_uuid=d, cell_uuid=self.two.uuid, project_id='q'
                ),
                {'instance_uuid': e, 'cell': 'cell1', 'user_id': 'v'},
            ],
        )
        one, two = self.one.uuid, self.two.uuid
        self.assertEqual(
            {a: one, b: two, c: one, d: two, e: one}, self._mapped()
        )
        found = self.instances.get_many(self.mine, [a, d, e])
        self.assertEqual(
            [('p', 'u'), ('q', 'u'), ('p', 'v')],
            [(found[i].project_id, found[i].user_id) for i in (a, d, e)],
        )

    def test_many_are_returned_in_the_order_given(self):
        given = [new() for _ in range(5)]
        made = self.instances.map_many(
            self.mine, [(instance, 'cell1') for instance in given]
        )
        self.assertEqual(given, [m.instance_uuid for m in made])
        self.assertEqual([], self.instances.map_many(self.mine, {}))

    def test_many_are_mapped_all_or_none(self):
        taken, free = new(), new()
        self.instances.map(self.mine, taken, 'cell1')
        for mappings, expected in (
            ([(free, 'cell2'), (taken, 'cell2')],
             exception.InstanceAlreadyMapped),
            ([(free, 'cell2'), ('no-uuid', 'cell2')], exception.InvalidUUID),
            ([(free, 'cell2'), (new(), 'cell9')],
             exception.CellMappingNotFound),
            ([(free, 'cell2'), 7], exception.InvalidInput),
            ([(free, 'cell2'), (free, 'cell1')],
             exception.InstanceAlreadyMapped),
        ):  # fmt: skip
            self.assertRaises(
                expected, self.instances.map_many, self.mine, mappings
            )
            self.assertEqual({taken: self.one.uuid}, self._mapped())

    def test_many_more_than_one_statement_names(self):
        given = {new(): ('cell1', 'cell2')[n % 2] for n in range(1203)}
        made = self.instances.map_many(self.mine, given)
        self.assertEqual(list(given), [m.instance_uuid for m in made])
        self.assertEqual(1203, len(self._mapped()))
        self.assertEqual(
            set(given), set(self.instances.get_many(self.mine, given))
        )
        self.assertEqual(1203, self.instances.unmap(self.mine, given))

    # -- list --------------------------------------------------------------

    def test_list_is_ordered_filtered_and_paged(self):
        given = sorted(new() for _ in range(6))
        for number, instance in enumerate(given):
            self.instances.map(
                self.mine,
                instance,
                ('cell1', 'cell2')[number % 2],
                project_id=('p', 'q', 'r')[number % 3],
            )

        def listed(**filters):
            found = self.instances.list(self.mine, **filters)
            return [given.index(m.instance_uuid) for m in found]

        self.assertEqual([0, 1, 2, 3, 4, 5], listed())
        self.assertEqual([0, 3], listed(project_id='p'))
        for cell in (self.two, self.two.uuid, 'cell2'):
            self.assertEqual([1, 3, 5], listed(cell=cell))
        self.assertEqual([3], listed(cell='cell2', project_id='p'))
        self.assertEqual([0, 1], listed(limit=2))
        self.assertEqual([2, 3], listed(limit=2, marker=given[1].upper()))
        self.assertEqual([], listed(limit=0))
        self.assertEqual([], listed(marker=given[5]))
        self.assertEqual([], listed(project_id='nobody'))
        self.instances.unmap(self.mine, given[2])
        self.assertEqual([3, 4, 5], listed(marker=given[2]))
        found = self.instances.list(self.mine, limit=1)
        self.assertEqual(self.one, found[0].cell)

    def test_list_refuses_what_cannot_be(self):
        for filters in (
            {'limit': -1},
            {'marker': 'no-uuid'},
            {'cell': ''},
            {'cell': 'a\0b'},
            {'limit': '1'},
            {'limit': 2**63},
            {'project_id': 'a\0b'},
            {'project_id': 5},
        ):
            self.assertRaises(
                exception.InvalidInput,
                lambda filters=filters: self.instances.list(
                    self.mine, **filters
                ),
            )
        self.assertRaises(
            exception.CellMappingNotFound,
            lambda: self.instances.list(self.mine, cell='cell9'),
        )

    # -- unmap, get, move --------------------------------------------------

    def test_unmapped_instance_is_not_found(self):
        instance = new()
        self.instances.map(self.mine, instance, 'cell1')
        self.assertEqual(1, self.instances.unmap(self.mine, instance.upper()))
        self.assertEqual(0, self.instances.unmap(self.mine, [instance]))
        for call in (self.instances.get, self.router.target_instance):
            error = self.assertRaises(
                exception.InstanceMappingNotFound, call, self.mine, instance
            )
            self.assertEqual(instance, error.instance_uuid)
        self.assertEqual({}, self.instances.get_many(self.mine, [instance]))

    def test_remapped_instance_has_a_higher_generation(self):
        instance = new()
        first = self.instances.map(self.mine, instance, 'cell1')
        self.instances.unmap(self.mine, instance)
        second = self.instances.map(self.mine, instance, 'cell2')
        self.assertGreater(second.generation, first.generation)

    def test_move_compares_and_sets(self):
        instance = new()
        first = self.instances.map(self.mine, instance, 'cell1')
        moved = self.instances.move(
            self.mine,
            instance,
            'cell2',
            expected_generation=first.generation,
        )
        self.assertEqual(self.two.uuid, moved.cell_uuid)
        self.assertEqual(self.two, moved.cell)
        self.assertGreater(moved.generation, first.generation)
        with self.router.target_instance(self.mine, instance) as cctxt:
            self.assertEqual(['cell2'], self.words(cctxt))
            self.assertEqual(moved.generation, cctxt.route.generation)
        error = self.assertRaises(
            exception.StaleRoute,
            lambda: self.instances.move(
                self.mine,
                instance,
                'cell1',
                expected_generation=first.generation,
            ),
        )
        self.assertEqual(
            (first.generation, moved.generation),
            (error.expected, error.actual),
        )
        self.assertEqual({instance: self.two.uuid}, self._mapped())

    def test_move_of_nothing_or_to_nowhere_is_refused(self):
        instance = new()
        self.assertRaises(
            exception.InstanceMappingNotFound,
            lambda: self.instances.move(
                self.mine, instance, 'cell1', expected_generation=1
            ),
        )
        made = self.instances.map(self.mine, instance, 'cell1')
        self.assertRaises(
            exception.CellMappingNotFound,
            lambda: self.instances.move(
                self.mine,
                instance,
                'cell9',
                expected_generation=made.generation,
            ),
        )
        self.assertEqual({instance: self.one.uuid}, self._mapped())


class RunTests:
    """``router.run``: once more, if nothing was done before it failed."""

    def setUp(self):
        super().setUp()
        self.deploy(2, options={'cell_database.ping_after': 3600})
        self.mine = self.context()
        self.instance = new()
        self.made = self.router.instances.map(
            self.mine, self.instance, 'cell1'
        )
        self.url = self.deployment.cells[0].database_connection
        self.calls = []

    def _run(self, function, *arguments):
        def noted(cctxt, *rest):
            self.calls.append(cctxt.route.generation)
            return function(cctxt, *rest)

        return self.router.run(self.mine, self.instance, noted, *arguments)

    def test_function_gets_its_arguments_and_returns(self):
        self.assertEqual(
            ('x', ['cell1']), self._run(lambda c, x: (x, self.words(c)), 'x')
        )
        self.assertEqual(1, len(self.calls))

    def test_stale_route_is_looked_up_again_once(self):
        def move_first(cctxt):
            if len(self.calls) == 1:
                self.router.instances.move(
                    self.mine,
                    self.instance,
                    'cell2',
                    expected_generation=self.made.generation,
                )
                raise exception.StaleRoute(
                    self.instance, cctxt.route.generation
                )
            return self.words(cctxt)

        self.assertEqual(['cell2'], self._run(move_first))
        self.assertGreater(self.calls[1], self.calls[0])

    def test_route_that_stays_stale_is_an_error(self):
        def stale(cctxt):
            raise exception.StaleRoute(self.instance, cctxt.route.generation)

        self.assertRaises(exception.StaleRoute, self._run, stale)
        self.assertEqual(2, len(self.calls))

    def test_stale_route_of_another_instance_is_not_repeated(self):
        def stale(cctxt):
            raise exception.StaleRoute(new(), 1)

        self.assertRaises(exception.StaleRoute, self._run, stale)
        self.assertEqual(1, len(self.calls))

    def test_other_errors_are_not_repeated(self):
        self.assertRaises(ZeroDivisionError, self._run, lambda _: 1 / 0)
        self.assertEqual(1, len(self.calls))


class DeadConnectionRunTests(RunTests):
    def _kill(self):
        self.words(self.targeted('cell1'))
        self.assertGreater(helpers.kill_connections(self.url), 0)

    def test_writer_is_repeated_if_nothing_was_done(self):
        self._kill()
        self._run(lambda cctxt: self.add(cctxt, 'x'))
        self.assertEqual(2, len(self.calls))
        self.assertEqual(['cell1', 'x'], helpers.stored(self.url))

    def test_nothing_is_repeated_after_something_was_done(self):
        def by_writer(cctxt):
            self.add(cctxt, 'x')

        def by_reader(cctxt):
            self.words(cctxt)

        def by_session(cctxt):
            with self.database.get_session(cctxt) as session:
                helpers.add(_With(session), 'x')
                session.commit()

        def by_engine(cctxt):
            with self.database.get_engine(cctxt).begin() as connection:
                helpers.add(_With(connection), 'x')

        def in_another_cell(cctxt):
            self.add(self.targeted('cell2', cctxt), 'x')

        def in_the_api(cctxt):
            self.add_to_api(cctxt, 'x')

        for act in (
            by_writer, by_reader, by_session, by_engine, in_another_cell,
            in_the_api,
        ):  # fmt: skip

            def fail(cctxt, act=act):
                act(cctxt)
                self.words(self.targeted('cell1'))
                helpers.kill_connections(self.url)
                self.add(cctxt, 'never')

            del self.calls[:]
            self.assertRaises(exception.CellUnavailable, self._run, fail)
            self.assertEqual(1, len(self.calls), act.__name__)
        self.assertNotIn('never', helpers.stored(self.url))

    def test_nothing_is_repeated_inside_a_transaction_that_acted(self):
        def fail(cctxt):
            with self.database.writer.using(cctxt):
                self.add(cctxt, 'x')
                helpers.kill_connections(self.url)
                self.add(cctxt, 'y')

        self.assertRaises(exception.CellUnavailable, self._run, fail)
        self.assertEqual(1, len(self.calls))
        self.assertEqual(['cell1'], helpers.stored(self.url))


class _With:
    """As much of a context as the service's function looks at."""

    def __init__(self, session):
        self.session = session


class TestInstancesOnSqlite(InstanceTests, helpers.DeploymentTestCase):
    pass


class TestInstancesOnMariaDB(InstanceTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestInstancesOnPostgreSQL(InstanceTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestRunOnSqlite(RunTests, helpers.DeploymentTestCase):
    pass


class TestRunOnMariaDB(DeadConnectionRunTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestRunOnPostgreSQL(DeadConnectionRunTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
