"""What databases are told, and what their errors mean."""

from __future__ import annotations

import types
import unittest

import sqlalchemy as sa
from oslo_db import exception as oslo_exception
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite

from cellplug.db import tables


def _mysql(*, is_mariadb):
    dialect = mysql.dialect()
    dialect.is_mariadb = is_mariadb
    return dialect


def _ddl(type_, dialect):
    return type_.compile(dialect=dialect)


class TestExactString(unittest.TestCase):
    def test_each_server_has_a_collation_of_its_own(self):
        for dialect, collation in (
            (_mysql(is_mariadb=True), 'COLLATE utf8mb4_nopad_bin'),
            (_mysql(is_mariadb=False), 'COLLATE utf8mb4_0900_bin'),
            (postgresql.dialect(), 'COLLATE "C"'),
        ):
            text = _ddl(tables.ExactString(36), dialect)

            self.assertIn('VARCHAR(36)', text)
            self.assertIn(collation, text)

    def test_sqlite_compares_bytes_by_itself(self):
        self.assertEqual(
            'VARCHAR(36)', _ddl(tables.ExactString(36), sqlite.dialect())
        )

    def test_what_has_one_length_says_so(self):
        for dialect in (_mysql(is_mariadb=True), sqlite.dialect()):
            text = _ddl(tables.ExactString(64, fixed=True), dialect)

            self.assertTrue(text.startswith('CHAR(64)'), text)


class TestTimes(unittest.TestCase):
    def test_mysql_keeps_microseconds(self):
        for dialect in (_mysql(is_mariadb=True), _mysql(is_mariadb=False)):
            self.assertEqual('DATETIME(6)', _ddl(tables.utc_type(), dialect))

    def test_now_has_no_zone(self):
        self.assertIsNone(tables.utcnow().tzinfo)


class TestClock(unittest.TestCase):
    def test_servers_read_their_own(self):
        for dialect, name in (
            (_mysql(is_mariadb=True), 'UTC_TIMESTAMP(6)'),
            (_mysql(is_mariadb=False), 'UTC_TIMESTAMP(6)'),
            (postgresql.dialect(), 'clock_timestamp()'),
        ):
            compiled = sa.select(tables.clock()).compile(dialect=dialect)

            self.assertIn(name, str(compiled))
            self.assertEqual({}, compiled.params)

    def test_sqlite_is_told_the_time_at_each_execution(self):
        engine = sa.create_engine('sqlite://')
        statement = sa.select(tables.clock())
        with engine.connect() as connection:
            times = [connection.scalar(statement) for _ in range(3)]
        engine.dispose()

        self.assertEqual(sorted(set(times)), times)


class TestMissingTable(unittest.TestCase):
    def test_each_databases_way_to_say_it(self):
        for original in (
            types.SimpleNamespace(sqlstate='42P01', args=('no relation',)),
            types.SimpleNamespace(pgcode='42P01', args=('no relation',)),
            types.SimpleNamespace(args=(1146, "Table 'x' doesn't exist")),
            types.SimpleNamespace(args=('no such table: x',)),
        ):
            error = sa.exc.DBAPIError('SELECT', {}, original)

            self.assertTrue(tables.is_missing_table(error), original)
            wrapped = oslo_exception.DBError(error)
            self.assertTrue(tables.is_missing_table(wrapped), original)

    def test_oslo_db_says_it_by_a_class(self):
        self.assertTrue(
            tables.is_missing_table(oslo_exception.DBNonExistentTable('x'))
        )

    def test_other_errors_are_others(self):
        for error in (
            ValueError(),
            oslo_exception.DBError(),
            sa.exc.DBAPIError(
                'SELECT', {}, types.SimpleNamespace(args=(1205, 'wait'))
            ),
            sa.exc.DBAPIError('SELECT', {}, types.SimpleNamespace(args=())),
        ):
            self.assertFalse(tables.is_missing_table(error), error)


class TestSavepoint(unittest.TestCase):
    """Its life in a deadlock is told in the functional tests."""

    def setUp(self):
        self.engine = sa.create_engine('sqlite://')
        self.addCleanup(self.engine.dispose)
        self.connection = self.engine.connect()
        self.addCleanup(self.connection.close)
        self.connection.exec_driver_sql('CREATE TABLE t (n INTEGER)')

    def _insert(self, number):
        self.connection.exec_driver_sql(f'INSERT INTO t VALUES ({number})')

    def _numbers(self):
        return self.connection.exec_driver_sql('SELECT n FROM t').scalars()

    def test_only_the_block_is_undone(self):
        self._insert(1)
        with (
            self.assertRaises(ZeroDivisionError),
            tables.savepoint(self.connection),
        ):
            self._insert(2)
            raise ZeroDivisionError
        with tables.savepoint(self.connection):
            self._insert(3)

        self.assertEqual([1, 3], list(self._numbers()))

    def test_the_blocks_own_error_leaves(self):
        with (
            self.assertRaises(ZeroDivisionError),
            tables.savepoint(self.connection),
        ):
            self.connection.exec_driver_sql('ROLLBACK')
            raise ZeroDivisionError
