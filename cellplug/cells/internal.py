"""Contexts for cellplug's own transactions."""

from __future__ import annotations

from cellplug import context as cellplug_context


class InternalContext(cellplug_context.RequestContext):
    """A context that never becomes the thread's current one."""

    def update_store(self) -> None:
        """Leave oslo.context's current context as it is."""
