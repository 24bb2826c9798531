"""The engine on real databases: what is counted, across cells, and when."""

from __future__ import annotations

import dataclasses
import threading

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

import cellplug
from cellplug import exception
from cellplug.objects import quota
from tests.functional import databases
from tests.functional import helpers_deployment as helpers

UUID = '7a1d3c52-0e5b-4c7e-9d41-3f6b8a2c9e10'
DOWN = 'postgresql+psycopg://u:secret@127.0.0.1:1/x'


class CountingCase(helpers.DeploymentTestCase):
    """A service that counts the notes in all its cells."""

    def setUp(self):
        super().setUp()
        self.deploy(3)
        self.cells = self.deployment.cells
        self.quotas = self.router.quotas
        self.counted = []
        self.quotas.register_resource(
            cellplug.ReservableResource(
                'notes', sync=self.count_notes, default=10
            )
        )

    def count_here(self, cctxt):
        self.counted.append(cctxt.cell_uuid)
        return {'notes': len(self.words(cctxt))}

    def count_notes(self, context, project_id, user_id):
        # A service's sync, in full.
        return self.quotas.count_in_cells(context, self.count_here)

    def usage(self, **context):
        found = self.quotas.get_project_quotas(self.context(**context), 'p')
        return (
            found['notes'].limit,
            found['notes'].in_use,
            found['notes'].reserved,
        )

    def replica_of(self, cell):
        """The URL of a replica that knows nothing but whose it is."""
        url = self.deployment.fresh_database()
        cell = self.router.cells.get(cell)
        self.router.cells.update(cell, database_connection=url)
        helpers.make_notes(url, 'behind')
        self.router.cells.update(
            cell,
            database_connection=cell.database_connection,
            slave_connection=url,
        )
        return url

    def break_cell(self):
        """From now on, this process finds nothing behind cell2's URL."""
        cell = self.cells[1]
        self.router.cells.update(cell, transport_url='fake://elsewhere/')
        newest = self.router.cells.get(cell)
        down = dataclasses.replace(
            newest,
            generation=newest.generation + 1,
            database_connection=DOWN,
        )
        with self.router.target_cell(self.context(), down):
            pass


class CountInCellsTests:
    def test_what_all_cells_hold_is_added_up(self):
        context = self.context()
        self.add(self.targeted(self.cells[0]), 'one more')
        self.assertEqual(
            quota.Counts({'notes': 4}),
            self.quotas.count_in_cells(context, self.count_here),
        )

    def test_a_cell_that_does_not_answer_is_named_and_not_counted(self):
        self.break_cell()
        found = self.quotas.count_in_cells(self.context(), self.count_here)
        self.assertEqual({'notes': 2}, found.values)
        self.assertEqual(['cell2'], list(found.missing))
        self.assertIn('unavailable', found.missing['cell2'])
        self.assertNotIn('secret', found.missing['cell2'])

    def test_where_no_cell_answers_all_are_named(self):
        for error in (
            exception.CellUnavailable(UUID, 'x', 'down'),
            exception.CellUnavailable(UUID, 'x', 'down', part='message queue'),
            exception.CellIdentityMismatch(UUID, cellplug.CELL0_UUID),
            exception.CellIdentityMissing(UUID),
            exception.DatabaseUnavailable('a database', 'down'),
            exception.QueueUnavailable('down'),
            exception.RPCTimeout('x', 'count', 3),
        ):

            def fail(cctxt, error=error):
                raise error

            found = self.quotas.count_in_cells(self.context(), fail)
            self.assertEqual({}, found.values)
            self.assertEqual(
                ['cell1', 'cell2', 'cell3'], sorted(found.missing)
            )

    def test_a_cell_that_is_late_has_not_answered(self):
        gone = threading.Event()
        self.addCleanup(gone.set)

        def late(cctxt):
            if cctxt.cell_uuid == self.cells[1].uuid:
                gone.wait(databases.PATIENCE)
            return {'notes': 1}

        found = self.quotas.count_in_cells(self.context(), late, timeout=5)
        self.assertEqual({'notes': 2}, found.values)
        self.assertIn('no answer within', found.missing['cell2'])

    def test_a_cell_that_cannot_be_targeted_has_not_answered(self):
        context = self.context()
        with self.database.api.writer.using(context) as session:
            session.execute(
                sa.text(
                    'UPDATE cell_mapping SET generation = generation + 1, '
                    "database_connection = 'no-such-thing://u:secret@x/y' "
                    "WHERE name = 'cell2'"
                )
            )
        found = self.quotas.count_in_cells(context, self.count_here)
        self.assertEqual({'notes': 2}, found.values)
        self.assertIn('database_connection', found.missing['cell2'])
        self.assertNotIn('secret', found.missing['cell2'])

    def test_a_bug_of_the_function_is_no_silence_of_a_cell(self):
        for error in (
            NameError('contxt'),
            KeyError('notes'),
            exception.NotSupported('not here'),
            exception.SchemaMissing('the API database'),
            exception.TransactionConflict('count', 9, 30),
        ):

            def fail(cctxt, error=error):
                if cctxt.cell_uuid == self.cells[1].uuid:
                    raise error
                return {'notes': 1}

            raised = self.assertRaises(
                type(error), self.quotas.count_in_cells, self.context(), fail
            )
            self.assertIs(error, raised)
            self.assertIn('cell2', raised.__notes__[0])

    def test_arguments_and_time_are_handed_on(self):
        found = self.quotas.count_in_cells(
            self.context(), lambda cctxt, n: {'notes': n}, 5, timeout=30
        )
        self.assertEqual({'notes': 15}, found.values)
        self.assertRaises(
            exception.InvalidInput,
            self.quotas.count_in_cells,
            self.context(),
            self.count_here,
            timeout=0,
        )

    def test_cell0_counts_unless_it_is_left_out(self):
        cell0 = self.deployment.add_cell(
            'cell0', uuid=cellplug.CELL0_UUID, transport_url='none:///'
        )
        helpers.make_notes(cell0.database_connection, 'a', 'b')
        count = self.quotas.count_in_cells
        self.assertEqual(
            {'notes': 5}, count(self.context(), self.count_here).values
        )
        self.assertEqual(
            {'notes': 3},
            count(self.context(), self.count_here, skip_cell0=True).values,
        )

    def test_what_is_no_count_names_its_cell(self):
        for wrong in (None, 5, {'notes': -1}, {'notes': None}):

            def count(cctxt, wrong=wrong):
                if cctxt.cell_uuid == self.cells[1].uuid:
                    return wrong
                return {'notes': 1}

            error = self.assertRaises(
                exception.InvalidInput,
                self.quotas.count_in_cells,
                self.context(),
                count,
            )
            self.assertIn('cell2', str(error))

    def test_primaries_are_counted_however_the_function_reads(self):
        behind = self.replica_of(self.cells[0])
        self.add(self.targeted(self.cells[0]), 'new')
        context = self.context()
        found = self.quotas.count_in_cells(context, self.count_here)
        self.assertEqual({'notes': 4}, found.values)
        # Nobody else's reads are moved by that, the request's own neither.
        self.assertEqual(
            helpers.stored(behind),
            self.words(self.targeted(self.cells[0], context)),
        )

    def test_a_request_that_counted_has_done_something(self):
        context = self.context()
        before = context._request_state.acted
        self.quotas.count_in_cells(context, self.count_here)
        self.assertIsNot(before, context._request_state.acted)

    def test_what_is_no_context_is_refused(self):
        for wrong in (None, 'context'):
            self.assertRaises(
                exception.InvalidInput,
                self.quotas.count_in_cells,
                wrong,
                self.count_here,
            )


class EngineTests:
    def test_a_broken_count_is_never_accepted(self):
        """Whatever is configured for cells that do not answer."""

        def misspelt(cctxt):
            return {'notes': len(wrods(cctxt))}  # noqa: F821

        def unmigrated(cctxt):
            with self.database.reader.using(cctxt) as session:
                session.execute(sa.text('SELECT * FROM no_table_of_mine'))

        for broken, kinds in (
            (misspelt, NameError),
            (unmigrated, (sa.exc.DBAPIError, oslo_exception.DBError)),
        ):
            self.quotas.register_resource(
                cellplug.ReservableResource(
                    broken.__name__,
                    sync=lambda context, *_, broken=broken: (
                        self.quotas.count_in_cells(context, broken)
                    ),
                )
            )
            for choice in ('refuse', 'keep', 'accept'):
                self.deployment.conf.set_override(
                    'unanswered_cells', choice, 'quota_database'
                )
                error = self.assertRaises(
                    kinds,
                    self.quotas.reserve,
                    self.context(),
                    {broken.__name__: 1},
                )
                self.assertIn('while cell', error.__notes__[0])
        found = self.quotas.get_project_quotas(self.context(), 'p')
        self.assertEqual(
            {0}, {one.in_use + one.reserved for one in found.values()}
        )

    def test_the_first_reservation_counts_all_cells(self):
        context = self.context()
        handle = self.quotas.reserve(context, notes=2)
        self.assertEqual((10, 3, 2), self.usage())
        # For the project and for the user; later ones count nothing.
        self.assertEqual(6, len(self.counted))
        self.quotas.commit(context, handle)
        with self.quotas.reserving(context, notes=1):
            self.assertEqual((10, 5, 1), self.usage())
        self.assertEqual((10, 6, 0), self.usage())
        self.assertEqual(6, len(self.counted))

    def test_it_does_not_matter_where_the_caller_is_aimed(self):
        cctxt = self.targeted(self.cells[0])
        self.quotas.rollback(cctxt, self.quotas.reserve(cctxt, notes=2))
        self.assertEqual((10, 3, 0), self.usage())
        self.quotas.set_limits(cctxt, project_id='p', notes=4)
        self.assertEqual((4, 3, 0), self.usage())

    def test_while_a_cell_is_down_nothing_uncounted_is_admitted(self):
        self.break_cell()
        error = self.assertRaises(
            exception.CountIncomplete,
            self.quotas.reserve,
            self.context(),
            notes=1,
        )
        self.assertEqual(['cell2'], list(error.missing))
        self.assertNotIn('secret', str(error))
        self.assertEqual((10, 0, 0), self.usage())

    def test_in_an_open_api_transaction_it_reads_and_does_not_write(self):
        context = self.context()
        handle = self.quotas.reserve(context, notes=1)
        with self.database.api.reader.using(context):
            self.assertEqual((10, 3, 1), self.usage())
            for call in (
                lambda: self.quotas.reserve(context, notes=1),
                lambda: self.quotas.commit(context, handle),
                lambda: self.quotas.rollback(context, handle),
                lambda: self.quotas.expire(context),
                lambda: self.quotas.set_limits(
                    context, project_id='p', notes=50
                ),
            ):
                self.assertRaises(exception.TransactionInProgress, call)
            self.quotas.limit_check(context, notes=10)
        self.quotas.commit(context, handle)
        self.assertEqual((10, 4, 0), self.usage())

    def test_in_an_open_cell_transaction_it_writes_as_ever(self):
        """The row is made, then the quota is committed: in one block."""
        with self.router.target_cell(self.context(), self.cells[0]) as cctxt:
            with self.quotas.reserving(cctxt, notes=1):
                with self.database.writer.using(cctxt):
                    self.add(cctxt, 'made')
        self.assertEqual((10, 4, 0), self.usage())
        self.assertEqual(
            {'notes': 4},
            self.quotas.count_in_cells(self.context(), self.count_here).values,
        )

    def test_nothing_uncommitted_of_the_callers_is_counted(self):
        """Where sync looks into the cells itself, in the caller's thread."""
        seen = []

        def sync(context, project_id, user_id):
            with self.router.target_cell(context, self.cells[0]) as cctxt:
                seen.append(tuple(self.words(cctxt)))
            return {'words': len(seen[-1])}

        self.quotas.register_resource(
            cellplug.ReservableResource('words', sync=sync, default=9)
        )
        context = self.context()
        with self.router.target_cell(context, self.cells[0]) as cctxt:
            with self.database.writer.using(cctxt):
                self.add(cctxt, 'uncommitted')
                handle = self.quotas.reserve(context, words=1)
                self.quotas.usage_refresh(context, project_id='p')
                self.assertEqual(1, self.quotas.count(cctxt, 'words'))
                self.assertEqual(2, len(self.words(cctxt)))
        self.assertEqual(
            [['cell1']], list(map(list, {tuple(s) for s in seen}))
        )
        self.quotas.rollback(context, handle)

    def test_what_outlived_its_reservation_is_counted(self):
        """Also where somebody has counted since the reservation expired."""
        context = self.context()

        def outlive():
            with self.quotas.reserving(context, notes=1, expire=0.001):
                databases.poll_until(
                    lambda: self.quotas.expire(context), 'nothing expires'
                )
                with self.quotas.reserving(context, notes=1):
                    self.add(self.targeted(self.cells[0]), 'quick')
                self.add(self.targeted(self.cells[0]), 'slow')

        self.assertRaises(exception.ReservationNotFound, outlive)
        self.quotas.rollback(context, self.quotas.reserve(context, notes=1))
        self.assertEqual((10, 5, 0), self.usage())

    def test_limits_resolve_and_are_settable_as_in_the_specification(self):
        context = self.context(quota_class='gold')
        quotas = self.quotas
        quotas.set_class_limits(context, 'default', notes=11)
        quotas.set_class_limits(context, 'gold', notes=12)
        self.assertEqual((12, 0, 0), self.usage(quota_class='gold'))
        self.assertEqual((11, 0, 0), self.usage())
        with quotas.reserving(context, notes=2):
            pass
        quotas.set_limits(context, project_id='p', user_id='w', notes=4)
        user = quotas.get_settable_quotas(context, 'p', 'u')['notes']
        self.assertEqual(quota.SettableRange(5, 8), user)
        project = quotas.get_settable_quotas(context, 'p')['notes']
        self.assertEqual(quota.SettableRange(5, -1), project)
        error = self.assertRaises(
            exception.LimitNotSettable,
            quotas.set_limits,
            context,
            project_id='p',
            notes=4,
        )
        self.assertEqual(5, error.minimum)
        self.assertEqual((11, 5, 0), self.usage())

    def test_a_refresh_and_a_reset_count_the_truth(self):
        context = self.context()
        self.quotas.commit(context, self.quotas.reserve(context, notes=4))
        self.assertEqual((10, 7, 0), self.usage())
        kept = self.quotas.usage_refresh(context, project_id='p')
        self.assertEqual((frozenset(), (10, 3, 0)), (kept, self.usage()))
        self.add(self.targeted(self.cells[2]), 'unseen')
        self.quotas.usage_reset(context, project_id='p')
        self.quotas.rollback(context, self.quotas.reserve(context, notes=1))
        self.assertEqual((10, 4, 0), self.usage())


class TestCountInCells(CountInCellsTests, CountingCase):
    pass


class TestEngineOnSqlite(EngineTests, CountingCase):
    backend = 'sqlite'


class TestEngineOnMariaDB(EngineTests, CountingCase):
    backend = 'mariadb'


class TestEngineOnPostgreSQL(EngineTests, CountingCase):
    backend = 'postgresql'
