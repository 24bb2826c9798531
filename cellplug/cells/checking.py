"""What callers pass to name and describe a cell, checked."""

from __future__ import annotations

from typing import Any

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
    if identifiers.is_uuid_like(cell):
        return identifiers.canonical_uuid('cell', cell)
    return cell


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """The values, each of them one that a cell may have.

    :raises InvalidInput: naming the first that is none.
    """
    values = dict(values)
    if 'name' in values:
        identifiers.check_cell_name(values['name'])
    if 'database_connection' in values:
        urls.check_database(
            'database_connection', values['database_connection']
        )
    if values.get('slave_connection') is not None:
        urls.check_database('slave_connection', values['slave_connection'])
    if 'transport_url' in values:
        urls.check_transport('transport_url', values['transport_url'])
    if 'state' in values:
        values['state'] = mappings.check_state(values['state'])
    return values


def check_cell0(cell_uuid: str, transport_url: str) -> None:
    """Refuse a message queue for cell0.

    :raises InvalidInput: for any other URL than ``none:``.
    """
    if cell_uuid == identifiers.CELL0_UUID and urls.has_queue(transport_url):
        raise exception.InvalidInput(
            'transport_url', 'cell0 has no message queue; pass none:///'
        )
