"""Alembic runs this; :mod:`cellplug.db.schema` runs Alembic."""

from __future__ import annotations

from alembic import context

from cellplug.db import migrating

migrating.run(context)
