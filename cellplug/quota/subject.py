"""Whose quota a call is about: a project and, it may be, one of its users."""

from __future__ import annotations

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.objects import identifiers

Context = cellplug_context.RequestContext


def checked(
    project_id: str, user_id: str | None = None
) -> tuple[str, str | None]:
    """The ids, if they can be stored.

    :raises InvalidInput: for what is no id.
    """
    if user_id is not None:
        identifiers.check_id('user_id', user_id)
    return identifiers.check_id('project_id', project_id), user_id


def of(
    context: Context, project_id: str | None, user_id: str | None
) -> tuple[str, str | None]:
    """The project and user of a request: the context's by default.

    The context's user belongs to the context's project: for another project
    no user is assumed, and its total alone counts.

    :raises InvalidInput: without a project, or for what is no id.
    """
    project = context.project_id if project_id is None else project_id
    if project is None:
        raise exception.InvalidInput(
            'project_id', 'quotas need a project; the context has none'
        )
    if user_id is None and project == context.project_id:
        user_id = context.user_id
    return checked(project, user_id)
