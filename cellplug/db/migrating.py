"""What a migration may use beside Alembic: steps that can be repeated.

MariaDB and MySQL commit every change of a table at once, so a migration that
was interrupted finds what it did before. It may also find a table of the same
name that is not cellplug's; then it stops.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cellplug import exception
from cellplug.db import tables


def create_table(name: str, *items: sa.schema.SchemaItem) -> None:
    """Create a table, unless an interrupted run has done so.

    :raises SchemaMissing: if there is another table of this name.
    """
    inspector = sa.inspect(op.get_bind())
    if inspector.has_table(name):
        found = {column['name'] for column in inspector.get_columns(name)}
        wanted = {item.name for item in items if isinstance(item, sa.Column)}
        if found != wanted:
            raise exception.SchemaMissing(
                'the database',
                hint=f'its table {name!r} is not the one of cellplug and '
                'stands in the way; use a database without it',
            )
        return
    op.create_table(name, *items, **tables.table_options())


def create_index(name: str, table: str, columns: list[str]) -> None:
    """Create an index, unless an interrupted run has done so."""
    inspector = sa.inspect(op.get_bind())
    if not any(
        found['name'] == name for found in inspector.get_indexes(table)
    ):
        op.create_index(name, table, columns)


def run(context: Any) -> None:
    """Run the migrations; the body of each ``env.py``.

    :param context: Alembic's environment context.
    """
    schema = context.config.attributes['schema']
    metadata = schema.metadata()

    def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != 'table' or name in metadata.tables

    context.configure(
        connection=context.config.attributes['connection'],
        target_metadata=metadata,
        version_table=schema.version_table,
        include_name=is_ours,
        compare_type=True,
        compare_server_default=True,
    )
    context.run_migrations()
