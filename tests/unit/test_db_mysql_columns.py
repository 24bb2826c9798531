"""The columns of results, as a server describes them."""

import struct
import unittest

from pymysql import connections
from pymysql import protocol

from cellplug.db import mysql_columns

VARCHAR = 253


def described(name, *, database='cell1', kind=VARCHAR, length=144):
    """What a server sends of a column."""
    words = ('def', database, 't', 'table', name, 'origin')
    data = b''.join(bytes([len(w)]) + w.encode('latin1') for w in words)
    return data + struct.pack('<BHIBHBxx', 12, 45, length, kind, 1, 0)


class TestColumns(unittest.TestCase):
    def setUp(self):
        self.columns = mysql_columns.Columns()

    def test_what_is_overridden_is_there(self):
        self.assertTrue(callable(connections.Connection._read_packet))

    def test_it_is_what_the_driver_would_make_of_it(self):
        data = described('name')
        ours = self.columns.parse(data, 'utf8')
        theirs = protocol.FieldDescriptorPacket(data, 'utf8')
        self.assertEqual(theirs.description(), ours.description())
        for name in ('table_name', 'org_table', 'name', 'org_name', 'flags',
                     'charsetnr', 'length', 'type_code', 'scale'):  # fmt: skip
            self.assertEqual(getattr(theirs, name), getattr(ours, name), name)

    def test_it_is_parsed_once_for_all_cells(self):
        first = self.columns.parse(described('name'), 'utf8')
        again = self.columns.parse(described('name'), 'utf8')
        other = self.columns.parse(
            described('name', database='another'), 'utf8'
        )
        self.assertIs(first, again)
        self.assertIs(first, other)

    def test_whatever_differs_makes_another_column(self):
        found = [
            self.columns.parse(data, encoding).description()
            for data, encoding in (
                (described('name'), 'utf8'),
                (described('nam'), 'utf8'),
                (described('name', kind=3), 'utf8'),
                (described('name', length=72), 'utf8'),
                (described('n\xe4me'), 'latin1'),
                (described('n\xe4me'), 'cp850'),
            )
        ]
        self.assertEqual(len(found), len(set(found)), found)

    def test_a_long_database_name_is_read_as_the_driver_does(self):
        name = b'd' * 251
        data = described('name', database='')
        data = data[:4] + b'\xfc' + struct.pack('<H', 251) + name + data[5:]
        column = self.columns.parse(data, 'utf8')
        self.assertEqual('name', column.name)
        self.assertEqual(name, column.db)

    def test_nonsense_is_raised_each_time(self):
        for _ in range(2):
            self.assertRaises(
                IndexError, self.columns.parse, b'\x03def', 'utf8'
            )

    def test_no_more_than_a_bound_are_kept(self):
        self.columns._MOST = 3
        for number in range(9):
            self.columns.parse(described(f'c{number}'), 'utf8')
            self.assertLessEqual(len(self.columns._known), 3)
        self.assertEqual(
            'c0', self.columns.parse(described('c0'), 'utf8').name
        )
