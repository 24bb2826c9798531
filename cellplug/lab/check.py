"""The independent check: opens every database itself, with SQLAlchemy alone.

It shares no code with what it checks: no router, no engine, no model. What
the API database says about cells, instances and quotas is compared with the
rows that the databases hold.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable

import sqlalchemy as sa

from cellplug.lab import books
from cellplug.lab import plain

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
    :ivar books: each usage that the API database keeps, beside what all
        cells hold; None if quotas were not to be checked, or cannot be.
    :ivar reservations: how many reservations have not ended.
    :ivar problems: a line for each thing that is wrong.
    """

    mappings: int = 0
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    deleted: int = 0
    books: list[books.Entry] | None = None
    reservations: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything is where it should be."""
        return not self.problems


@dataclasses.dataclass(slots=True)
class _Cell:
    uuid: str
    name: str
    url: str
    rows: set[str] = dataclasses.field(default_factory=set)
    used: collections.Counter[books.Key] = dataclasses.field(
        default_factory=collections.Counter
    )
    read: bool = False


def check(
    api_url: str, deleted: Iterable[str] = (), *, quotas: bool = True
) -> Outcome:
    """Look whether every instance lies where its mapping says.

    And whether each quota's usage is what the cells hold.

    :param api_url: the API database's.
    :param deleted: uuids that no database may know any more.
    :param quotas: whether the API database keeps usages.
    """
    outcome = Outcome()
    usages: dict[books.Key, books.Kept] = {}
    try:
        with plain.connected(api_url) as connection:
            cells = [_Cell(*row) for row in connection.execute(_CELLS)]
            rows = connection.execute(_MAPPINGS)
            mapped = {str(row[0]): str(row[1]) for row in rows}
            if quotas:
                usages = books.kept(connection)
                outcome.reservations = books.reservations(connection)
    except plain.Unreadable as exc:
        outcome.problems.append(f'the API database cannot be read: {exc}')
        return outcome
    outcome.mappings = len(mapped)
    for cell in sorted(cells, key=lambda cell: cell.name):
        _read(cell, outcome)
    _compare(cells, mapped, outcome)
    _look_for(set(deleted), cells, mapped, outcome)
    # What a cell holds that cannot be read is unknown, and so is the sum.
    if quotas and all(cell.read for cell in cells):
        _balance(cells, usages, outcome)
    return outcome


def _read(cell: _Cell, outcome: Outcome) -> None:
    try:
        with plain.connected(cell.url) as connection:
            owner = connection.execute(_IDENTITY).scalar()
            cell.rows = {str(u) for u in connection.scalars(_ROWS)}
            cell.used = books.there(connection)
    except plain.Unreadable as exc:
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


def _balance(
    cells: list[_Cell],
    usages: dict[books.Key, books.Kept],
    outcome: Outcome,
) -> None:
    """Each usage against what all cells hold together."""
    counted: collections.Counter[books.Key] = collections.Counter()
    for cell in cells:
        counted.update(cell.used)
    if outcome.reservations:
        several = outcome.reservations > 1
        outcome.problems.append(
            f'{outcome.reservations} '
            f'{"reservations have" if several else "reservation has"} not '
            'ended, and nothing is under way'
        )
    outcome.books = books.compared(usages, counted)
    for entry in outcome.books:
        outcome.problems.extend(entry.problems())
