"""Asking only the cells in which a project has instances."""

from __future__ import annotations

import dataclasses

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug.objects import identifiers
from tests.functional import helpers_deployment as helpers


class ProjectTests:
    def setUp(self):
        super().setUp()
        self.deploy(3)
        self.cell1, self.cell2, self.cell3 = self.deployment.cells
        self.map('p', self.cell1, self.cell1, self.cell3)
        self.map('q', self.cell2)

    def map(self, project, *cells):
        for cell in cells:
            self.router.instances.map(
                self.context(),
                identifiers.new_uuid(),
                cell,
                project_id=project,
            )

    def asked(self, context=None, **options):
        found = self.router.scatter_gather(
            context or self.context(), lambda cctxt: None, **options
        )
        names = {c.uuid: c.name for c in self.router.cells.list()}
        return [names[uuid] for uuid in found.complete()]

    def test_only_its_cells_each_once_in_their_order(self):
        self.assertEqual(['cell1', 'cell3'], self.asked(project_id='p'))
        self.assertEqual(['cell2'], self.asked(project_id='q'))
        self.assertEqual([], self.asked(project_id='P'))

    def test_the_contexts_project_does_not_matter(self):
        self.assertEqual(['cell1', 'cell2', 'cell3'], self.asked())

    def test_of_some_cells_those_in_which_it_has_instances(self):
        some = [self.cell3, 'cell2']
        self.assertEqual(['cell3'], self.asked(project_id='p', cells=some))

    def test_cell0_is_asked_if_it_has_some(self):
        cell0 = self.deployment.add_cell(
            'cell0', uuid=cellplug.CELL0_UUID, transport_url='none:///'
        )
        self.assertNotIn('cell0', self.asked(project_id='p'))
        self.map('p', cell0)
        self.assertIn('cell0', self.asked(project_id='p'))
        self.assertNotIn('cell0', self.asked(project_id='p', skip_cell0=True))

    def test_what_the_request_has_mapped_and_not_committed_counts(self):
        context = self.context()
        with self.database.api.writer.using(context):
            self.router.instances.map(
                context,
                identifiers.new_uuid(),
                self.cell2,
                project_id='p',
            )
            self.assertEqual(
                ['cell1', 'cell2', 'cell3'],
                self.asked(context, project_id='p'),
            )

    def test_streams_take_it_as_well(self):
        stream = self.router.scatter_stream(
            self.context(), self.words, project_id='q'
        )
        self.assertEqual([['cell2']], [one.value for one in stream])

    def test_asking_which_is_nothing_that_the_request_has_done(self):
        """So router.run may still repeat it."""
        context = self.context()
        before = context._request_state.acted
        self.asked(context, project_id='nobody')
        self.assertIs(before, context._request_state.acted)

    def test_what_is_no_project_is_refused(self):
        for bad in ('', 5, 'x' * 300):
            self.assertRaises(
                exception.InvalidInput, self.asked, project_id=bad
            )

    def test_a_cell_that_the_list_does_not_have_yet_is_not_missed(self):
        """A resolver may list the cells as they were a while ago."""
        listed = self.router.cells.list()[:2]
        self.router.cells.list = lambda: listed
        found = self.router.scatter_gather(
            self.context(), lambda cctxt: None, project_id='p'
        )
        self.assertEqual(
            {self.cell1.uuid, self.cell3.uuid}, set(found.complete())
        )


class TestOnSqlite(ProjectTests, helpers.DeploymentTestCase):
    backend = 'sqlite'


class TestOnMariaDB(ProjectTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestOnPostgreSQL(ProjectTests, helpers.DeploymentTestCase):
    backend = 'postgresql'


class OwnInstances:
    """A resolver that decides by itself where instances live."""

    capabilities = frozenset({interfaces.ResolverCapability.OWN_INSTANCES})

    def __init__(self, cells):
        self._cells = cells

    def list_cells(self):
        return list(self._cells)

    def get_cell(self, cell):
        return next(c for c in self._cells if cell in (c.uuid, c.name))

    def close(self):
        pass


class TestWithoutMappings(helpers.DeploymentTestCase):
    def test_a_resolver_that_keeps_none_cannot_tell(self):
        self.deploy(1)
        cells = [dataclasses.replace(c) for c in self.deployment.cells]
        router = self.deployment.open_router(
            cellplug.Database(), resolver=OwnInstances(cells)
        )
        error = self.assertRaises(
            exception.NotSupported,
            router.scatter_gather,
            self.context(),
            self.words,
            project_id='p',
        )
        self.assertIn('keeps no mappings', str(error))
