"""The ``database`` resolver, beside what targeting says of it."""

import uuid

from tests.functional import helpers_deployment as helpers


class ResolverTests:
    def test_a_look_up_outlives_the_death_of_pooled_connections(self):
        # Else a ping would find them dead before anything else does.
        self.deploy(1, options={'api_database.ping_after': 3600})
        instance = str(uuid.uuid4())
        self.router.instances.map(self.context(), instance, 'cell1')
        self.router.instances.get(self.context(), instance)
        for look_up in (
            lambda: self.router.target_instance(self.context(), instance),
            lambda: self.router.target_cell(self.context(), 'cell1'),
            self.router.cells.list,
            lambda: self.router.instances.get_many(self.context(), [instance]),
        ):
            helpers.kill_connections(self.deployment.api_url)
            self.assertTrue(look_up())

    def test_a_cell_that_was_edited_elsewhere_is_read_again(self):
        self.deploy(2)
        instance = str(uuid.uuid4())
        self.router.instances.map(self.context(), instance, 'cell1')
        self.router.instances.get(self.context(), instance)
        elsewhere = self.deployment.open_router(type(self.database)())
        elsewhere.cells.update('cell1', name='renamed')
        found = self.router.instances.get(self.context(), instance)
        self.assertEqual('renamed', found.cell.name)
        elsewhere.instances.move(
            self.context(),
            instance,
            'cell2',
            expected_generation=found.generation,
        )
        found = self.router.instances.get(self.context(), instance)
        self.assertEqual('cell2', found.cell.name)


class TestResolverOnMariaDB(ResolverTests, helpers.DeploymentTestCase):
    backend = 'mariadb'


class TestResolverOnPostgreSQL(ResolverTests, helpers.DeploymentTestCase):
    backend = 'postgresql'
