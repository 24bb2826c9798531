"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cellplug.db import migrating
from cellplug.db import tables
${imports if imports else ''}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Every step finds out whether it was done before."""
    ${upgrades if upgrades else 'pass'}
