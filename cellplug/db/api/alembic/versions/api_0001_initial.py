"""Cells, instance mappings, quotas, and how far migrations have come."""

from __future__ import annotations

import sqlalchemy as sa

from cellplug.db import migrating
from cellplug.db import tables

revision = 'api_0001'
down_revision = None
branch_labels = None
depends_on = None


def _create(name: str, *items: sa.schema.SchemaItem) -> None:
    migrating.create_table(
        name,
        sa.Column('id', tables.BigId, autoincrement=True, nullable=False),
        *items,
        sa.Column('created_at', tables.utc_type(), nullable=False),
        sa.Column('updated_at', tables.utc_type(), nullable=True),
        sa.PrimaryKeyConstraint('id', name=f'pk_{name}'),
    )


def _string(name: str, length: int = 255) -> sa.Column[str]:
    return sa.Column(name, tables.ExactString(length), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    """Every step finds out whether it was done before."""
    _mappings()
    _limits()
    _usages()
    _create(
        'migration_state',
        _string('job'),
        _string('cell_uuid', 36),
        sa.Column('marker', sa.Text, nullable=True),
        _string('state', 32),
        sa.UniqueConstraint(
            'job', 'cell_uuid', name='uq_migration_state_job_cell_uuid'
        ),
    )


def _mappings() -> None:
    digest = tables.ExactString(64, fixed=True)
    _create(
        'cell_mapping',
        _string('uuid', 36),
        _string('name'),
        sa.Column('database_connection', sa.Text, nullable=False),
        sa.Column('slave_connection', sa.Text, nullable=True),
        sa.Column('transport_url', sa.Text, nullable=False),
        sa.Column('database_digest', digest, nullable=False),
        sa.Column('transport_digest', digest, nullable=True),
        _string('state', 16),
        _number('generation'),
        sa.UniqueConstraint('uuid', name='uq_cell_mapping_uuid'),
        sa.UniqueConstraint('name', name='uq_cell_mapping_name'),
        sa.UniqueConstraint(
            'database_digest', name='uq_cell_mapping_database_digest'
        ),
        sa.UniqueConstraint(
            'transport_digest', name='uq_cell_mapping_transport_digest'
        ),
    )
    _create(
        'instance_mapping',
        _string('instance_uuid', 36),
        _string('cell_uuid', 36),
        _string('project_id'),
        sa.Column('user_id', tables.ExactString(255), nullable=True),
        _number('generation'),
        sa.UniqueConstraint(
            'instance_uuid', name='uq_instance_mapping_instance_uuid'
        ),
    )
    migrating.create_index(
        'ix_instance_mapping_project_id_cell_uuid',
        'instance_mapping',
        ['project_id', 'cell_uuid'],
    )
    migrating.create_index(
        'ix_instance_mapping_cell_uuid', 'instance_mapping', ['cell_uuid']
    )


def _limits() -> None:
    _create(
        'quotas',
        _string('project_id'),
        _string('resource'),
        _number('hard_limit'),
        sa.UniqueConstraint(
            'project_id', 'resource', name='uq_quotas_project_id_resource'
        ),
    )
    _create(
        'project_user_quotas',
        _string('project_id'),
        _string('user_id'),
        _string('resource'),
        _number('hard_limit'),
        sa.UniqueConstraint(
            'project_id',
            'user_id',
            'resource',
            name='uq_project_user_quotas_project_id_user_id_resource',
        ),
    )
    _create(
        'quota_classes',
        _string('class_name'),
        _string('resource'),
        _number('hard_limit'),
        sa.UniqueConstraint(
            'class_name',
            'resource',
            name='uq_quota_classes_class_name_resource',
        ),
    )


def _usages() -> None:
    _create(
        'quota_usages',
        _string('project_id'),
        _string('user_id'),
        _string('resource'),
        _number('in_use'),
        _number('reserved'),
        sa.Column('until_refresh', sa.Integer, nullable=True),
        sa.Column('refreshed_at', tables.utc_type(), nullable=True),
        sa.Column('refresh_due', sa.Boolean, nullable=False),
        _number('version'),
        sa.UniqueConstraint(
            'project_id',
            'user_id',
            'resource',
            name='uq_quota_usages_project_id_user_id_resource',
        ),
    )
    _create(
        'reservations',
        _string('uuid', 36),
        _number('usage_id'),
        _number('delta'),
        _number('expire'),
        sa.UniqueConstraint(
            'uuid', 'usage_id', name='uq_reservations_uuid_usage_id'
        ),
    )
    migrating.create_index(
        'ix_reservations_expire', 'reservations', ['expire']
    )
    migrating.create_index(
        'ix_reservations_usage_id', 'reservations', ['usage_id']
    )
