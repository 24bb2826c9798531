"""What callers pass to be mapped, checked: once for what repeats itself."""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug.cells import asking
from cellplug.cells import checking
from cellplug.objects import identifiers
from cellplug.objects import mappings

T = TypeVar('T')
Row = db.instance_queries.Row

_NAMES = ('instance_uuid', 'cell', 'project_id', 'user_id')
_PADDING = types.MappingProxyType({2: (None, None), 3: (None,), 4: ()})
_REMEMBERED = 1000


class Rows:
    """Rows of instance mappings, out of whatever form they are passed in.

    For one call of one request: which cell a name means is looked up once.

    :param context: whose project and user are the default.
    :ivar own_cells: the cells that were named, by uuid, where they come from
        the resolver and are no rows; else None.
    """

    def __init__(
        self, source: asking.Asking, context: cellplug_context.RequestContext
    ) -> None:
        self._source = source
        self._context = context
        self._cells: dict[str, str] = {}
        self._owners: dict[tuple[Any, Any], tuple[str, str | None]] = {}
        self.own_cells: dict[str, mappings.CellMapping] | None = (
            {} if source.own_cells else None
        )

    def row(self, session: Any, item: Any) -> Row:
        """The row for one item.

        :param item: an InstanceMapping, a mapping, or a sequence of instance,
            cell, and optionally project and user.
        :raises InvalidInput: naming what it lacks.
        """
        instance, cell, project_id, user_id = _fields(item)
        cell_uuid = self.cell_uuid(session, cell)
        project, user = self._owner(project_id, user_id)
        return Row(
            identifiers.canonical_uuid('instance_uuid', instance),
            cell_uuid,
            project,
            user,
        )

    def cell_uuid(self, session: Any, cell: checking.Cell) -> str:
        """The uuid of the cell that is named.

        :raises CellMappingNotFound: if there is none.
        """
        key = cell if isinstance(cell, str) else checking.named(cell)
        found = self._cells.get(key)
        if found is None:
            name = checking.named(cell)
            if self.own_cells is None:
                found = self._source.cell_uuid(session, name)
            else:
                own = self._source.cell(name)
                self.own_cells[own.uuid] = own
                found = own.uuid
            self._cells[key] = found
        return found

    def _owner(self, project_id: Any, user_id: Any) -> tuple[str, str | None]:
        key = (project_id, user_id)
        try:
            found = self._owners.get(key)
        except TypeError:  # What has no hash is no id either.
            found = None
        if found is None:
            found = checking.owner(self._context, project_id, user_id)
            if len(self._owners) >= _REMEMBERED:
                self._owners.clear()
            self._owners[key] = found
        return found


def items(
    given: Mapping[str, checking.Cell] | Iterable[Any],
) -> Iterable[Any]:
    """The items of what :meth:`.InstanceCollection.map_many` is passed."""
    return given.items() if isinstance(given, Mapping) else given


def uuids(given: Iterable[str]) -> list[str]:
    """Instances' uuids, in canonical form.

    :raises InvalidUUID: for the first that is none.
    """
    return [identifiers.canonical_uuid('instance_uuid', one) for one in given]


def chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, so many at a time."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def check_size(name: str, value: object) -> int:
    """The value, if it is an integer from 1 on.

    :raises InvalidInput: for anything else.
    """
    if not checking.number(name, value):
        raise exception.InvalidInput(name, 'must be 1 or more')
    return int(value)  # type: ignore[call-overload, no-any-return]


def _fields(item: Any) -> tuple[Any, ...]:
    # By far the most of many are such, and they are many.
    if type(item) is tuple and len(item) in _PADDING:
        return item + _PADDING[len(item)]
    if isinstance(item, mappings.InstanceMapping):
        return (
            item.instance_uuid,
            item.cell_uuid,
            item.project_id,
            item.user_id,
        )
    if isinstance(item, Mapping):
        get = item.get
        cell = get('cell', get('cell_uuid'))
        return get('instance_uuid'), cell, get('project_id'), get('user_id')
    try:
        fields = dict(zip(_NAMES, item, strict=False))
    except TypeError:
        fields = {}
    if 'cell' not in fields:
        raise exception.InvalidInput(
            'mappings', f'{item!r} names no instance and cell'
        )
    return (
        fields['instance_uuid'],
        fields['cell'],
        fields.get('project_id'),
        fields.get('user_id'),
    )
