"""Alembic without an ini file, and what its migrations may use beside it.

MariaDB and MySQL commit every change of a table at once, so a migration that
was interrupted finds what it did before: each step can be repeated. It may
also find a table of the same name that is not cellplug's; then it stops.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import pathlib
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic import config as alembic_config
from alembic import op
from alembic import script as alembic_script

from cellplug import exception
from cellplug.db import tables


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """The migrations of one schema.

    :ivar package: where ``env.py`` and ``versions`` are.
    :ivar version_table: where the revision is kept.
    :ivar metadata: the tables that they lead to.
    """

    package: str
    version_table: str
    metadata: sa.MetaData

    def revisions(self) -> list[str]:
        """Every revision, the newest first."""
        scripts = alembic_script.ScriptDirectory.from_config(self.config())
        return [script.revision for script in scripts.walk_revisions()]

    def upgrade(self, connection: sa.Connection, revision: str) -> None:
        """Run what is missing up to a revision, in an open transaction."""
        command.upgrade(self.config(connection), revision)

    def config(
        self, connection: sa.Connection | None = None
    ) -> alembic_config.Config:
        """What Alembic's commands take; they print nothing."""
        config = alembic_config.Config(
            stdout=io.StringIO(),
            attributes={'branch': self, 'connection': connection},
        )
        package = importlib.import_module(self.package)
        directory = pathlib.Path(str(package.__file__)).parent
        # Alembic interpolates % in options.
        config.set_main_option(
            'script_location', str(directory).replace('%', '%%')
        )
        config.set_main_option('path_separator', 'os')
        return config


def run(context: Any) -> None:
    """Run the migrations; the body of each ``env.py``.

    Of other people's tables in the database, autogenerate sees nothing.

    :param context: Alembic's environment context.
    """
    branch: Branch = context.config.attributes['branch']

    def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
        return kind != 'table' or name in branch.metadata.tables

    context.configure(
        connection=context.config.attributes['connection'],
        target_metadata=branch.metadata,
        version_table=branch.version_table,
        include_name=is_ours,
        compare_type=True,
        compare_server_default=True,
    )
    context.run_migrations()


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
