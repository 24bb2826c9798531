"""What sorted_select refuses, before a database is asked."""

from __future__ import annotations

import enum
import unittest

import sqlalchemy as sa
from sqlalchemy import orm

import cellplug
from cellplug import exception


class Colour(enum.Enum):
    RED = 'red'


TABLE = sa.Table(
    'thing',
    sa.MetaData(),
    sa.Column('uuid', sa.String(36), primary_key=True),
    sa.Column('name', sa.String(64)),
    sa.Column('colour', sa.Enum(Colour)),
    sa.Column('weight', sa.Float),
    sa.Column('real', sa.REAL),
    sa.Column('wide', sa.Double),
    sa.Column('also_wide', sa.Float(53)),
    sa.Column('extra', sa.JSON),
)


class Nobody:
    """A context with a session that is never asked for rows."""

    def __init__(self):
        engine = sa.create_engine('sqlite://')
        self.session = orm.Session(engine)


def ask(*keys, select=None, **options):
    context = Nobody()
    with context.session:
        read = cellplug.sorted_select(
            sa.select(TABLE) if select is None else select, **options
        )
        return read(context, keys, ['asc'] * len(keys), 1)


class TestWhatIsRefused(unittest.TestCase):
    def refused(self, name, *keys, **options):
        with self.assertRaises(exception.InvalidInput) as caught:
            ask(*keys, **options)
        self.assertEqual(name, caught.exception.name)
        return caught.exception.reason

    def test_what_is_no_select(self):
        for wrong in (TABLE, 'SELECT 1', sa.text('SELECT 1'), None):
            with self.assertRaises(exception.InvalidInput) as caught:
                cellplug.sorted_select(wrong)
            self.assertEqual('select', caught.exception.name)

    def test_names_that_are_no_columns(self):
        self.assertIn("'no'", self.refused('sort_keys', 'no'))
        self.refused('columns', columns=['no'])
        self.refused('columns', columns='name')
        self.refused('as_stored', as_stored=['no'])
        self.refused('as_stored', columns=['uuid'], as_stored=['name'])

    def test_columns_that_callers_may_not_sort_by(self):
        reason = self.refused('sort_keys', 'name', columns=['uuid', 'wide'])
        self.assertEqual("'name' is none of uuid, wide", reason)

    def test_types_that_databases_sort_in_their_own_ways(self):
        self.assertIn('Enum', self.refused('sort_keys', 'colour'))
        self.assertIn('JSON', self.refused('sort_keys', 'extra'))
        untyped = sa.select(sa.literal_column('1').label('x'))
        self.assertIn('type', self.refused('sort_keys', 'x', select=untyped))

    def test_floats_that_do_not_come_back_as_they_are(self):
        for name in ('weight', 'real'):
            self.assertIn('Double', self.refused('sort_keys', name))
        for name in ('wide', 'also_wide'):
            self.assertRaises(sa.exc.OperationalError, ask, name)
