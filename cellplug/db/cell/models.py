"""cellplug's own tables in a cell's database."""

from __future__ import annotations

import sqlalchemy as sa

from cellplug.db import tables

METADATA = tables.metadata()

cell_identity = sa.Table(
    'cell_identity',
    METADATA,
    sa.Column('id', sa.Integer, primary_key=True, autoincrement=False),
    tables.uuid_column('cell_uuid'),
    sa.Column('claim_state', tables.ExactString(16), nullable=False),
    *tables.timestamps(),
    sa.CheckConstraint('id = 1', name='one_row'),
    sa.CheckConstraint(
        "claim_state IN ('pending', 'claimed')", name='claim_state'
    ),
    **tables.table_options(),
)
"""Whose database this is: at most one row."""

cell_route = sa.Table(
    'cell_route',
    METADATA,
    tables.uuid_column('instance_uuid', primary_key=True),
    sa.Column('generation', sa.BigInteger, nullable=False),
    sa.Column('state', tables.ExactString(16), nullable=False),
    sa.CheckConstraint("state IN ('here', 'leaving', 'gone')", name='state'),
    **tables.table_options(),
)
"""Which instances have moved; an absent row means: never."""
