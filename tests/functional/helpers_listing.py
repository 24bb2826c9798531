"""Deployments with a table to list, and what one database would give."""

from __future__ import annotations

import datetime
import functools
import threading

import sqlalchemy as sa

import cellplug
from tests.functional import helpers_deployment as helpers

PATIENCE = helpers.PATIENCE
METADATA = sa.MetaData()
THING = sa.Table(
    'thing',
    METADATA,
    sa.Column('uuid', sa.String(36), primary_key=True),
    sa.Column('name', sa.String(64)),
    sa.Column('size', sa.Integer),
    sa.Column('price', sa.Numeric(20, 4)),
    sa.Column('weight', sa.Double),
    sa.Column('seen', sa.DateTime),
    sa.Column('data', sa.LargeBinary(64)),
    sa.Column('hidden', sa.Boolean, nullable=False, default=False),
    mysql_charset='utf8mb4',
)
EPOCH = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 (databases hold such)


def uuid_of(number):
    """The uuids' order is that of the numbers."""
    return f'{number:08x}-0000-4000-8000-000000000000'


def thing(number, **values):
    return {'uuid': uuid_of(number), 'hidden': False, **values}


def sort_key(value):
    """None is the least; strings go by their bytes."""
    if isinstance(value, str):
        value = value.encode()
    return (value is not None, 0 if value is None else value)


def as_one(rows, sort_keys, sort_dirs=None):
    """The rows as one database has them: sorted by one key after the other.

    Written otherwise than cellplug does it: stable, the last key first.
    """
    directions = sort_dirs or ['asc'] * len(sort_keys)
    pairs = list(zip(sort_keys, directions, strict=True))
    if 'uuid' not in sort_keys:
        pairs.append(('uuid', directions[-1] if directions else 'asc'))
    rows = list(rows)
    for name, direction in reversed(pairs):
        rows.sort(
            key=lambda row, name=name: sort_key(row[name]),
            reverse=direction == 'desc',
        )
    return rows


class ListingCase(helpers.DeploymentTestCase):
    """Three cells with the table; ``self.things`` is the service's function.

    :ivar down: uuids of cells in which it raises.
    :ivar calls: of the function: cell name, limit, and the values after which
        rows start.
    """

    cells = 3
    as_stored: tuple[str, ...] = ()

    def setUp(self):
        super().setUp()
        self.deploy(self.cells)
        for cell in self.deployment.cells:
            with helpers.past_cellplug(cell.database_connection) as past:
                METADATA.create_all(past)
        self.down = set()
        self.calls = []
        self.names = {c.uuid: c.name for c in self.deployment.cells}
        self.things = self.reading(
            sa.select(THING).where(THING.c.hidden.is_(False))
        )

    def reading(self, select, **options):
        """The service's function for a select."""
        read = self.database.reader.single(
            cellplug.sorted_select(
                select, **{'as_stored': self.as_stored, **options}
            )
        )

        @functools.wraps(read)
        def fn(cctxt, sort_keys, sort_dirs, limit, after):
            self.calls.append((self.names[cctxt.cell_uuid], limit, after))
            if cctxt.cell_uuid in self.down:
                raise ConnectionError('mysql://u:secret@down/')
            return read(cctxt, sort_keys, sort_dirs, limit, after)

        return fn

    def put(self, cell, *rows, mapped=False):
        """Store rows in a cell, past cellplug."""
        cell = self.deployment.cells[cell]
        with helpers.past_cellplug(cell.database_connection) as past:
            for row in rows:
                past.execute(sa.insert(THING), row)
        if mapped:
            context = self.context()
            for row in rows:
                self.router.instances.map(context, row['uuid'], cell)

    def remove(self, *uuids):
        for cell in self.deployment.cells:
            with helpers.past_cellplug(cell.database_connection) as past:
                past.execute(sa.delete(THING).where(THING.c.uuid.in_(uuids)))

    def list(self, sort_keys=('size',), **options):
        return self.router.list_sorted(
            self.context(), self.things, sort_keys=list(sort_keys), **options
        )

    def pages(self, sort_keys=('size',), **options):
        """All pages, each by the marker of the one before."""
        marker = options.pop('marker', None)
        while True:
            page = self.list(sort_keys, marker=marker, **options)
            yield page
            marker = page.marker
            if marker is None:
                return

    def numbers(self, page):
        """Which rows a page has."""
        return [int(row['uuid'][:8], 16) for row in page.rows]

    def until_the_end(self):
        """An event, set when the test is over."""
        over = threading.Event()
        self.addCleanup(over.set)
        return over
