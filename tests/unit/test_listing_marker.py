"""Markers of sorted lists: what they keep, and what is none."""

from __future__ import annotations

import base64
import datetime
import decimal
import unittest
import uuid
import zlib

from hypothesis import given
from hypothesis import strategies

from cellplug import exception
from cellplug.cells import listing_marker
from cellplug.cells import listing_order

Place = listing_marker.Place
CELL = '11111111-2222-3333-4444-555555555555'
OTHER = '99999999-2222-3333-4444-555555555555'
NOON = datetime.datetime(2026, 5, 1, 12, 0, 0, 5)  # noqa: DTZ001

ONE = listing_order.Order(['x', 'uuid'], ['asc', 'desc'])

VALUES = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.floats(allow_nan=False),
    strategies.decimals(allow_nan=False),
    strategies.text(),
    strategies.binary(),
    strategies.datetimes(),
    strategies.datetimes(timezones=strategies.just(datetime.UTC)),
    strategies.dates(),
    strategies.times(),
    strategies.timedeltas(),
    strategies.uuids(),
)


def there_and_back(place, order=ONE):
    return listing_marker.decode(order, listing_marker.encode(order, place))


def forged(content):
    data = content.encode()
    data = zlib.crc32(data).to_bytes(4, 'big') + data
    return 'c1.' + base64.urlsafe_b64encode(data).decode().rstrip('=')


class TestMarkers(unittest.TestCase):
    @given(VALUES, VALUES)
    def test_every_value_that_has_an_order_comes_back(self, one, other):
        place = Place((one, other))
        found = there_and_back(place)
        self.assertEqual(place, found)
        self.assertEqual(
            [type(one), type(other)], [type(value) for value in found.after]
        )

    def test_cells_that_were_not_read_keep_their_own_place(self):
        place = Place(
            (decimal.Decimal('1.50'), 'b'), {CELL: None, OTHER: (None, 'a')}
        )
        found = there_and_back(place)
        self.assertEqual(place, found)
        self.assertIsNone(found.of(CELL))
        self.assertEqual((None, 'a'), found.of(OTHER))
        self.assertEqual(place.after, found.of(str(uuid.uuid4())))

    def test_many_absent_cells_still_fit_a_url(self):
        cells = {str(uuid.uuid4()): (NOON, 'a') for _ in range(64)}
        marker = listing_marker.encode(ONE, Place((NOON, 'b'), cells))
        self.assertLess(len(marker), 2048)
        self.assertEqual(cells, listing_marker.decode(ONE, marker).behind)

    def test_a_marker_needs_no_quoting_in_a_url(self):
        for number in range(200):
            marker = listing_marker.encode(ONE, Place((number, '?&=/ é')))
            self.assertRegex(marker, r'\A[A-Za-z0-9._-]+\Z')

    def test_a_marker_of_another_order_is_refused(self):
        marker = listing_marker.encode(ONE, Place((1, 'a')))
        for names, directions in (
            (['x', 'uuid'], ['asc', 'asc']),
            (['y', 'uuid'], ['asc', 'desc']),
            (['x'], ['asc']),
        ):
            other = listing_order.Order(names, directions)
            with self.assertRaises(exception.InvalidInput) as caught:
                listing_marker.decode(other, marker)
            self.assertEqual('marker', caught.exception.name)
            self.assertIn(str(other), str(caught.exception))

    def test_garbage_is_refused(self):
        good = listing_marker.encode(ONE, Place((NOON, 'a')))
        swapped = good[:9] + ('A' if good[9] != 'A' else 'B') + good[10:]
        for garbage in (
            '', 'x', 'c1.', 'c1.!!', 'c1.AAAA', 'c2' + good[2:], good[:-1],
            good + 'A', good + ' ', swapped, good.upper(), 'c1.é', 5, b'c1.',
            forged(''), forged('5'), forged('{}'), forged('[' * 100_000),
            forged('{"o":["x","uuid","asc","desc"],"a":5,"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[1],"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[1,[2]],"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[{"?":1},2],"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[{"n":"q"},2],"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[{"u":1},2],"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[{"b":1},2],"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[1,2],"b":[[null,1]]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[NaN,2],"b":[]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[1,2],"b":[1]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[1,2],"b":[[[1],""]]}'),
            forged('{"o":["x","uuid","asc","desc"],"a":[1,2],"b":[[null,"A"]]}'),
        ):  # fmt: skip
            try:
                found = listing_marker.decode(ONE, garbage)
            except exception.InvalidInput as exc:
                self.assertEqual('marker', exc.name)
                self.assertNotIn('\n', str(exc))
            else:
                self.fail(f'{garbage!r} was taken for {found}')
