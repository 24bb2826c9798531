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
    reread: Callable[[str], None],
) -> R:
    """See :meth:`cellplug.CellRouter.run`.

    A cell that is refused without being asked is not asked for here either:
    that would be a look-up for each request.

    :param attempt: targets the instance and works on it.
    :param resolver: is told to forget where the instance was.
    :param reread: looks the cell up again.
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
        if exc.refused:
            raise
        reread(exc.cell_uuid)
    resolver.forget_instance(instance_uuid)
    return attempt()
