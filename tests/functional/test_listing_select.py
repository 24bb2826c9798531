"""sorted_select on real databases: types, collations, indexes, mappers."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

import cellplug
from tests.functional import helpers_deployment
from tests.functional import helpers_listing as helpers

METADATA = sa.MetaData()
EXACT = sa.String(36).with_variant(
    mysql.VARCHAR(36, charset='utf8mb4', collation='utf8mb4_nopad_bin'),
    'mysql',
    'mariadb',
)
OTHER = sa.Table(
    'other',
    METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('uuid', sa.Uuid, nullable=False),
    sa.Column('exact', EXACT, nullable=False),
    sa.Column('size', sa.Integer, nullable=False),
    sa.Column(
        'old',
        sa.String(30)
        .with_variant(
            mysql.VARCHAR(30, charset='latin1', collation='latin1_swedish_ci'),
            'mysql',
            'mariadb',
        )
        .with_variant(sa.String(30, collation='en-x-icu'), 'postgresql')
        .with_variant(sa.String(30, collation='NOCASE'), 'sqlite'),
    ),
    sa.Index('ix_other_size_exact', 'size', 'exact'),
    mysql_charset='utf8mb4',
)


class Base(orm.DeclarativeBase):
    pass


class Other(Base):
    __table__ = OTHER


class SelectCase(helpers.ListingCase):
    cells = 2

    def setUp(self):
        super().setUp()
        self.rows = []
        # Uuids whose order is neither that of their numbers nor, where their
        # parts are weighed otherwise, that of a clock.
        uuids = sorted(
            uuid.uuid5(uuid.NAMESPACE_DNS, str(number)) for number in range(12)
        )
        for number, one in enumerate(uuids, start=1):
            self.rows.append(
                {
                    'id': number,
                    'uuid': one,
                    'exact': str(one),
                    'size': number % 3,
                    'old': 'aAéÉbB'[number % 6],
                }
            )
        for index, cell in enumerate(self.deployment.cells):
            with self.past(cell) as past:
                METADATA.create_all(past)
                past.execute(sa.insert(OTHER), self.rows[index::2])

    def past(self, cell):
        return helpers_deployment.past_cellplug(cell.database_connection)

    def found(self, keys, **options):
        return [
            row['id']
            for page in self.pages(keys, limit=5, **options)
            for row in page.rows
        ]

    def wanted(self, *names, reverse=False):
        rows = sorted(
            self.rows,
            key=lambda row: [row[name] for name in names],
            reverse=reverse,
        )
        return [row['id'] for row in rows]


class SelectTests:
    def test_uuids_by_their_own_type(self):
        self.things = self.reading(sa.select(OTHER))
        self.assertEqual(self.wanted('uuid'), self.found([]))
        self.assertEqual(
            self.wanted('size', 'uuid', reverse=True),
            self.found(['size'], sort_dirs=['desc']),
        )

    def test_uuids_by_their_own_type_as_markers(self):
        self.things = self.reading(sa.select(OTHER))
        marker = str(self.rows[3]['uuid'])
        self.router.instances.map(
            self.context(), marker, self.deployment.cells[1]
        )
        self.assertEqual(
            [5, 6, 7, 8, 9, 10, 11, 12], self.found([], marker=marker)
        )

    def test_other_character_sets_and_collations(self):
        self.things = self.reading(sa.select(OTHER))
        self.assertEqual(self.wanted('old', 'uuid'), self.found(['old']))

    def test_expressions_that_have_a_name(self):
        select = sa.select(
            OTHER.c.id, OTHER.c.uuid, (-OTHER.c.size).label('less')
        )
        for columns in (None, {'uuid': OTHER.c.uuid, 'less': -OTHER.c.size}):
            self.things = self.reading(select, columns=columns)
            rows = sorted(
                self.rows, key=lambda row: (-row['size'], row['uuid'])
            )
            self.assertEqual([row['id'] for row in rows], self.found(['less']))

    def test_mapped_classes_come_as_rows(self):
        self.things = self.reading(sa.select(Other))
        self.assertEqual(self.wanted('size', 'uuid'), self.found(['size']))

    def test_in_a_transaction_and_on_a_connection(self):
        read = cellplug.sorted_select(sa.select(OTHER))
        reader = self.database.reader
        for access in (reader, reader.connection, reader.single.connection):
            self.things = access(read)
            self.assertEqual(self.wanted('size', 'uuid'), self.found(['size']))

    def test_rows_of_sqlalchemy_are_rows(self):
        def fn(context, sort_keys, sort_dirs, limit, after):
            query = sa.select(OTHER).order_by(OTHER.c.id)
            if after is not None:
                query = query.where(OTHER.c.id > after['id'])
            return context.session.execute(query.limit(limit)).all()

        self.things = self.database.reader(fn)
        self.assertEqual(list(range(1, 13)), self.found([], unique_key='id'))


class TestOnSqlite(SelectTests, SelectCase):
    backend = 'sqlite'


class TestOnPostgreSQL(SelectTests, SelectCase):
    backend = 'postgresql'


class TestOnMariaDB(SelectTests, SelectCase):
    backend = 'mariadb'

    def plan(self, **options):
        """How MariaDB reads the second page of a large table."""
        cell = self.deployment.cells[0]
        with self.past(cell) as past:
            past.execute(
                sa.insert(OTHER),
                [
                    {
                        'id': number,
                        'uuid': uuid.uuid4(),
                        'exact': str(uuid.uuid4()),
                        'size': number,
                    }
                    for number in range(100, 3000)
                ],
            )
            past.exec_driver_sql('ANALYZE TABLE other')
        sent = []

        def note(conn, cursor, statement, parameters, context, many):
            sent.append((statement, parameters))

        read = cellplug.sorted_select(sa.select(OTHER), **options)
        after = {'size': 2000, 'exact': 'a'}
        with self.router.target_cell(self.context(), cell) as cctxt:
            with self.database.reader.using(cctxt) as session:
                connection = session.connection()
                event = (connection.engine, 'before_cursor_execute', note)
                sa.event.listen(*event)
                read(cctxt, ['size', 'exact'], ['desc', 'desc'], 10, after)
                sa.event.remove(*event)
                ((statement, parameters),) = sent
                rows = connection.exec_driver_sql(
                    f'EXPLAIN {statement}', parameters
                )
                return next(iter(rows.mappings()))

    def test_an_index_serves_columns_of_an_exact_collation(self):
        plan = self.plan()
        self.assertEqual('ix_other_size_exact', plan['key'])
        self.assertNotIn('filesort', plan['Extra'])

    def test_an_index_serves_what_is_compared_as_it_is_stored(self):
        plan = self.plan(as_stored=['exact', 'size'])
        self.assertEqual('ix_other_size_exact', plan['key'])
        self.assertNotIn('filesort', plan['Extra'])
