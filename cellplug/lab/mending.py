"""What crashes leave of instances: found, and forgotten.

A mapping without an instance is all there can be. A boot maps before the
worker builds, and a delete forgets the mapping after the worker deleted, so
that a crash never leaves an instance without a mapping.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from collections.abc import Iterator

import cellplug
from cellplug.lab import database
from cellplug.lab import reserving

_PAGE = 1000


def forget_half_made(
    router: cellplug.CellRouter,
    context: cellplug.RequestContext,
    clock: Callable[[], float],
) -> list[str]:
    """Forget the project's mappings whose instances are in no cell.

    Only those that are older than any request may take: a younger one may be
    that of an instance which is being made. A cell that does not answer ends
    it before anything is forgotten: its instances are not gone.

    :param clock: seconds since the epoch.
    :returns: the uuids, sorted.
    :raises CellsFailed: if a cell does not answer.
    """
    before = datetime.datetime.fromtimestamp(
        clock() - reserving.WINDOW, datetime.UTC
    ).replace(tzinfo=None)
    # Mappings first: what is made after this look is not among them.
    half_made = {
        one.instance_uuid
        for one in _mappings(router, context)
        if one.created_at is not None and one.created_at < before
    }
    there = router.scatter_gather(
        context, database.instance_uuids, context.project_id
    )
    half_made.difference_update(*there.complete().values())
    found = sorted(half_made)
    for start in range(0, len(found), _PAGE):
        router.instances.unmap(context, found[start : start + _PAGE])
    return found


def _mappings(
    router: cellplug.CellRouter, context: cellplug.RequestContext
) -> Iterator[cellplug.InstanceMapping]:
    """All mappings of the project, a page at a time."""
    marker = None
    while page := router.instances.list(
        context, project_id=context.project_id, limit=_PAGE, marker=marker
    ):
        yield from page
        marker = page[-1].instance_uuid
