"""Working on an instance, once more if it was looked for in a wrong place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import TypeVar

from cellplug import context as cellplug_context
from cellplug import exception

R = TypeVar('R')


def run(
    context: cellplug_context.RequestContext,
    instance_uuid: str,
    attempt: Callable[[], R],
    resolver: Any,
) -> R:
    """See :meth:`cellplug.CellRouter.run`.

    :param attempt: targets the instance and works on it.
    :param resolver: is told to forget where the instance was, and how its
        cell was reached.
    """
    state = context._request_state
    acted = state.acted
    try:
        return attempt()
    except exception.StaleRoute as exc:
        if exc.instance_uuid != instance_uuid:
            raise
    except exception.CellUnavailable as exc:
        if not exc.before_first_statement or state.acted is not acted:
            raise
        resolver.forget_cell(exc.cell_uuid)
    resolver.forget_instance(instance_uuid)
    return attempt()
