"""A fresh database or message queue for each test."""

from __future__ import annotations

import os
import unittest

import fixtures as third_party
import sqlalchemy as sa
import testtools

from cellplug.testing import deployment
from cellplug.testing import fixtures
from cellplug.testing import services
from tests.functional import test_services

BACKENDS: tuple[fixtures.Backend, ...] = ('sqlite', 'mariadb', 'postgresql')


class Absent(services.Memcached):
    @classmethod
    def why_unavailable(cls) -> str | None:
        return 'absent is not installed'


class TestDatabaseFixture(testtools.TestCase):
    def test_each_is_empty_and_has_a_name_of_its_own(self) -> None:
        for backend in BACKENDS:
            urls = {
                self.useFixture(fixtures.DatabaseFixture(backend)).url
                for _ in range(2)
            }
            self.assertEqual(2, len(urls))
            for url in urls:
                engine = sa.create_engine(url, poolclass=sa.NullPool)
                self.assertEqual([], sa.inspect(engine).get_table_names())
                with engine.begin() as connection:
                    connection.execute(sa.text('CREATE TABLE t (n INT)'))

    def test_it_is_dropped_while_a_connection_is_open(self) -> None:
        for backend in BACKENDS:
            fixture = fixtures.DatabaseFixture(backend)
            with fixture:
                engine = sa.create_engine(fixture.url)
                self.addCleanup(engine.dispose)
                holder = engine.connect()
                self.addCleanup(holder.invalidate)
                holder.execute(sa.text('CREATE TABLE t (n INT)'))
                holder.commit()
                holder.execute(sa.text('SELECT * FROM t'))
            if backend == 'sqlite':
                self.assertFalse(os.path.exists(engine.url.database or ''))
                continue
            fresh = sa.create_engine(fixture.url, poolclass=sa.NullPool)
            with self.assertRaises(sa.exc.OperationalError):
                fresh.connect()

    def test_an_unknown_backend_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            fixtures.DatabaseFixture('oracle')  # type: ignore[arg-type]


class TestQueueFixture(testtools.TestCase):
    def test_each_is_a_vhost_of_its_own(self) -> None:
        one = self.useFixture(fixtures.QueueFixture()).url
        two = self.useFixture(fixtures.QueueFixture()).url
        self.assertNotEqual(one, two)
        for url in (one, two):
            test_services.connect_to_queue(url).close()

    def test_it_is_deleted_in_the_end(self) -> None:
        with fixtures.QueueFixture() as fixture:
            url = fixture.url
        with self.assertRaises(test_services.amqp.exceptions.NotAllowed):
            test_services.connect_to_queue(url)


class TestMemcachedFixture(testtools.TestCase):
    def test_keys_of_two_tests_do_not_meet(self) -> None:
        one = self.useFixture(fixtures.MemcachedFixture())
        two = self.useFixture(fixtures.MemcachedFixture())
        self.assertEqual(one.address, two.address)
        self.assertNotEqual(one.prefix, two.prefix)


class TestMissingServer(testtools.TestCase):
    def test_the_test_is_skipped_with_the_reason(self) -> None:
        self._required('0')
        reason = self.assertRaises(
            unittest.SkipTest, fixtures.ServiceFixture(Absent).setUp
        )
        self.assertIn('absent is not installed', str(reason))

    def test_the_test_fails_where_servers_were_promised(self) -> None:
        self._required('1')
        self.assertRaises(
            third_party.MultipleExceptions,
            fixtures.ServiceFixture(Absent).setUp,
        )

    def test_a_shared_server_is_started_once_and_announced(self) -> None:
        class Mine(services.Memcached):
            variable = 'CELLPLUG_TEST_MINE'

        self.useFixture(third_party.EnvironmentVariable(Mine.variable))
        first = services.shared_url(Mine)
        self.assertEqual(first, os.environ[Mine.variable])
        self.assertEqual(first, services.shared_url(Mine))

    def _required(self, value: str) -> None:
        self.useFixture(
            third_party.EnvironmentVariable('CELLPLUG_REQUIRE_SERVICES', value)
        )


class TestDeployment(testtools.TestCase):
    def test_a_server_that_cannot_be_had_skips_the_test(self) -> None:
        self.useFixture(
            third_party.EnvironmentVariable('CELLPLUG_REQUIRE_SERVICES')
        )
        self.useFixture(
            third_party.MonkeyPatch(
                'cellplug.testing.services.shared_url', self._nothing
            )
        )
        for options in ({'backend': 'mariadb'}, {'queues': 'rabbitmq'}):
            fixture = deployment.DeploymentFixture(**options)
            self.assertRaises(unittest.SkipTest, fixture.setUp)

    @staticmethod
    def _nothing(kind: type[services.Service]) -> str:
        raise services.ServiceUnavailable('there is none')
