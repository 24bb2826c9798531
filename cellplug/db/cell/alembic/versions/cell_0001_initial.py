"""The identity of the cell, and the routes of its instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cellplug.db import migrating
from cellplug.db import tables

revision = 'cell_0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every step finds out whether it was done before."""
    migrating.create_table(
        'cell_identity',
        sa.Column('id', sa.Integer, autoincrement=False, nullable=False),
        sa.Column('cell_uuid', tables.ExactString(36), nullable=False),
        sa.Column('claim_state', tables.ExactString(16), nullable=False),
        sa.Column('created_at', tables.utc_type(), nullable=False),
        sa.Column('updated_at', tables.utc_type(), nullable=True),
        sa.PrimaryKeyConstraint('id', name='pk_cell_identity'),
        sa.CheckConstraint('id = 1', name=op.f('ck_cell_identity_one_row')),
        sa.CheckConstraint(
            "claim_state IN ('pending', 'claimed')",
            name=op.f('ck_cell_identity_claim_state'),
        ),
    )
    migrating.create_table(
        'cell_route',
        sa.Column('instance_uuid', tables.ExactString(36), nullable=False),
        sa.Column('generation', sa.BigInteger, nullable=False),
        sa.Column('state', tables.ExactString(16), nullable=False),
        sa.PrimaryKeyConstraint('instance_uuid', name='pk_cell_route'),
        sa.CheckConstraint(
            "state IN ('here', 'leaving', 'gone')",
            name=op.f('ck_cell_route_state'),
        ),
    )
