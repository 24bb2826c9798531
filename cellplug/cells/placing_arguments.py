"""What callers of ``router.place`` pass, checked."""

from __future__ import annotations

import types
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from cellplug import exception
from cellplug.cells import checking
from cellplug.objects import mappings


def names(argument: str, cells: Any) -> list[str]:
    """The uuids and names of the cells in an argument.

    :raises InvalidInput: for what is no list of cells.
    """
    if isinstance(cells, str | mappings.CellMapping):
        raise exception.InvalidInput(
            argument, 'is one cell; pass a list of them'
        )
    try:
        return [checking.named(cell) for cell in cells]
    except TypeError:
        raise exception.InvalidInput(
            argument, f'{type(cells).__name__} is no list of cells'
        ) from None


def found(
    known: Iterable[mappings.CellMapping], names: Iterable[str]
) -> set[str]:
    """The uuids of the cells that were named.

    :raises CellMappingNotFound: if one does not exist.
    """
    uuids = {}
    for cell in known:
        uuids[cell.uuid] = uuids[cell.name] = cell.uuid
    for name in names:
        if name not in uuids:
            raise exception.CellMappingNotFound(name)
    return {uuids[name] for name in names}


def hints(given: Any) -> Mapping[str, Any]:
    """The caller's hints, as they are now; nobody can change them.

    :raises InvalidInput: for what is no mapping with strings for keys.
    """
    wanted = {} if given is None else given
    if not isinstance(wanted, Mapping) or not all(
        isinstance(key, str) for key in wanted
    ):
        raise exception.InvalidInput(
            'hints', 'is no mapping of names to values'
        )
    return types.MappingProxyType(dict(wanted))
