"""Databases that begin with cellplug's tables, made once and then copied.

Alembic takes longer to make the tables than most tests take to use them. So
the first who wants a database with tables has cellplug make one, empty and
claimed by nobody; it is what the others are copies of. On SQLite that is a
file, on MariaDB a script of the statements that lead to the same tables, on
PostgreSQL a database that nobody connects to.

Where it is stands in the environment, as the servers do (see
:func:`cellplug.testing.services.shared_url`), so that child processes find
it. It goes with the process that made it. Not for two threads at once.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Callable
from typing import Literal

import sqlalchemy as sa
from oslo_config import cfg

import cellplug
from cellplug.cells import schemas
from cellplug.db import schema as db_schema
from cellplug.db import settings as db_settings
from cellplug.db import sources
from cellplug.testing.services import admin
from cellplug.testing.services import places

Tables = Literal['api', 'cell']
"""Those of the API database, or those that cellplug keeps in a cell's."""

_VARIABLE = 'CELLPLUG_TEST_TEMPLATE'


def copy_sqlite(tables: Tables, path: str) -> None:
    """Make a file that has the tables, in which there is nothing yet."""
    shutil.copyfile(_known(tables, '', _make_file), path)


def copy_mariadb(tables: Tables, server_url: str, name: str) -> str:
    """Make a database that has the tables.

    :param server_url: the server's admin URL.
    :returns: the database's URL.
    """
    script = _known(tables, server_url, _make_script)
    url = admin.create_database(server_url, name)
    admin.run_script(url, pathlib.Path(script).read_text())
    return url


def copy_postgresql(tables: Tables, server_url: str, name: str) -> str:
    """Make a database that has the tables; as :func:`copy_mariadb` does."""
    template = _known(tables, server_url, _make_database)
    return admin.create_database(server_url, name, template)


def _known(
    tables: Tables, server_url: str, make: Callable[[Tables, str], str]
) -> str:
    """The template of a server, made at the first call."""
    server = hashlib.sha256(server_url.encode()).hexdigest()[:12]
    variable = f'{_VARIABLE}_{tables}_{server}'.upper()
    known = os.environ.get(variable, '')
    # A file is gone with the process that made it.
    if not known or (os.path.isabs(known) and not os.path.exists(known)):
        known = os.environ[variable] = make(tables, server_url)
    return known


def _make_file(tables: Tables, _server_url: str) -> str:
    path = f'{_own_directory()}/{tables}.db'
    _sync(tables, f'sqlite:///{path}')
    return path


def _make_script(tables: Tables, server_url: str) -> str:
    name = _new_name(tables)
    try:
        url = admin.create_database(server_url, name)
        _sync(tables, url)
        script = _script(url, _schema(tables).version_table)
    finally:
        admin.drop_database(server_url, name)
    path = pathlib.Path(_own_directory(), f'{tables}.sql')
    path.write_text(script)
    return str(path)


def _script(url: str, version_table: str) -> str:
    """The statements that make a database's tables, and say which they are."""
    engine = sa.create_engine(
        url, poolclass=sa.NullPool, connect_args={'ssl_disabled': True}
    )
    statements = ['SET foreign_key_checks = 0']
    with engine.connect() as connection:
        for name in sa.inspect(connection).get_table_names():
            shown = connection.exec_driver_sql(f'SHOW CREATE TABLE `{name}`')
            statements.append(shown.one()[1])
        table = sa.table(version_table, sa.column('version_num'))
        versions = connection.scalars(sa.select(table))
        statements += [
            f"INSERT INTO `{version_table}` VALUES ('{version}')"
            for version in versions
        ]
    return ';\n'.join(statements)


def _make_database(tables: Tables, server_url: str) -> str:
    name, owner = _new_name(tables), os.getpid()

    def drop() -> None:
        # The server may be gone, and with it the database.
        if os.getpid() == owner:
            with contextlib.suppress(Exception):
                admin.drop_database(server_url, name)

    atexit.register(drop)
    _sync(tables, admin.create_database(server_url, name))
    return name


def _new_name(tables: Tables) -> str:
    return f'cellplug_template_{tables}_{secrets.token_hex(6)}'


def _own_directory() -> str:
    """A directory that goes with this process."""
    owner = os.getpid()
    directory = tempfile.mkdtemp(
        prefix='cellplug-template-', dir=places.parent_directory()
    )

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)

    atexit.register(remove)
    return directory


def _schema(tables: Tables) -> db_schema.Schema:
    return db_schema.API if tables == 'api' else db_schema.CELL


def _sync(tables: Tables, url: str) -> None:
    """Have cellplug make the tables, as it does for a service."""
    conf = cfg.ConfigOpts()
    cellplug.register_opts(conf)
    conf([], project='cellplug', default_config_files=[])
    with schemas.bare_engine(
        url,
        sources.Label('template'),
        db_settings.EngineSettings.from_group(conf.cell_database),
        may_create=True,
    ) as engine:
        _schema(tables).sync(engine)
