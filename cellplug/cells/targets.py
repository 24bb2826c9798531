"""Contexts aimed at cells."""

from __future__ import annotations

from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import objects
from cellplug.db import registry as db_registry

Context = cellplug_context.RequestContext


def checked(context: Any) -> Context:
    """The context, if it is one.

    :raises InvalidInput: for anything else.
    """
    if not isinstance(context, Context):
        raise exception.InvalidInput(
            'context', f'{type(context).__name__} is no RequestContext'
        )
    return context


def aimed(
    context: Context, entry: db_registry.CellEntry, route: objects.Route | None
) -> Context:
    """A copy of the context that is aimed at the cell.

    :raises CellStateForbids: if the cell is disabled.
    """
    entry.guard.check_target()
    return checked(context).copy_with(
        db_connection=entry.uuid,
        mq_connection=entry.queue,
        cell_uuid=entry.uuid,
        route=route,
    )
