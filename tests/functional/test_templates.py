"""Databases that begin with cellplug's tables."""

from __future__ import annotations

import os
import pathlib

import sqlalchemy as sa

from cellplug.db import schema
from cellplug.testing import fixtures
from tests.functional import databases

SCHEMAS = {'api': schema.API, 'cell': schema.CELL}


_POSTGRESQL = (
    """
    SELECT table_name, column_name, data_type, is_nullable, column_default,
        collation_name, character_maximum_length
    FROM information_schema.columns WHERE table_schema = 'public'
    ORDER BY 1, 2
    """,
    """
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1
    """,
    """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
    """,
)


def rows(engine):
    """What a database holds, by table."""
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(sa.select(table))]
            for name, table in tables.tables.items()
        }


def definitions(engine):
    """All that the server tells of the tables, in its own words."""
    with engine.connect() as connection:
        if engine.dialect.name == 'sqlite':
            return sorted(
                connection.exec_driver_sql(
                    'SELECT type, name, sql FROM sqlite_master'
                ).all(),
                key=str,
            )
        names = sorted(sa.inspect(connection).get_table_names())
        if engine.dialect.name == 'postgresql':
            return [
                connection.exec_driver_sql(query).all()
                for query in _POSTGRESQL
            ]
        return [
            connection.exec_driver_sql(f'SHOW CREATE TABLE {name}').one()
            for name in names
        ]


class Templates:
    """A database of the fixture's, beside one that was synced."""

    def new_engine_with(self, tables):
        fixture = fixtures.DatabaseFixture(self.backend, tables)
        return self.new_engine(self.useFixture(fixture).url)

    def test_it_is_as_a_sync_makes_it(self):
        for tables, one in SCHEMAS.items():
            engine = self.new_engine_with(tables)
            synced = self.new_engine(self.new_database())
            one.sync(synced)
            self.assertNotEqual([], definitions(synced))
            self.assertEqual(definitions(synced), definitions(engine))
            self.assertEqual(rows(synced), rows(engine))
            self.assertTrue(one.is_current(engine))

    def test_what_one_holds_is_in_no_other(self):
        for tables, one in SCHEMAS.items():
            with self.new_engine_with(tables).begin() as connection:
                connection.execute(
                    sa.text(f"UPDATE {one.version_table} SET version_num='x'")
                )
                connection.execute(sa.text('CREATE TABLE mine (id INTEGER)'))
            other = self.new_engine_with(tables)
            self.assertTrue(one.is_current(other))
            self.assertNotIn('mine', sa.inspect(other).get_table_names())


class TestOnSqlite(Templates, databases.OnSqlite):
    def test_a_file_that_is_gone_is_made_anew(self):
        """It went with the process that made it."""
        self.new_engine_with('cell')
        for name, path in os.environ.items():
            if name.startswith('CELLPLUG_TEST_TEMPLATE_CELL'):
                pathlib.Path(path).unlink(missing_ok=True)
        self.assertTrue(schema.CELL.is_current(self.new_engine_with('cell')))


class TestOnMariaDB(Templates, databases.OnMariaDB):
    pass


class TestOnPostgreSQL(Templates, databases.OnPostgreSQL):
    pass
