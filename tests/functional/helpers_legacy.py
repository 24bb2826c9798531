"""Cells with limits from before the API database, in Nova's tables.

They are made and looked at past cellplug, on a connection of the test's own.
"""

from __future__ import annotations

import types

import sqlalchemy as sa

from cellplug.db import tables as tables_
from cellplug.db.api import models
from cellplug_drivers.quota.database import limits
from tests.functional import helpers_deployment as helpers

WHOSE = {
    'quotas': ('project_id',),
    'project_user_quotas': ('project_id', 'user_id'),
    'quota_classes': ('class_name',),
}
_USAGES = {
    'quota_usages': ('in_use', 'reserved', 'until_refresh'),
    'reservations': ('usage_id', 'delta'),
}


def tables(deleted=sa.Integer, limit=sa.Integer):
    """Nova's tables.

    :param deleted: the type of the column, None to have none.
    """
    metadata = sa.MetaData()
    for name, owners in WHOSE.items():
        sa.Table(
            name,
            metadata,
            *_common(deleted),
            *(sa.Column(owner, sa.String(300)) for owner in owners),
            sa.Column('resource', sa.String(300)),
            sa.Column('hard_limit', limit, nullable=True),
            mysql_charset='utf8mb3',
        )
    for name, numbers in _USAGES.items():
        sa.Table(
            name,
            metadata,
            *_common(deleted),
            *(sa.Column(number, sa.Integer) for number in numbers),
            sa.Column('project_id', sa.String(255)),
            sa.Column('resource', sa.String(255)),
        )
    return metadata


def _common(deleted):
    columns = [
        sa.Column('id', sa.Integer, primary_key=True),
        sa.Column('created_at', sa.DateTime),
        sa.Column('updated_at', sa.DateTime),
        sa.Column('deleted_at', sa.DateTime),
    ]
    if deleted is not None:
        columns.append(sa.Column('deleted', deleted))
    return columns


class Legacy:
    """The old tables of one cell.

    :param url: of its database.
    :param live: what ``deleted`` is where a row lives.
    """

    def __init__(self, url, deleted=sa.Integer, limit=sa.Integer, live=0):
        self.url = url
        self.metadata = tables(deleted, limit)
        self._live = {} if deleted is None else {'deleted': live}
        with helpers.past_cellplug(self.url) as connection:
            self.metadata.create_all(connection)

    def add(self, table, owner, resource, hard_limit, **values):
        """A limit; its id."""
        owners = dict(zip(WHOSE[table], _tuple(owner), strict=True))
        row = {
            **owners,
            'resource': resource,
            'hard_limit': hard_limit,
            'created_at': tables_.utcnow(),
            **self._live,
            **values,
        }
        statement = sa.insert(self.metadata.tables[table]).values(**row)
        with helpers.past_cellplug(self.url) as connection:
            return connection.execute(statement).inserted_primary_key[0]

    def rows(self, table, *, deleted=False):
        """The limits that stand, by id; or all, also those deleted softly."""
        source = self.metadata.tables[table]
        statement = sa.select(source).order_by(source.c.id)
        with helpers.past_cellplug(self.url) as connection:
            found = connection.execute(statement).mappings().all()
        return {
            row['id']: (
                *(row[name] for name in WHOSE[table]),
                row['resource'],
                row['hard_limit'],
            )
            for row in found
            if deleted or row.get('deleted') in (None, 0, False, '')
        }

    def execute(self, statement):
        with helpers.past_cellplug(self.url) as connection:
            return connection.execute(sa.text(statement))

    def drop(self, table):
        self.execute(f'DROP TABLE {table}')


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)


class LegacyTestCase(helpers.DeploymentTestCase):
    """Gives ``self.deploy_legacy()`` and a look at the API database."""

    def deploy_legacy(self, cells=2, fallback=None, **tables_):
        """Cells with old tables, all of them to be asked.

        :param fallback: the names of those to be asked.
        """
        self.deploy(cells)
        self.legacy = [
            Legacy(cell.database_connection, **tables_)
            for cell in self.deployment.cells
        ]
        names = [cell.name for cell in self.deployment.cells]
        self.limits = self.new_limits(names if fallback is None else fallback)
        return self.legacy

    def new_limits(self, cells):
        """The limits of a driver that looks into these cells."""
        options = types.SimpleNamespace(fallback_cells=cells)
        return limits.Limits(options, self.router._parts.host)

    def api_rows(self, table):
        """What the API database holds of a table, by key."""
        source = models.METADATA.tables[table]
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            found = connection.execute(sa.select(source)).mappings().all()
        return {
            (*(row[name] for name in WHOSE[table]), row['resource']): row[
                'hard_limit'
            ]
            for row in found
        }

    def states(self):
        """{(job, cell's name): (marker, state)} of what is noted."""
        source = models.migration_state
        names = {cell.uuid: cell.name for cell in self.deployment.cells}
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            found = connection.execute(sa.select(source)).mappings().all()
        return {
            (row['job'], names.get(row['cell_uuid'], row['cell_uuid'])): (
                row['marker'],
                row['state'],
            )
            for row in found
        }

    def marks(self):
        """(table, cell's name) of what is marked as empty."""
        return {
            key
            for key, (_, state) in self.states().items()
            if state == 'empty'
        }

    def break_cell(self, name):
        """Let a cell's database be one that nobody reaches."""
        (cell,) = (one for one in self.deployment.cells if one.name == name)
        url = {
            'sqlite': 'sqlite:////nowhere/at/all.db',
            'mariadb': 'mysql+pymysql://u:p@127.0.0.1:9/nowhere',
            'postgresql': 'postgresql+psycopg://u:p@127.0.0.1:9/nowhere',
        }[self.backend]
        source = models.cell_mapping
        self._write_api(
            sa.update(source)
            .where(source.c.uuid == cell.uuid)
            .values(
                database_connection=url, generation=source.c.generation + 1
            )
        )
        return cell

    def mend_cell(self, cell):
        source = models.cell_mapping
        self._write_api(
            sa.update(source)
            .where(source.c.uuid == cell.uuid)
            .values(
                database_connection=cell.database_connection,
                generation=source.c.generation + 1,
            )
        )

    def _write_api(self, statement):
        with helpers.past_cellplug(self.deployment.api_url) as connection:
            connection.execute(statement)
