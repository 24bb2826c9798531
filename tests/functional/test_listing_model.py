"""Sorted lists against a model: random rows, keys, pages and events.

What a list over many cells must be, is what one table with all the rows gives:
sorted by a rule that is written here a second time, in another way, and cut
where the page before ended. Rows come and go between pages, and cells are down
for some of them.
"""

from __future__ import annotations

import functools
import random

import hypothesis
import sqlalchemy as sa
from hypothesis import strategies

from tests.functional import helpers_listing as helpers

THING = helpers.THING
CELLS = 4

WORDS = strategies.one_of(
    strategies.none(),
    strategies.sampled_from(['', ' ', 'A', 'a', 'a ', 'B', 'b', 'é', '😀']),
    strategies.text(
        # No surrogates, which are no characters, and no NUL, which
        # PostgreSQL's strings cannot hold.
        strategies.characters(codec='utf-8', exclude_characters='\0'),
        max_size=3,
    ),
)
SIZES = strategies.one_of(strategies.none(), strategies.integers(-2, 2))
ROW = strategies.fixed_dictionaries(
    {
        'cell': strategies.integers(0, CELLS - 1),
        'name': WORDS,
        'size': SIZES,
        'hidden': strategies.sampled_from([False, False, False, True]),
    }
)
KEYS = strategies.lists(
    strategies.sampled_from(['name', 'size', 'uuid']),
    unique=True,
    max_size=3,
)


def compare(one, other, keys):
    """Less than 0 where the first row comes first."""
    for name, direction in keys:
        a, b = (helpers.sort_key(row[name]) for row in (one, other))
        if a != b:
            sign = -1 if a < b else 1
            return sign if direction == 'asc' else -sign
    return 0


class Model:
    """All rows as one table, and how far each cell's were given out.

    :ivar rows: by uuid; each with the index of its cell.
    """

    def __init__(self, keys):
        self.keys = keys
        self.rows = {}
        self.place = [None] * CELLS

    def ahead(self, up):
        """What is left of the cells that are up, in order."""
        found = [
            row
            for row in self.rows.values()
            if row['cell'] in up
            and not row['hidden']
            and self._is_ahead(row, self.place[row['cell']])
        ]
        return sorted(
            found,
            key=functools.cmp_to_key(lambda a, b: compare(a, b, self.keys)),
        )

    def _is_ahead(self, row, place):
        return place is None or compare(row, place, self.keys) > 0

    def give(self, page, up):
        """These rows were given out: the cells that were up are so far."""
        for cell in up if page else ():
            if self._is_ahead(page[-1], self.place[cell]):
                self.place[cell] = page[-1]


class ModelCase(helpers.ListingCase):
    cells = CELLS

    def setUp(self):
        super().setUp()
        self.engines = [
            sa.create_engine(
                cell.database_connection,
                connect_args=(
                    {'ssl_disabled': True}
                    if cell.database_connection.startswith('mysql')
                    else {}
                ),
            )
            for cell in self.deployment.cells
        ]
        for engine in self.engines:
            self.addCleanup(engine.dispose)

    def begin(self, data):
        """An example: an order, a page size, and some rows."""
        for engine in self.engines:
            with engine.begin() as connection:
                connection.execute(sa.delete(THING))
        self.down.clear()
        seed = data.draw(strategies.integers(0, 999))
        self.fresh = iter(random.Random(seed).sample(range(999), 999))
        self.sort_keys = data.draw(KEYS)
        self.sort_dirs = [
            data.draw(strategies.sampled_from(['asc', 'desc']))
            for _ in self.sort_keys
        ]
        keys = list(zip(self.sort_keys, self.sort_dirs, strict=True))
        if 'uuid' not in self.sort_keys:
            keys.append(('uuid', keys[-1][1] if keys else 'asc'))
        self.options = {
            'sort_dirs': self.sort_dirs,
            'limit': data.draw(strategies.integers(1, 9)),
            'batch': data.draw(
                strategies.one_of(strategies.none(), strategies.integers(1, 4))
            ),
        }
        self.model = Model(keys)
        self.put_some(data, 40)

    def put_some(self, data, most):
        """Put new rows into the cells and the model."""
        for row in data.draw(strategies.lists(ROW, max_size=most)):
            new = helpers.thing(next(self.fresh), **row)
            self.model.rows[new['uuid']] = new
            values = {k: v for k, v in new.items() if k != 'cell'}
            with self.engines[new['cell']].begin() as connection:
                connection.execute(sa.insert(THING), values)

    def take_away(self, data):
        """Delete some rows there and here; also those just given out."""
        if not self.model.rows:
            return
        chosen = strategies.sampled_from(sorted(self.model.rows))
        for uuid in set(data.draw(strategies.lists(chosen, max_size=5))):
            row = self.model.rows.pop(uuid)
            with self.engines[row['cell']].begin() as connection:
                connection.execute(
                    sa.delete(THING).where(THING.c.uuid == uuid)
                )

    def next_page(self, marker, up):
        cells = self.deployment.cells
        self.down = {cells[c].uuid for c in range(CELLS) if c not in up}
        return self.list(self.sort_keys, marker=marker, **self.options)

    def assertPage(self, page, up):
        """The page is the model's next one; how many rows it has."""
        wanted = self.model.ahead(up)[: self.options['limit']]
        self.assertEqual(
            [(row['uuid'], row['cell']) for row in wanted],
            [(row['uuid'], self.cell_of(row)) for row in page.rows],
        )
        self.model.give(wanted, up)
        self.assertEqual(self.down, set(page.absent))

    def cell_of(self, row):
        uuids = [cell.uuid for cell in self.deployment.cells]
        return uuids.index(row['cell_uuid'])

    def list_all(self, data):
        """Pages to the end, while rows come and go."""
        self.begin(data)
        everywhere = range(CELLS)
        marker, first = None, True
        while first or marker is not None:
            page = self.next_page(marker, everywhere)
            self.assertPage(page, everywhere)
            left = self.model.ahead(everywhere)
            self.assertEqual(bool(left), page.marker is not None)
            marker, first = page.marker, False
            self.put_some(data, 3)
            self.take_away(data)

    def list_while_cells_are_down(self, data):
        """Pages while cells come and go, and the rest when all are up.

        All in all, each row is given exactly once.
        """
        self.begin(data)
        cells = strategies.sets(strategies.integers(0, CELLS - 1), min_size=1)
        given, marker = [], None
        downs = data.draw(strategies.integers(0, 6))
        everywhere = set(range(CELLS))
        for up in [
            *(data.draw(cells) for _ in range(downs)),
            *[everywhere] * 99,
        ]:
            page = self.next_page(marker, up)
            self.assertPage(page, up)
            given += page.rows
            if page.marker is None:
                self.assertEqual([], self.model.ahead(up))
                if page.rows or up == everywhere:
                    break
            # An empty page ends the list of the cells that are up; the
            # marker that gave it is still good.
            marker = page.marker or marker
        self.assertEqual(
            sorted(u for u, r in self.model.rows.items() if not r['hidden']),
            sorted(row['uuid'] for row in given),
        )


def settings(examples):
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


class TestOnSqlite(ModelCase):
    backend = 'sqlite'

    @settings(80)
    @hypothesis.given(strategies.data())
    def test_many_cells_are_as_one_database(self, data):
        self.list_all(data)

    @settings(80)
    @hypothesis.given(strategies.data())
    def test_no_row_is_lost_or_twice_while_cells_are_down(self, data):
        self.list_while_cells_are_down(data)


class TestOnMariaDB(ModelCase):
    backend = 'mariadb'

    @settings(15)
    @hypothesis.given(strategies.data())
    def test_many_cells_are_as_one_database(self, data):
        self.list_all(data)


class TestOnPostgreSQL(ModelCase):
    backend = 'postgresql'

    @settings(15)
    @hypothesis.given(strategies.data())
    def test_many_cells_are_as_one_database(self, data):
        self.list_all(data)
