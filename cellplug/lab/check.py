"""The independent check: opens every database itself, with SQLAlchemy alone.

It shares no code with what it checks: no router, no engine, no model. What
the API database says about cells and instances is compared with the rows
that the databases hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from cellplug.objects import urls

MOST_PROBLEMS = 20
"""How many problems are spelled out; what comes after is counted."""

_CELLS = sa.text('SELECT uuid, name, database_connection FROM cell_mapping')
_MAPPINGS = sa.text('SELECT instance_uuid, cell_uuid FROM instance_mapping')
_ROWS = sa.text('SELECT uuid FROM lab_instances')
_IDENTITY = sa.text('SELECT cell_uuid FROM cell_identity')


@dataclasses.dataclass(slots=True)
class Outcome:
    """What was looked at, and what does not hold.

    :ivar mappings: how many instance mappings there are.
    :ivar rows: how many instances each cell's database holds, by the cell's
        name.
    :ivar deleted: how many deleted instances were looked for.
    :ivar problems: a line for each thing that is wrong.
    """

    mappings: int = 0
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    deleted: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything is where it should be."""
        return not self.problems


class _Unreadable(Exception):
    """A database that cannot be looked at; the reason holds no secret."""


@dataclasses.dataclass(slots=True)
class _Cell:
    uuid: str
    name: str
    url: str
    rows: set[str] = dataclasses.field(default_factory=set)
    read: bool = False


def check(api_url: str, deleted: Iterable[str] = ()) -> Outcome:
    """Look whether every instance lies where its mapping says.

    :param api_url: the API database's.
    :param deleted: uuids that no database may know any more.
    """
    outcome = Outcome()
    try:
        with _connected(api_url) as connection:
            cells = [_Cell(*row) for row in connection.execute(_CELLS)]
            rows = connection.execute(_MAPPINGS)
            mapped = {str(row[0]): str(row[1]) for row in rows}
    except _Unreadable as exc:
        outcome.problems.append(f'the API database cannot be read: {exc}')
        return outcome
    outcome.mappings = len(mapped)
    for cell in sorted(cells, key=lambda cell: cell.name):
        _read(cell, outcome)
    _compare(cells, mapped, outcome)
    _look_for(set(deleted), cells, mapped, outcome)
    return outcome


def _read(cell: _Cell, outcome: Outcome) -> None:
    try:
        with _connected(cell.url) as connection:
            owner = connection.execute(_IDENTITY).scalar()
            cell.rows = {str(u) for u in connection.scalars(_ROWS)}
    except _Unreadable as exc:
        outcome.problems.append(f'{cell.name} cannot be read: {exc}')
        return
    cell.read = True
    outcome.rows[cell.name] = len(cell.rows)
    if owner != cell.uuid:
        outcome.problems.append(
            f"{cell.name}'s database says that it belongs to cell {owner}"
        )


def _compare(
    cells: list[_Cell], mapped: dict[str, str], outcome: Outcome
) -> None:
    """Each mapping against the rows, and each row against the mappings."""
    by_uuid = {cell.uuid: cell for cell in cells}
    homes: dict[str, list[_Cell]] = {}
    for cell in cells:
        for uuid in cell.rows:
            homes.setdefault(uuid, []).append(cell)
    for uuid, cell_uuid in sorted(mapped.items()):
        named = by_uuid.get(cell_uuid)
        if named is None:
            outcome.problems.append(
                f'instance {uuid} is mapped to cell {cell_uuid}, which does '
                'not exist'
            )
            continue
        found = homes.get(uuid, [])
        if named.read and found != [named]:
            outcome.problems.append(
                f'instance {uuid} is mapped to {named.name} and lies in '
                + (' and '.join(cell.name for cell in found) or 'no cell')
            )
    outcome.problems.extend(
        f'instance {uuid} lies in {cell.name}, and no mapping names it'
        for uuid, found in sorted(homes.items())
        for cell in found
        if uuid not in mapped
    )


def _look_for(
    deleted: set[str],
    cells: list[_Cell],
    mapped: dict[str, str],
    outcome: Outcome,
) -> None:
    outcome.deleted = len(deleted)
    for uuid in sorted(deleted):
        places = [c.name for c in cells if uuid in c.rows]
        places += ['the instance mappings'] * (uuid in mapped)
        if places:
            outcome.problems.append(
                f'instance {uuid} was deleted, and is still in '
                + ' and '.join(places)
            )


@contextlib.contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    """A connection of our own, closed for good afterwards.

    :raises _Unreadable: for whatever the database has against it.
    """
    parsed = sa.make_url(url)
    arguments: dict[str, Any] = {}
    if parsed.get_backend_name() == 'sqlite':
        # Opening a file that is not there would make it.
        if not os.path.exists(parsed.database or ''):
            raise _Unreadable(f'there is no file {parsed.database}')
    else:
        arguments['connect_timeout'] = 10
    try:
        engine = sa.create_engine(
            url, poolclass=sa.NullPool, connect_args=arguments
        )
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as exc:
        raise _Unreadable(f'{urls.mask(url)}: {exc.orig}') from exc
