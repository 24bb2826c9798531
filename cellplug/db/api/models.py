"""The tables of the API database.

No column of a key is nullable, but a transport's digest: a cell without a
queue has none. Times are UTC without a zone. Every string that is compared
does so byte for byte.
"""

from __future__ import annotations

import sqlalchemy as sa

from cellplug.db import tables

METADATA = tables.metadata()


def _table(name: str, *items: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        sa.Column('id', tables.BigId, primary_key=True, autoincrement=True),
        *items,
        *tables.timestamps(),
        **tables.table_options(),
    )


def _string(name: str, length: int = 255) -> sa.Column[str]:
    return sa.Column(name, tables.ExactString(length), nullable=False)


def _digest(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(
        name, tables.ExactString(64, fixed=True), nullable=nullable
    )


def _number(name: str, default: int | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, default=default)


cell_mapping = _table(
    'cell_mapping',
    tables.uuid_column('uuid'),
    _string('name'),
    sa.Column('database_connection', sa.Text, nullable=False),
    sa.Column('slave_connection', sa.Text, nullable=True),
    sa.Column('transport_url', sa.Text, nullable=False),
    _digest('database_digest'),
    _digest('transport_digest', nullable=True),
    _string('state', 16),
    _number('generation'),
    sa.UniqueConstraint('uuid'),
    sa.UniqueConstraint('name'),
    sa.UniqueConstraint('database_digest'),
    sa.UniqueConstraint('transport_digest'),
)

instance_mapping = _table(
    'instance_mapping',
    tables.uuid_column('instance_uuid'),
    tables.uuid_column('cell_uuid'),
    _string('project_id'),
    sa.Column('user_id', tables.ExactString(255), nullable=True),
    _number('generation'),
    sa.UniqueConstraint('instance_uuid'),
    sa.Index(None, 'project_id', 'cell_uuid'),
    sa.Index(None, 'cell_uuid'),
)

quotas = _table(
    'quotas',
    _string('project_id'),
    _string('resource'),
    _number('hard_limit'),
    sa.UniqueConstraint('project_id', 'resource'),
)

project_user_quotas = _table(
    'project_user_quotas',
    _string('project_id'),
    _string('user_id'),
    _string('resource'),
    _number('hard_limit'),
    sa.UniqueConstraint('project_id', 'user_id', 'resource'),
)

quota_classes = _table(
    'quota_classes',
    _string('class_name'),
    _string('resource'),
    _number('hard_limit'),
    sa.UniqueConstraint('class_name', 'resource'),
)

quota_usages = _table(
    'quota_usages',
    _string('project_id'),
    _string('user_id'),
    _string('resource'),
    _number('in_use', default=0),
    _number('reserved', default=0),
    sa.Column('until_refresh', sa.Integer, nullable=True),
    sa.Column('refreshed_at', tables.utc_type(), nullable=True),
    sa.Column('refresh_due', sa.Boolean, nullable=False, default=False),
    _number('version', default=0),
    sa.UniqueConstraint('project_id', 'user_id', 'resource'),
)

reservations = _table(
    'reservations',
    tables.uuid_column('uuid'),
    _number('usage_id'),
    _number('delta'),
    _number('expire'),
    sa.UniqueConstraint('uuid', 'usage_id'),
    sa.Index(None, 'expire'),
    sa.Index(None, 'usage_id'),
)

migration_state = _table(
    'migration_state',
    _string('job'),
    sa.Column('cell_uuid', tables.ExactString(36), nullable=False),
    sa.Column('marker', sa.Text, nullable=True),
    _string('state', 32),
    sa.UniqueConstraint('job', 'cell_uuid'),
)
