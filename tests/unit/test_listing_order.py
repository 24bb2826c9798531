"""The order of a sorted list: what comes first, and what has no place."""

from __future__ import annotations

import datetime
import decimal
import random
import unittest
import uuid

from cellplug import exception
from cellplug.cells import listing_order

DAY = datetime.datetime(2026, 5, 1, 12)  # noqa: DTZ001 (databases hold such)


def ordered(values, direction):
    """The values as a list sorted by them has them."""
    order = listing_order.Order(['x'], [direction])
    shuffled = random.Random(3).sample(values, len(values))
    return sorted(shuffled, key=lambda value: order.key((value,)))


class TestOrder(unittest.TestCase):
    def check(self, values):
        self.assertEqual(values, ordered(values, 'asc'))
        self.assertEqual(values[::-1], ordered(values, 'desc'))

    def test_none_is_less_than_everything(self):
        self.check([None, -5, 0, 7])
        self.check([None, '', 'a'])

    def test_numbers_sort_by_size_across_their_types(self):
        self.check([-3, decimal.Decimal('-2.5'), 0.25, True, 2])

    def test_a_long_decimal_is_not_rounded_when_it_is_turned_round(self):
        long = '1.' + '0' * 40
        self.check([decimal.Decimal(long + '1'), decimal.Decimal(long + '2')])

    def test_strings_sort_by_code_points(self):
        self.check(['', 'A', 'B', 'a', 'a\t', 'a ', 'b', 'é', '\uffee', '😀'])

    def test_strings_sort_as_their_bytes_do(self):
        words = ['😀', '\uffee', 'é', 'z', 'Z', 'a ', 'a']
        self.assertEqual(sorted(words, key=str.encode), ordered(words, 'asc'))

    def test_times_uuids_and_bytes_have_an_order(self):
        hour = datetime.timedelta(hours=1)
        self.check([DAY - hour, DAY, DAY + hour])
        self.check([(DAY - 24 * hour).date(), DAY.date()])
        self.check([datetime.time(1), datetime.time(2)])
        self.check([-hour, hour])
        self.check([uuid.UUID(int=1), uuid.UUID(int=2)])
        self.check([b'', b'A', b'a', b'\xff'])

    def test_each_key_has_its_own_direction(self):
        order = listing_order.Order(['a', 'b', 'c'], ['desc', 'asc', 'desc'])
        rows = [(2, None, 'b'), (2, None, 'a'), (2, 1, 'z'), (1, 0, 'a'),
                (None, 5, 'a')]  # fmt: skip
        shuffled = random.Random(5).sample(rows, len(rows))
        self.assertEqual(rows, sorted(shuffled, key=order.key))

    def test_what_has_no_order_is_refused(self):
        order = listing_order.Order(['x'], ['asc'])
        for value in ({}, [], object(), 1j, float('nan'), ValueError()):
            self.assertRaises(TypeError, order.key, (value,))

    def test_types_that_do_not_compare_are_no_order(self):
        for direction in listing_order.DIRECTIONS:
            self.assertRaises(TypeError, ordered, [1, 'a'], direction)
            self.assertRaises(TypeError, ordered, [DAY, 'a'], direction)

    def test_the_values_are_read_from_a_row(self):
        order = listing_order.Order(['x'], ['asc'])
        self.assertEqual((1,), order.values({'x': 1, 'y': 2}))
        self.assertEqual({'x': 1}, order.after((1,)))
        order = listing_order.Order(['x', 'y'], ['asc', 'asc'])
        self.assertEqual((1, 2), order.values({'x': 1, 'y': 2}))
        self.assertRaises(KeyError, order.values, {'x': 1})
        self.assertIsNone(order.after(None))


class TestWhatIsAskedFor(unittest.TestCase):
    def test_the_unique_key_ends_it_the_same_way(self):
        order = listing_order.order(['a', 'b'], ['asc', 'desc'])
        self.assertEqual(('a', 'b', 'uuid'), order.names)
        self.assertEqual(('asc', 'desc', 'desc'), order.directions)

    def test_a_unique_key_that_is_there_is_not_added(self):
        order = listing_order.order(('uuid', 'a'))
        self.assertEqual(('uuid', 'a'), order.names)
        self.assertEqual(('asc', 'asc'), order.directions)

    def test_no_keys_at_all_is_the_unique_key(self):
        self.assertEqual(('id',), listing_order.order([], None, 'id').names)

    def test_what_cannot_be_meant_is_refused(self):
        for name, arguments in (
            ('sort_keys', ('name',)),
            ('sort_keys', (None,)),
            ('sort_keys', ([''],)),
            ('sort_keys', ([1],)),
            ('sort_keys', (['a', 'a'],)),
            ('sort_dirs', (['a'], 'asc')),
            ('sort_dirs', (['a'], ['up'])),
            ('sort_dirs', (['a'], ['ASC'])),
            ('sort_dirs', (['a', 'b'], ['asc'])),
            ('sort_dirs', (['a'], ['asc', 'asc'])),
            ('unique_key', (['a'], None, '')),
            ('unique_key', (['a'], None, 3)),
        ):
            with self.assertRaises(exception.InvalidInput) as caught:
                listing_order.order(*arguments)
            self.assertEqual(name, caught.exception.name)
