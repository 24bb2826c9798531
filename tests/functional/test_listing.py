"""Sorted lists over many cells: as if all rows were in one database."""

from __future__ import annotations

import datetime
import decimal
import gc
import threading
import uuid
import weakref

import sqlalchemy as sa
import testtools

import cellplug
from cellplug import exception
from tests.functional import databases
from tests.functional import helpers_deployment
from tests.functional import helpers_listing as helpers

THING = helpers.THING
as_one = helpers.as_one
thing = helpers.thing
uuid_of = helpers.uuid_of

SHORT = 2.0
"""Seconds for a page for which one cell hangs; ample for the others."""


def later(hours):
    return helpers.EPOCH + datetime.timedelta(hours=hours)


WORDS = ['', ' ', 'A', 'B', 'Z', 'a', 'a\t', 'a ', 'a b', 'ab', 'b', 'z', 'É',
         'é', 'ß', 'ss', '\uffee', '😀', None]  # fmt: skip


class OrderTests:
    """What every database has to sort in the same way."""

    def fill(self, name, values):
        """Give each cell a part of the values; twice, so that some tie."""
        rows = [
            thing(number, **{name: value})
            for number, value in enumerate([*values, *values])
        ]
        for number, row in enumerate(rows):
            self.put(number * 7 % 3, row)
        return rows

    def check(self, name, values):
        rows = self.fill(name, values)
        for direction in ('asc', 'desc'):
            wanted = [row['uuid'] for row in as_one(rows, [name], [direction])]
            for limit in (1, 3, 50, None):
                found = [
                    row['uuid']
                    for page in self.pages(
                        [name], sort_dirs=[direction], limit=limit
                    )
                    for row in page.rows
                ]
                self.assertEqual(wanted, found, (direction, limit))

    def test_strings(self):
        self.check('name', WORDS)

    def test_numbers(self):
        self.check('size', [3, -1, 0, None, 2**31 - 1, -(2**31)])

    def test_exact_numbers(self):
        self.check(
            'price',
            [decimal.Decimal(v) for v in ('0', '-1.5', '1.0001', '9999.9')]
            + [None],
        )

    def test_doubles(self):
        self.check('weight', [0.1, 1 / 3, -2.5e10, 1e-300, 0.0, None])

    def test_moments(self):
        self.check('seen', [later(0), later(-4), later(9000), None])

    def test_bytes(self):
        self.check('data', [b'', b'a', b'A', b'\xff\x00', b'\x00', None])

    def test_truths(self):
        self.put(0, thing(1, size=1), thing(4, size=4, hidden=True))
        self.put(1, thing(2, size=2, hidden=True), thing(3, size=3))
        self.things = self.reading(sa.select(THING))
        for direction, wanted in (
            ('asc', [1, 3, 2, 4]),
            ('desc', [4, 2, 3, 1]),
        ):
            found = [
                number
                for page in self.pages(
                    ['hidden'], sort_dirs=[direction], limit=1
                )
                for number in self.numbers(page)
            ]
            self.assertEqual(wanted, found)

    def test_several_keys_in_directions_of_their_own(self):
        rows = [
            thing(number, name=name, size=size)
            for number, (name, size) in enumerate(
                (name, size)
                for name in ('a', 'B', None)
                for size in (1, 2, None)
                for _ in range(3)
            )
        ]
        for number, row in enumerate(rows):
            self.put(number % 3, row)
        for keys, directions in (
            (['name', 'size'], ['asc', 'desc']),
            (['name', 'size'], ['desc', 'asc']),
            (['size', 'name', 'uuid'], ['desc', 'desc', 'asc']),
            (['uuid', 'size'], ['desc', 'asc']),
        ):
            wanted = [r['uuid'] for r in as_one(rows, keys, directions)]
            found = [
                row['uuid']
                for page in self.pages(keys, sort_dirs=directions, limit=4)
                for row in page.rows
            ]
            self.assertEqual(wanted, found)

    def test_a_row_comes_as_it_is_with_its_cell(self):
        row = thing(
            1, name='x', size=3, price=decimal.Decimal('1.5'), weight=0.5,
            seen=later(1), data=b'x',
        )  # fmt: skip
        self.put(1, row)
        page = self.list()
        cell = self.deployment.cells[1]
        self.assertEqual([{**row, 'cell_uuid': cell.uuid}], page.rows)

    def test_an_outer_join_may_have_none_in_any_column(self):
        other = THING.alias()
        after_next = THING.outerjoin(other, other.c.size == THING.c.size + 2)
        self.things = self.reading(
            sa.select(THING.c.uuid, other.c.hidden).select_from(after_next)
        )
        rows = []
        for number in range(7):
            hidden = number % 4 > 1
            self.put(number % 2, thing(number, size=number, hidden=hidden))
            following = not hidden if number < 5 else None
            rows.append({'uuid': uuid_of(number), 'hidden': following})
        for direction in ('asc', 'desc'):
            wanted = [
                row['uuid'] for row in as_one(rows, ['hidden'], [direction])
            ]
            found = [
                row['uuid']
                for page in self.pages(
                    ['hidden'], sort_dirs=[direction], limit=2
                )
                for row in page.rows
            ]
            self.assertEqual(wanted, found)

    def test_a_subquery_may_have_none_in_any_column(self):
        """Its columns say that they take none, wherever they are from."""
        other = THING.alias()
        joined = sa.select(THING.c.uuid, other.c.hidden).outerjoin(
            other, sa.and_(other.c.uuid == THING.c.uuid, other.c.size > 2)
        )
        large = THING.c.size > 2
        union = sa.union_all(
            sa.select(THING.c.uuid, THING.c.hidden).where(large),
            sa.select(THING.c.uuid, sa.null()).where(~large),
        )
        rows = []
        for number in range(6):
            self.put(number % 2, thing(number, size=number))
            rows.append(
                {
                    'uuid': uuid_of(number),
                    'hidden': False if number > 2 else None,
                }
            )
        for source in (joined.subquery(), joined.cte(), union.subquery()):
            self.things = self.reading(sa.select(source))
            for direction in ('asc', 'desc'):
                wanted = as_one(rows, ['hidden'], [direction])
                found = [
                    row['uuid']
                    for page in self.pages(
                        ['hidden'], sort_dirs=[direction], limit=2
                    )
                    for row in page.rows
                ]
                self.assertEqual([row['uuid'] for row in wanted], found)

    def test_uuids_are_compared_as_they_are_where_that_is_asked_for(self):
        """For an index; the order is the same."""
        for number in range(9):
            self.put(number % 3, thing(number, size=number % 2))
        select = sa.select(THING)
        self.things = self.reading(select, as_stored=['uuid', 'size'])
        found = [
            number
            for page in self.pages(['size'], sort_dirs=['desc'], limit=2)
            for number in self.numbers(page)
        ]
        self.assertEqual([7, 5, 3, 1, 8, 6, 4, 2, 0], found)


class TestOrderOnSqlite(OrderTests, helpers.ListingCase):
    backend = 'sqlite'


class TestOrderOnMariaDB(OrderTests, helpers.ListingCase):
    backend = 'mariadb'


class TestOrderOnPostgreSQL(OrderTests, helpers.ListingCase):
    backend = 'postgresql'


class TestPages(helpers.ListingCase):
    def setUp(self):
        super().setUp()
        for number in range(10):
            self.put(number % 3, thing(number, size=number), mapped=True)

    def test_a_page_ends_where_the_next_begins(self):
        pages = [self.numbers(page) for page in self.pages(limit=4)]
        self.assertEqual([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], pages)

    def test_the_last_page_has_no_marker_also_when_it_is_full(self):
        for batch in (None, 1, 2, 5):
            pages = [
                self.numbers(page) for page in self.pages(limit=5, batch=batch)
            ]
            self.assertEqual([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], pages)

    def test_without_a_limit_there_is_one_page(self):
        page = self.list()
        self.assertEqual(list(range(10)), self.numbers(page))
        self.assertIsNone(page.marker)
        self.assertEqual(page.rows, page.complete())

    def test_nothing_is_an_empty_page(self):
        self.remove(*map(uuid_of, range(10)))
        page = self.list(limit=3)
        self.assertEqual(([], None, {}), (page.rows, page.marker, page.absent))

    def test_only_the_cells_that_are_named(self):
        cell1, _, cell3 = self.deployment.cells
        page = self.list(cells=[cell1, cell3.name])
        self.assertEqual([0, 2, 3, 5, 6, 8, 9], self.numbers(page))
        self.assertEqual({'cell1', 'cell3'}, {c[0] for c in self.calls})

    def test_only_the_cells_where_a_project_has_instances(self):
        cell = self.deployment.cells[1]
        self.router.instances.map(
            self.context(), str(uuid.uuid4()), cell, project_id='alone'
        )
        page = self.list(project_id='alone')
        self.assertEqual([1, 4, 7], self.numbers(page))
        self.assertEqual(['cell2'], [c[0] for c in self.calls])

    def test_cell0_can_be_left_out(self):
        self.deployment.add_cell(
            'cell0', uuid=cellplug.CELL0_UUID, transport_url='none:///'
        )
        with_cell0 = self.list()
        self.assertEqual({cellplug.CELL0_UUID}, set(with_cell0.absent))
        self.assertEqual({}, self.list(skip_cell0=True).absent)

    def test_a_new_cell_is_read_from_where_the_page_begins(self):
        first = self.list(limit=4)
        cell = self.deployment.add_cell('cell4')
        helpers_deployment.make_notes(cell.database_connection)
        with helpers_deployment.past_cellplug(
            cell.database_connection
        ) as past:
            helpers.METADATA.create_all(past)
            past.execute(
                sa.insert(THING), [thing(20, size=1), thing(21, size=5)]
            )
        self.names[cell.uuid] = cell.name
        second = self.list(limit=4, marker=first.marker)
        self.assertEqual([4, 5, 21, 6], self.numbers(second))

    def test_a_row_in_two_cells_is_two_rows_wherever_the_page_ends(self):
        """As when an instance moves, and is copied first."""
        self.put(1, thing(3, size=3))
        self.put(2, thing(3, size=3))
        whole = [0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9]
        for limit in range(1, 13):
            found, cells = [], []
            for page in self.pages(limit=limit):
                found += self.numbers(page)
                cells += [
                    row['cell_uuid']
                    for row in page.rows
                    if row['uuid'] == uuid_of(3)
                ]
            self.assertEqual((whole, 3), (found, len(set(cells))), limit)

    def test_rows_that_come_and_go_between_pages(self):
        first = self.list(limit=4)
        self.remove(uuid_of(3), uuid_of(5))
        self.put(0, thing(30, size=2), thing(31, size=4))
        second = self.list(limit=4, marker=first.marker)
        self.assertEqual([4, 31, 6, 7], self.numbers(second))

    def test_other_unique_keys(self):
        self.things = self.reading(sa.select(THING.c.size, THING.c.name))
        pages = list(self.pages(['name'], unique_key='size', limit=6))
        self.assertEqual(
            list(range(10)), [row['size'] for p in pages for row in p.rows]
        )

    def test_what_cannot_be_sorted_by_is_the_callers_mistake(self):
        with self.assertRaises(exception.InvalidInput) as caught:
            self.list(['colour'])
        self.assertEqual('sort_keys', caught.exception.name)
        self.assertIn(
            "'colour' is none of data, hidden", str(caught.exception)
        )

    def test_arguments_are_checked_before_a_cell_is_asked(self):
        for options in (
            {'limit': 0}, {'limit': -1}, {'limit': True}, {'limit': '5'},
            {'batch': 0}, {'timeout': 0}, {'cells': 'cell1'},
            {'sort_dirs': ['up']}, {'marker': 'x'}, {'marker': 5},
            {'marker': ''}, {'unique_key': None},
        ):  # fmt: skip
            with self.assertRaises(exception.InvalidInput) as caught:
                self.list(**options)
            self.assertEqual(next(iter(options)), caught.exception.name)
        self.assertEqual([], self.calls)

    def test_a_closed_router_lists_nothing(self):
        self.router.close()
        self.assertRaises(exception.RouterClosed, self.list, cells=[])


class TestMarkers(helpers.ListingCase):
    def setUp(self):
        super().setUp()
        for number in range(9):
            self.put(number % 3, thing(number, size=number), mapped=True)

    def test_an_instance_is_a_marker(self):
        page = self.list(limit=3, marker=uuid_of(4))
        self.assertEqual([5, 6, 7], self.numbers(page))
        page = self.list(limit=3, marker=page.marker)
        self.assertEqual([8], self.numbers(page))

    def test_an_instance_is_named_in_any_spelling(self):
        for marker in (uuid_of(4).upper(), uuid.UUID(uuid_of(4)).hex):
            page = self.list(limit=1, marker=marker)
            self.assertEqual([5], self.numbers(page))

    def test_the_least_uuid_is_a_marker_too(self):
        zeros = str(uuid.UUID(int=0))
        self.put(1, {**thing(0, size=-1), 'uuid': zeros})
        self.router.instances.map(
            self.context(), zeros, self.deployment.cells[1]
        )
        page = self.list(limit=1, marker=zeros)
        self.assertEqual([0], self.numbers(page))

    def test_its_cell_need_not_be_among_those_listed(self):
        page = self.list(cells=['cell1'], marker=uuid_of(4))
        self.assertEqual([6], self.numbers(page))

    def test_one_that_is_mapped_nowhere_is_not_found(self):
        marker = str(uuid.uuid4())
        with self.assertRaises(exception.MarkerNotFound) as caught:
            self.list(marker=marker)
        self.assertEqual(
            (marker, None),
            (caught.exception.marker, caught.exception.cell_uuid),
        )

    def test_one_whose_row_is_gone_is_not_found(self):
        self.remove(uuid_of(4))
        with self.assertRaises(exception.MarkerNotFound) as caught:
            self.list(marker=uuid_of(4))
        cell = self.deployment.cells[1]
        self.assertEqual(cell.uuid, caught.exception.cell_uuid)
        self.assertIn("'cell2'", str(caught.exception))

    def hide(self, number):
        """Delete it as services do that keep the row."""
        cell = self.deployment.cells[number % 3]
        with helpers_deployment.past_cellplug(
            cell.database_connection
        ) as past:
            past.execute(
                sa.update(THING)
                .where(THING.c.uuid == uuid_of(number))
                .values(hidden=True)
            )

    def test_a_deleted_row_is_a_marker_for_whoever_can_read_it(self):
        self.hide(4)

        @self.database.reader.single
        def find_marker(context, marker):
            query = sa.select(THING).where(THING.c.uuid == marker)
            return context.session.execute(query).mappings().first()

        page = self.list(limit=2, marker=uuid_of(4), find_marker=find_marker)
        self.assertEqual([5, 6], self.numbers(page))
        self.assertRaises(
            exception.MarkerNotFound, self.list, marker=uuid_of(4)
        )

    def test_a_row_deleted_since_is_still_the_end_of_its_page(self):
        page = self.list(limit=5)
        self.remove(uuid_of(4))
        page = self.list(limit=2, marker=page.marker)
        self.assertEqual([5, 6], self.numbers(page))

    def test_one_in_a_cell_that_is_down(self):
        cell = self.deployment.cells[1]
        self.down.add(cell.uuid)
        with self.assertRaises(exception.MarkerUnavailable) as caught:
            self.list(marker=uuid_of(4))
        self.assertEqual(
            (cell.uuid, 'cell2'),
            (caught.exception.cell_uuid, caught.exception.cell_name),
        )
        self.assertNotIn('secret', str(caught.exception))

    def test_a_pages_marker_needs_no_cell(self):
        page = self.list(limit=5)
        self.down.add(self.deployment.cells[1].uuid)
        page = self.list(limit=5, marker=page.marker)
        self.assertEqual([5, 6, 8], self.numbers(page))

    def test_a_marker_of_another_order_is_refused(self):
        page = self.list(limit=5)
        with self.assertRaises(exception.InvalidInput) as caught:
            self.list(['name'], marker=page.marker)
        self.assertEqual('marker', caught.exception.name)

    def test_a_marker_holds_nothing_of_how_a_cell_is_reached(self):
        self.down.add(self.deployment.cells[1].uuid)
        page = self.list(limit=2)
        self.assertNotIn('secret', repr(page))
        for cell in self.deployment.cells:
            self.assertNotIn(cell.database_connection, repr(page))


class TestAbsentCells(helpers.ListingCase):
    def setUp(self):
        super().setUp()
        self.cell1, self.cell2, self.cell3 = self.deployment.cells
        for number in range(12):
            self.put(number % 3, thing(number, size=number), mapped=True)

    def test_a_cell_that_fails_is_named_and_left_out(self):
        self.down.add(self.cell2.uuid)
        page = self.list()
        self.assertEqual([0, 2, 3, 5, 6, 8, 9, 11], self.numbers(page))
        self.assertEqual([self.cell2.uuid], list(page.absent))
        failure = page.absent[self.cell2.uuid]
        self.assertEqual('cell2', failure.cell_name)
        self.assertIsInstance(failure.error, ConnectionError)
        self.assertEqual('ConnectionError', failure.reason)

    def test_who_needs_all_asks_for_a_complete_page(self):
        self.down.add(self.cell2.uuid)
        with self.assertRaises(exception.CellsFailed) as caught:
            self.list().complete()
        self.assertEqual(
            ({'cell2': 'ConnectionError'}, 2),
            (caught.exception.missing, caught.exception.answered),
        )

    def test_a_cell_that_comes_back_brings_first_what_was_missed(self):
        self.down.add(self.cell2.uuid)
        first = self.list(limit=4)
        self.assertEqual([0, 2, 3, 5], self.numbers(first))
        self.down.clear()
        second = self.list(limit=4, marker=first.marker)
        self.assertEqual([1, 4, 6, 7], self.numbers(second))
        third = self.list(limit=4, marker=second.marker)
        self.assertEqual([8, 9, 10, 11], self.numbers(third))
        self.assertIsNone(third.marker)

    def test_a_page_may_be_of_nothing_but_what_was_missed(self):
        self.down.add(self.cell2.uuid)
        first = self.list(limit=7)
        self.assertEqual([0, 2, 3, 5, 6, 8, 9], self.numbers(first))
        self.down.clear()
        second = self.list(limit=2, marker=first.marker)
        self.assertEqual([1, 4], self.numbers(second))
        third = self.list(limit=9, marker=second.marker)
        self.assertEqual([7, 10, 11], self.numbers(third))

    def test_a_cell_that_went_away_later_goes_on_where_it_was_left(self):
        first = self.list(limit=5)
        self.down.add(self.cell2.uuid)
        second = self.list(limit=2, marker=first.marker)
        self.assertEqual([5, 6], self.numbers(second))
        self.down = {self.cell3.uuid}
        third = self.list(limit=2, marker=second.marker)
        self.assertEqual([7, 9], self.numbers(third))
        self.down.clear()
        fourth = self.list(marker=third.marker)
        self.assertEqual([8, 10, 11], self.numbers(fourth))

    def test_what_is_left_of_an_absent_cell_can_be_had_at_the_end(self):
        self.down.add(self.cell2.uuid)
        page = self.list(limit=50)
        self.assertIsNotNone(page.marker)
        self.down.clear()
        rest = self.list(limit=50, marker=page.marker)
        self.assertEqual([1, 4, 7, 10], self.numbers(rest))
        self.assertIsNone(rest.marker)

    def test_the_list_ends_though_a_cell_stays_absent(self):
        self.down.add(self.cell2.uuid)
        pages = list(self.pages(limit=5))
        self.assertEqual(
            [[0, 2, 3, 5, 6], [8, 9, 11], []], list(map(self.numbers, pages))
        )
        self.assertTrue(all(self.cell2.uuid in page.absent for page in pages))
        # The marker that gave the empty page stays good.
        self.down.clear()
        rest = self.list(marker=pages[1].marker)
        self.assertEqual([1, 4, 7, 10], self.numbers(rest))

    def test_a_cell_that_fails_in_the_midst_keeps_what_it_gave(self):
        begun = threading.Event()
        read = self.things

        def fn(cctxt, sort_keys, sort_dirs, limit, after):
            if cctxt.cell_uuid == self.cell2.uuid and after is not None:
                begun.set()
                raise ConnectionError
            return read(cctxt, sort_keys, sort_dirs, limit, after)

        self.things = fn
        page = self.list(limit=9, batch=2)
        self.assertTrue(begun.is_set())
        self.assertEqual([0, 1, 2, 3, 4, 5, 6, 8, 9], self.numbers(page))
        self.assertEqual([self.cell2.uuid], list(page.absent))
        self.things = read
        rest = self.list(marker=page.marker)
        self.assertEqual([7, 10, 11], self.numbers(rest))

    def test_all_absent_is_no_empty_page(self):
        self.down.update(cell.uuid for cell in self.deployment.cells)
        with self.assertRaises(exception.CellsFailed) as caught:
            self.list()
        self.assertEqual(0, caught.exception.answered)
        self.assertNotIn('secret', str(caught.exception))

    def test_a_cell_that_cannot_be_targeted_is_absent(self):
        for number in (1, 4, 7, 10):
            self.router.instances.unmap(self.context(), uuid_of(number))
        self.router.cells.delete(self.cell2)
        page = self.list(cells=self.deployment.cells)
        self.assertIsInstance(
            page.absent[self.cell2.uuid].error, exception.CellMappingNotFound
        )

    def test_a_disabled_cell_is_absent_and_says_so(self):
        self.router.cells.update(self.cell2, state='disabled')
        page = self.list()
        self.assertEqual([0, 2, 3, 5, 6, 8, 9, 11], self.numbers(page))
        failure = page.absent[self.cell2.uuid]
        self.assertIsInstance(failure.error, exception.CellStateForbids)
        self.assertIn('disabled', failure.reason)
        self.assertNotIn('cell2', [call[0] for call in self.calls])

    def test_exceptions_of_any_make_are_kept_as_they_are(self):
        """Made again from their arguments, many would be a TypeError."""

        class Odd(Exception):
            def __init__(self, one, other):
                super().__init__()

        odd, read = Odd(1, 2), self.things

        def fn(cctxt, *page):
            if cctxt.cell_uuid == self.cell2.uuid:
                raise odd
            return read(cctxt, *page)

        self.things = fn
        self.assertIs(odd, self.list().absent[self.cell2.uuid].error)


class TestTime(helpers.ListingCase):
    def setUp(self):
        super().setUp()
        self.cell1, self.cell2, self.cell3 = self.deployment.cells
        for number in range(12):
            self.put(number % 3, thing(number, size=number))

    def hang(self, when=lambda after: True):
        """Cell2 hangs from now on, until the test is over."""
        over, read = self.until_the_end(), self.things

        def fn(cctxt, sort_keys, sort_dirs, limit, after):
            if cctxt.cell_uuid == self.cell2.uuid and when(after):
                over.wait()
            return read(cctxt, sort_keys, sort_dirs, limit, after)

        self.things = fn
        return over

    def test_first_pages_are_read_in_parallel(self):
        """One after the other, they would never all be there."""
        together = threading.Barrier(3, timeout=helpers.PATIENCE)
        read = self.things

        def fn(cctxt, *page):
            together.wait()
            return read(cctxt, *page)

        self.things = fn
        self.assertEqual({}, self.list(limit=4).absent)

    def test_a_cell_that_hangs_is_absent_when_the_time_is_over(self):
        over = self.hang()
        page = self.list(timeout=SHORT)
        self.assertFalse(over.is_set())
        self.assertEqual([0, 2, 3, 5, 6, 8, 9, 11], self.numbers(page))
        self.assertIn('2 s', page.absent[self.cell2.uuid].reason)

    def test_the_time_is_looked_at_also_between_rows(self):
        self.hang(when=lambda after: after is not None)
        page = self.list(timeout=SHORT, limit=9, batch=2)
        self.assertEqual([0, 1, 2, 3, 4, 5], self.numbers(page)[:6])
        self.assertEqual([self.cell2.uuid], list(page.absent))

    def test_a_short_page_rather_than_a_healthy_cell_called_absent(self):
        """The time went by for cell2; the others would have had more."""
        self.hang()
        page = self.list(timeout=SHORT, limit=9, batch=2)
        self.assertEqual([0, 2, 3], self.numbers(page)[:3])
        self.assertEqual([self.cell2.uuid], list(page.absent))
        self.assertLess(len(page.rows), 8)
        self.down.add(self.cell2.uuid)
        found = self.numbers(page)
        healthy = ['cell1', 'cell3']
        for rest in self.pages(cells=healthy, marker=page.marker):
            found += self.numbers(rest)
        self.assertEqual([0, 2, 3, 5, 6, 8, 9, 11], found)

    def test_a_marker_in_a_cell_that_hangs(self):
        self.router.instances.map(self.context(), uuid_of(4), self.cell2)
        self.hang()
        self.assertRaises(
            exception.MarkerUnavailable,
            self.list,
            marker=uuid_of(4),
            timeout=SHORT,
        )


class TestWhatIsNotSorted(helpers.ListingCase):
    """A hand-written function that keeps to no order makes no wrong page."""

    def setUp(self):
        super().setUp()
        self.rows = {
            cell.name: [thing(number, size=number)]
            for number, cell in enumerate(self.deployment.cells)
        }

        def fn(cctxt, sort_keys, sort_dirs, limit, after):
            return self.rows[self.names[cctxt.cell_uuid]]

        self.things = fn

    def refused(self, **options):
        with self.assertRaises(exception.ListingNotSorted) as caught:
            self.list(**options)
        self.assertIn("'cell2'", str(caught.exception))
        self.assertEqual('cell2', caught.exception.cell_name)
        return caught.exception.reason

    def test_rows_in_another_order(self):
        self.rows['cell2'] = [thing(5, size=5), thing(4, size=4)]
        self.assertIn('size asc, uuid asc', self.refused())

    def test_none_that_is_not_first(self):
        self.rows['cell2'] = [thing(5, size=5), thing(4, size=None)]
        self.assertIn('None', self.refused())

    def test_two_rows_with_one_unique_key(self):
        self.rows['cell2'] = [thing(5, size=5), thing(5, size=5)]
        self.assertIn('equal in all of size, uuid', self.refused())

    def test_rows_that_begin_too_early(self):
        self.rows['cell1'] = self.rows['cell3'] = []
        page = self.list(limit=1, batch=1, cells=['cell1', 'cell3'])
        self.assertEqual([], page.rows)
        self.rows['cell2'] = [thing(5, size=5), thing(6, size=6)]
        self.assertIn('begin after', self.refused(limit=5, batch=2))

    def test_rows_without_a_sort_key(self):
        self.rows['cell2'] = [{'uuid': uuid_of(1)}]
        self.assertIn("'size'", self.refused())

    def test_rows_that_are_no_mappings(self):
        self.rows['cell2'] = [(1, 2)]
        self.assertIn('tuple', self.refused())

    def test_values_without_an_order(self):
        self.rows['cell2'] = [thing(1, size={})]
        self.assertIn('dict', self.refused())

    def test_values_of_other_types_than_in_other_cells(self):
        self.rows['cell2'] = [thing(1, size='1')]
        with self.assertRaises(exception.ListingNotSorted) as caught:
            self.list()
        self.assertIn('size asc', caught.exception.reason)


class TestRowByRow(helpers.ListingCase):
    def setUp(self):
        super().setUp()
        self.cell1, self.cell2, self.cell3 = self.deployment.cells

    def fill(self, count):
        for number in range(3):
            self.put(
                number, *[thing(n, size=n) for n in range(number, count, 3)]
            )

    def rows(self, **options):
        return self.router.iter_sorted(
            self.context(), self.things, sort_keys=['size'], **options
        )

    def test_all_rows_in_order(self):
        self.fill(50)
        with self.rows(batch=4) as rows:
            self.assertEqual(list(range(50)), [row['size'] for row in rows])
        self.assertEqual({}, rows.absent)

    def test_memory_does_not_grow_with_the_number_of_rows(self):
        """What is read and not used yet is two batches of each cell."""
        self.fill(300)
        handed, ahead = [], []
        read = self.things

        def fn(cctxt, *page):
            found = read(cctxt, *page)
            handed.extend(found)
            return found

        self.things = fn
        for used, _ in enumerate(self.rows(batch=5)):
            ahead.append(len(handed) - used)
        self.assertEqual(300, len(handed))
        self.assertLessEqual(max(ahead), 3 * 2 * 5)

    def test_more_is_read_before_it_is_needed(self):
        self.fill(60)
        rows = self.rows(batch=8, cells=['cell1'])
        for _ in range(4):
            next(rows)
        databases.poll_until(
            lambda: len(self.calls) == 2, 'nothing was read ahead'
        )
        rows.close()
        self.assertEqual(('cell1', 8), self.calls[1][:2])

    def test_it_can_go_on_later(self):
        self.fill(20)
        rows = self.rows(batch=3)
        first = [next(rows)['size'] for _ in range(7)]
        marker = rows.marker
        rows.close()
        rest = [row['size'] for row in self.rows(marker=marker)]
        self.assertEqual(list(range(20)), first + rest)

    def test_it_raises_before_rows_are_missed(self):
        self.fill(20)
        self.down.add(self.cell2.uuid)
        rows = self.rows()
        self.assertRaises(exception.CellsFailed, next, rows)

    def test_it_raises_at_the_row_that_is_missing(self):
        self.fill(20)
        rows = self.rows(batch=2)
        found = [next(rows)['size'] for _ in range(3)]
        self.down.add(self.cell2.uuid)

        def rest():
            found.extend(row['size'] for row in rows)

        self.assertRaises(exception.CellsFailed, rest)
        # Cell2 may have been asked for its next two by then.
        self.assertEqual(list(range(len(found))), found)
        self.assertLess(len(found), 14)

    def test_it_can_go_on_where_it_raised(self):
        self.fill(20)
        rows = self.rows(batch=2)
        found = [next(rows)['size'] for _ in range(3)]
        self.down.add(self.cell2.uuid)
        with testtools.ExpectedException(exception.CellsFailed):
            found.extend(row['size'] for row in rows)
        self.down.clear()
        rest = [row['size'] for row in self.rows(marker=rows.marker)]
        self.assertEqual(list(range(20)), found + rest)

    def test_one_that_is_forgotten_waits_for_no_lock(self):
        """It is collected in any thread, also in one that holds the lock."""
        self.fill(60)
        rows = self.rows(batch=8, cells=['cell1'])
        over = self.until_the_end()
        read = self.things

        def fn(*page):
            over.wait(helpers.PATIENCE)
            return read(*page)

        for _ in range(3):
            next(rows)
        rows._merge._reader._fn = fn
        next(rows)  # Now the next ones are asked for.
        pool = rows._merge._streams[self.cell1.uuid].pending._pool
        collected = threading.Event()
        held = weakref.ref(rows)

        def collect():
            with pool.lock:
                gc.collect()
                collected.set()

        del rows
        thread = threading.Thread(target=collect, daemon=True)
        thread.start()
        if not collected.wait(helpers.PATIENCE):
            pool.lock.release()  # Else nothing here would ever end.
            self.fail('it waits for a lock that its own thread holds')
        self.assertIsNone(held())

    def test_it_goes_on_without_a_cell_where_that_is_asked_for(self):
        self.fill(9)
        self.down.add(self.cell2.uuid)
        rows = self.rows(partial=True)
        self.assertEqual([0, 2, 3, 5, 6, 8], [row['size'] for row in rows])
        self.assertEqual([self.cell2.uuid], list(rows.absent))
        self.down.clear()
        rest = self.rows(marker=rows.marker)
        self.assertEqual([1, 4, 7], [row['size'] for row in rest])

    def test_all_absent_is_no_end(self):
        self.down.update(cell.uuid for cell in self.deployment.cells)
        rows = self.rows(partial=True)
        self.assertRaises(exception.CellsFailed, next, rows)

    def test_nothing_is_begun_after_it_is_closed(self):
        self.fill(60)
        rows = self.rows(batch=4)
        next(rows)
        rows.close()
        self.assertEqual([], list(rows))
