"""Aiming requests at cells: what a target is, and what it leads to."""

from __future__ import annotations

import dataclasses
import threading
import uuid

from oslo_context import context as oslo_context

import cellplug
from cellplug import exception
from tests.functional import helpers_deployment as helpers


class TargetTests:
    """A target: three attributes, set together, on a copy."""

    def test_target_leads_to_the_cells_own_database(self):
        self.deploy()
        for cell in self.deployment.cells:
            with self.router.target_cell(self.context(), cell) as cctxt:
                self.assertEqual([cell.name], self.words(cctxt))
                self.assertEqual([cell.name], self.words_alone(cctxt))

    def test_cell_is_named_by_mapping_uuid_in_any_case_or_name(self):
        self.deploy()
        cell = self.deployment.cells[1]
        for named in (cell, cell.uuid, cell.uuid.upper(), cell.name):
            with self.router.target_cell(self.context(), named) as cctxt:
                self.assertEqual(cell.uuid, cctxt.cell_uuid)
                self.assertEqual(['cell2'], self.words(cctxt))

    def test_cell_names_are_matched_exactly(self):
        self.deploy(1)
        for wrong in ('cell', 'cell10', 'CELL1', 'cell1 '):
            self.assertRaises(
                exception.CellMappingNotFound,
                self.router.target_cell,
                self.context(),
                wrong,
            )

    def test_instance_leads_to_its_cell(self):
        self.deploy()
        context, instance = self.context(), str(uuid.uuid4())
        mapping = self.router.instances.map(context, instance, 'cell2')
        for given in (instance, instance.upper()):
            with self.router.target_instance(context, given) as cctxt:
                self.assertEqual(['cell2'], self.words(cctxt))
                self.assertEqual(
                    cellplug.Route(instance, mapping.generation), cctxt.route
                )

    def test_caller_and_current_context_stay_as_they_were(self):
        self.deploy()
        context = self.context(overwrite=True)
        before = dict(context.__dict__)
        with self.router.target_cell(context, 'cell1') as cctxt:
            self.add(cctxt, 'x')
            self.assertIsNot(context, cctxt)
            self.assertIs(context, oslo_context.get_current())
            self.assertEqual(before, context.__dict__)
        self.router.instances.map(context, str(uuid.uuid4()), 'cell2')
        self.assertEqual(before, context.__dict__)
        self.assertIs(context, oslo_context.get_current())

    def test_no_context_becomes_the_threads_current_one(self):
        self.deploy()

        def work():
            context = self.targeted('cell1', self.context(overwrite=False))
            made = oslo_context.get_current()
            self.add(context, 'x')
            self.router.cells.list()
            return made is oslo_context.get_current()

        self.assertTrue(helpers.in_thread(work))

    def test_none_aims_at_no_cell(self):
        self.deploy(1)
        cctxt = self.targeted('cell1')
        with self.router.target_cell(cctxt, None) as back:
            self.assertEqual(
                (None, None, None, None),
                (
                    back.db_connection,
                    back.mq_connection,
                    back.cell_uuid,
                    back.route,
                ),
            )
            self.assertRaises(exception.NotTargeted, self.words, back)
        self.assertIsNotNone(cctxt.cell_uuid)

    def test_set_target_cell_changes_the_context_itself(self):
        self.deploy()
        context = self.context()
        self.router.set_target_cell(context, 'cell1')
        self.assertEqual(['cell1'], self.words(context))
        self.router.set_target_cell(context, self.deployment.cells[1])
        self.assertEqual(['cell2'], self.words(context))
        self.router.set_target_cell(context, None)
        self.assertIsNone(context.db_connection)
        self.assertIsNone(context.mq_connection)
        self.assertIsNone(context.cell_uuid)

    def test_untargeted_context_uses_the_processs_own_database(self):
        self.deploy(1)
        own = self.deployment.fresh_database()
        helpers.make_notes(own, 'own')
        self.deployment.conf.set_override('connection', own, 'database')
        database = cellplug.Database()
        with self.deployment.open_router(database) as router:
            self.serve(database)
            self.assertEqual(['own'], self.words(self.context()))
            with router.target_cell(self.context(), 'cell1') as cctxt:
                self.assertEqual(['cell1'], self.words(cctxt))
            self.assertEqual(['own'], self.words(self.context()))


class AllOrNothingTests:
    """What cannot be targeted leaves nothing half done."""

    def test_bad_transport_url_leaves_the_database_usable(self):
        self.deploy(1)
        bad = dataclasses.replace(
            self.deployment.cells[0],
            transport_url='nonsense://u:secret@host/',
            generation=self.deployment.cells[0].generation + 1,
        )
        with self.router.target_cell(self.context(), bad) as cctxt:
            self.assertEqual(['cell1'], self.words(cctxt))
            error = self.assertRaises(
                exception.InvalidURL, cctxt.mq_connection.url
            )
        self.assertNotIn('secret', str(error))

    def test_bad_database_url_changes_nothing(self):
        self.deploy()
        context = self.targeted('cell1')
        before = dict(context.__dict__)
        for url in ('nonsense://u:secret@host/x', 'mysql://u:secret@host/x'):
            bad = dataclasses.replace(
                self.deployment.cells[1],
                database_connection=url,
                generation=self.deployment.cells[1].generation + 1,
            )
            error = self.assertRaises(
                exception.InvalidURL,
                self.router.set_target_cell,
                context,
                bad,
            )
            self.assertNotIn('secret', str(error))
            self.assertEqual(before, context.__dict__)
        self.assertEqual(['cell2'], self.words(self.targeted('cell2')))

    def test_unknown_cell_changes_nothing(self):
        self.deploy(1)
        context = self.targeted('cell1')
        before = dict(context.__dict__)
        self.assertRaises(
            exception.CellMappingNotFound,
            self.router.set_target_cell,
            context,
            str(uuid.uuid4()),
        )
        self.assertEqual(before, context.__dict__)

    def test_cell0_keeps_no_transport_of_the_cell_before(self):
        self.deploy(1)
        cell0 = self.deployment.add_cell(
            'cell0', uuid=cellplug.CELL0_UUID, transport_url='none:///'
        )
        cctxt = self.targeted('cell1')
        with self.router.target_cell(cctxt, cell0) as inside:
            self.assertRaises(
                exception.CellHasNoQueue, inside.mq_connection.url
            )
        self.router.set_target_cell(cctxt, 'cell0')
        self.assertRaises(exception.CellHasNoQueue, cctxt.mq_connection.url)
        again = self.targeted('cell1')
        self.assertEqual('fake://cell1/', again.mq_connection.url())

    def test_what_is_no_context_is_refused(self):
        self.deploy(1)
        for wrong in (None, {}, object()):
            self.assertRaises(
                exception.InvalidInput, self.router.target_cell, wrong, 'cell1'
            )
            self.assertRaises(exception.InvalidInput, self.words, wrong)


class NewestMappingTests:
    """Edited, deleted and re-created cells."""

    def _moved(self, cell):
        """A new database of the cell's, with the word ``moved``."""
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'moved')
        return self.router.cells.update(cell, database_connection=url)

    def test_edited_url_takes_effect_without_a_restart(self):
        self.deploy()
        instance = str(uuid.uuid4())
        self.router.instances.map(self.context(), instance, 'cell1')
        self.assertEqual(['cell1'], self.words(self.targeted('cell1')))
        self._moved('cell1')
        self.assertEqual(['moved'], self.words(self.targeted('cell1')))
        with self.router.target_instance(self.context(), instance) as cctxt:
            self.assertEqual(['moved'], self.words(cctxt))

    def test_edited_url_reaches_other_processes_when_they_look_it_up(self):
        self.deploy()
        other = cellplug.Database()
        words = other.reader(helpers.words)
        with self.deployment.open_router(other) as router:
            with router.target_cell(self.context(), 'cell1') as cctxt:
                self.assertEqual(['cell1'], words(cctxt))
            self._moved('cell1')
            with router.target_cell(self.context(), 'cell1') as again:
                self.assertEqual(['moved'], words(again))
            # The look-up was the process's news: kept contexts follow.
            self.assertEqual(['moved'], words(cctxt))

    def test_older_mapping_reaches_the_newest_database(self):
        self.deploy()
        old = self.deployment.cells[0]
        self._moved(old)
        self.assertEqual(['moved'], self.words(self.targeted(old)))

    def test_targeted_copy_stays_valid_when_the_url_is_edited(self):
        self.deploy()
        cctxt = self.targeted('cell1')
        self.assertEqual(['cell1'], self.words(cctxt))
        self._moved('cell1')
        self.assertEqual(['moved'], self.words(cctxt))

    def test_open_transaction_ends_where_it_began(self):
        self.deploy()
        cctxt, old = self.targeted('cell1'), self.deployment.cells[0]
        with self.database.writer.using(cctxt):
            self.add(cctxt, 'before')
            moved = self._moved('cell1')
            self.add(cctxt, 'after')
            self.assertEqual(['cell1', 'before', 'after'], self.words(cctxt))
        self.assertEqual(
            ['cell1', 'before', 'after'],
            helpers.stored(old.database_connection),
        )
        self.assertEqual(['moved'], helpers.stored(moved.database_connection))

    def test_deleted_cell_is_gone_for_old_mappings_and_contexts_too(self):
        self.deploy()
        old, cctxt = self.deployment.cells[0], self.targeted('cell1')
        self.words(cctxt)
        self.router.cells.delete(old)
        for named in (old, old.uuid, old.name):
            self.assertRaises(
                exception.CellMappingNotFound,
                self.router.target_cell,
                self.context(),
                named,
            )
        self.assertRaises(exception.CellMappingNotFound, self.words, cctxt)
        self.assertRaises(
            exception.CellMappingNotFound, self.words_alone, cctxt
        )
        self.assertEqual(['cell2'], self.words(self.targeted('cell2')))

    def test_recreated_cell_works_for_old_mappings_and_contexts_too(self):
        self.deploy()
        old, cctxt = self.deployment.cells[0], self.targeted('cell1')
        self.words(cctxt)
        self.router.cells.delete(old)
        url = self.deployment.fresh_database()
        helpers.make_notes(url, 'anew')
        new = self.deployment.add_cell(
            'cell1', uuid=old.uuid, database_connection=url
        )
        self.assertGreater(new.generation, old.generation)
        for named in (new, old, old.uuid):
            self.assertEqual(['anew'], self.words(self.targeted(named)))
        self.assertEqual(['anew'], self.words(cctxt))

    def test_recreated_cell_works_where_the_local_clock_is_ahead(self):
        self.deploy(1, router={'clock': lambda: 4e9})
        old = self.deployment.cells[0]
        self.router.cells.delete(old)
        new = self.router.cells.create(
            name='cell1',
            uuid=old.uuid,
            database_connection=old.database_connection,
            transport_url=old.transport_url,
        )
        self.assertEqual(['cell1'], self.words(self.targeted(new)))


class LockTests:
    """Targeting takes no lock on a hit (given: any backend)."""

    def test_known_cell_is_targeted_while_the_registry_is_locked(self):
        self.deploy()
        cell = self.deployment.cells[0]
        self.targeted(cell)
        registry = self.router._registry
        locked, done = threading.Event(), threading.Event()

        def hold():
            with registry._state().lock:
                locked.set()
                done.wait(helpers.PATIENCE)

        with helpers.Background(hold):
            try:
                self.assertTrue(locked.wait(helpers.PATIENCE))
                found = helpers.in_thread(
                    lambda: self.words(self.targeted(cell))
                )
            finally:
                done.set()
        self.assertEqual(['cell1'], found)


class TestTargetOnSqlite(TargetTests, helpers.DeploymentTestCase):
    pass


class TestTargetOnMariaDB(TargetTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestTargetOnPostgreSQL(TargetTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class TestAllOrNothing(AllOrNothingTests, helpers.DeploymentTestCase):
    pass


class TestLock(LockTests, helpers.DeploymentTestCase):
    pass


class TestNewestMappingOnSqlite(
    NewestMappingTests, helpers.DeploymentTestCase
):
    pass


class TestNewestMappingOnMariaDB(
    NewestMappingTests, helpers.DeploymentTestCase
):
    backend = 'mariadb'


class TestNewestMappingOnPostgreSQL(
    NewestMappingTests, helpers.DeploymentTestCase
):
    backend = 'postgresql'
