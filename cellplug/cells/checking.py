"""What callers pass to name and describe a cell, checked."""

from __future__ import annotations

import inspect
from typing import Any

import sqlalchemy as sa

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.objects import identifiers
from cellplug.objects import mappings
from cellplug.objects import urls

Cell = mappings.CellMapping | str
"""How a cell is named: by its CellMapping, its uuid or its name."""


def named(cell: Cell) -> str:
    """The canonical uuid, or the name, by which a cell is looked up.

    :raises InvalidInput: for anything else.
    """
    if isinstance(cell, mappings.CellMapping):
        return cell.uuid
    if not cell or not isinstance(cell, str):
        raise exception.InvalidInput(
            'cell', f'{cell!r} is no CellMapping, uuid or name'
        )
    if not cell.isprintable():
        raise exception.InvalidInput(
            'cell', f'{cell!r} has unprintable characters; no cell has'
        )
    if identifiers.is_uuid_like(cell):
        return identifiers.canonical_uuid('cell', cell)
    return cell


def number(name: str, value: object) -> int:
    """The value, if it is an integer from 0 on that a database can hold.

    :raises InvalidInput: for anything else, True and False included.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise exception.InvalidInput(name, f'{value!r} is no integer')
    if not 0 <= value < 2**63:
        raise exception.InvalidInput(name, f'{value} is negative or too big')
    return value


def owner(
    context: cellplug_context.RequestContext, project_id: Any, user_id: Any
) -> tuple[str, str | None]:
    """The project and user of an instance; the context's by default.

    :raises InvalidInput: without a project, or for what is no id.
    """
    project = context.project_id if project_id is None else project_id
    if project is None:
        raise exception.InvalidInput(
            'project_id',
            'an instance mapping needs a project; the context has none',
        )
    user = context.user_id if user_id is None else user_id
    if user is not None:
        identifiers.check_id('user_id', user)
    return identifiers.check_id('project_id', project), user


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """The values, each of them one that a cell may have.

    :raises InvalidInput: naming the first that is none.
    """
    values = dict(values)
    if 'name' in values:
        identifiers.check_cell_name(values['name'])
    if 'database_connection' in values:
        check_database('database_connection', values['database_connection'])
    if values.get('slave_connection') is not None:
        check_database('slave_connection', values['slave_connection'])
    if 'transport_url' in values:
        urls.check_transport('transport_url', values['transport_url'])
    if 'state' in values:
        values['state'] = mappings.check_state(values['state'])
    return values


def check_database(name: str, url: str) -> None:
    """Refuse a database URL that its driver would not take.

    Contacts nothing.

    :param name: the argument's name, for the message.
    :raises InvalidURL: also if the driver is not installed.
    """
    urls.check_database(name, url)
    try:
        parsed = sa.make_url(url)
        dialect_class = parsed.get_dialect()
        dialect = dialect_class()
        _, arguments = dialect.create_connect_args(parsed)
    except (sa.exc.ArgumentError, TypeError, ValueError):
        # What they say quotes the URL, or a part of it.
        raise exception.InvalidURL(
            name, 'its driver cannot read it; check the values in its query'
        ) from None
    try:
        dbapi = dialect_class.import_dbapi()
    except ImportError as exc:
        raise exception.InvalidURL(
            name, f'its driver cannot be used: {exc}'
        ) from None
    if not _takes(dialect.driver, dbapi, dict(arguments)):
        # Not which: behind a raw & in a password, it may be a part of it.
        raise exception.InvalidURL(
            name,
            f'its query has an argument that {dialect.driver} does not take',
        )


def _takes(driver: str, dbapi: Any, arguments: dict[str, Any]) -> bool:
    """Whether the driver would not refuse one of its arguments."""
    if driver == 'pymysql':
        known = inspect.signature(dbapi.connections.Connection).parameters
        return arguments.keys() <= known.keys() and isinstance(
            arguments.get('port', 0), int
        )
    if driver not in ('psycopg', 'psycopg2'):
        return True
    check = (
        dbapi.conninfo.make_conninfo
        if driver == 'psycopg'
        else dbapi.extensions.make_dsn
    )
    try:
        int(arguments.get('connect_timeout', 0))
        check(**{key: str(value) for key, value in arguments.items()})
    except (dbapi.Error, ValueError):
        return False
    return True


def check_cell0(cell_uuid: str, transport_url: str) -> None:
    """Refuse a message queue for cell0.

    :raises InvalidInput: for any other URL than ``none:``.
    """
    if cell_uuid == identifiers.CELL0_UUID and urls.has_queue(transport_url):
        raise exception.InvalidInput(
            'transport_url', 'cell0 has no message queue; pass none:///'
        )
