"""What is wrong with the cells and rules in a configuration."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from cellplug import exception
from cellplug import objects
from cellplug_drivers.resolver.static import options

Cells = Mapping[str, objects.CellMapping | None]


class Findings:
    """A line for each thing that is wrong.

    :param place: names the file, group and option for people.
    """

    def __init__(self, place: Callable[[str, str], str]) -> None:
        self._place = place
        self.lines: list[str] = []

    def add(self, what: str, group: str, option: str = '') -> None:
        """Note something."""
        self.lines.append(f'{self._place(group, option)}: {what}')

    def add_once(self, what: str, group: str, option: str = '') -> None:
        """Note something that may turn up several times."""
        if f'{self._place(group, option)}: {what}' not in self.lines:
            self.add(what, group, option)


def cell(
    found: Findings, group: str, name: str, values: Mapping[str, Any]
) -> objects.CellMapping | None:
    """The cell that the values of its group make, None if they cannot."""
    before = len(found.lines)
    for option in ('uuid', 'database_connection', 'transport_url'):
        if not values[option]:
            found.add('is not set', group, option)
    uuid = _uuid(found, group, values['uuid'])
    state = _state(found, group, values['state'])
    for option in ('database_connection', 'slave_connection'):
        _check_url(
            found, group, option, values[option], objects.check_database
        )
    transport = values['transport_url']
    _check_url(
        found, group, 'transport_url', transport, objects.check_transport
    )
    if len(found.lines) > before or uuid is None or state is None:
        return None
    mapping = objects.CellMapping(
        uuid=uuid,
        name=name,
        database_connection=values['database_connection'],
        slave_connection=values['slave_connection'],
        transport_url=transport,
        state=state,
    )
    if mapping.is_cell0 and mapping.has_queue:
        found.add(
            'cell0 has no message queue; set it to none:///',
            group,
            'transport_url',
        )
        return None
    return mapping


def _uuid(found: Findings, group: str, value: str | None) -> str | None:
    try:
        return objects.canonical_uuid('uuid', value) if value else None
    except exception.InvalidUUID:
        found.add('is no uuid', group, 'uuid')
        return None


def _state(
    found: Findings, group: str, value: str | None
) -> objects.CellState | None:
    try:
        return objects.check_state(value or objects.CellState.ENABLED)
    except exception.InvalidInput:
        known = ', '.join(objects.CellState)
        found.add(f'is none of {known}', group, 'state')
        return None


def _check_url(
    found: Findings,
    group: str,
    option: str,
    url: str | None,
    check: Callable[[str, str], str],
) -> None:
    if not url:
        return
    try:
        check(option, url)
    except exception.InvalidURL as exc:
        found.add(exc.reason, group, option)


def check_unique(
    found: Findings, cells: Iterable[objects.CellMapping]
) -> None:
    """No two cells share a uuid, a database or a message queue."""
    earlier: list[objects.CellMapping] = []
    for one in cells:
        for other in earlier:
            for option in _shared(one, other):
                found.add(
                    f'cell {other.name} has the same; no two cells share one',
                    f'{options.PREFIX}{one.name}',
                    option,
                )
        earlier.append(one)


def _shared(
    one: objects.CellMapping, other: objects.CellMapping
) -> Iterable[str]:
    if one.uuid == other.uuid:
        yield 'uuid'
    if objects.database_digest(
        one.database_connection
    ) == objects.database_digest(other.database_connection):
        yield 'database_connection'
    digest = objects.transport_digest(one.transport_url)
    if objects.same_queue(one.transport_url, other.transport_url) or (
        digest is not None
        and digest == objects.transport_digest(other.transport_url)
    ):
        yield 'transport_url'


def check_project(found: Findings, project: str) -> None:
    """A project's id, as it stands on the left of a rule."""
    try:
        objects.check_id('project', project)
    except exception.InvalidInput as exc:
        found.add(f'a project {exc.reason}', options.GROUP, 'projects')
        return
    if ',' in project:
        # What oslo.config makes of a pair without a colon.
        found.add(
            f'{objects.mask_name(project)!r} is no PROJECT:CELL pair',
            options.GROUP,
            'projects',
        )


def known(
    found: Findings, option: str, name: str | None, cells: Cells
) -> str | None:
    """The uuid of the cell that a rule names."""
    if name is None:
        return None
    if name not in cells:
        shown = objects.mask_name(name)
        found.add(
            f'[{options.GROUP}] cells names no cell {shown!r}',
            options.GROUP,
            option,
        )
        return None
    mapping = cells[name]
    return mapping.uuid if mapping is not None else None
