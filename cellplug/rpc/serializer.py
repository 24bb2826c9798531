"""Contexts on the wire: with their route, without their target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cellplug import context as cellplug_context
from cellplug.rpc.quiet import oslo_messaging


class ContextSerializer(oslo_messaging.NoOpSerializer):  # type: ignore[misc]
    """Serialises contexts; messages themselves stay as they are.

    :param build: makes the worker's context from a message's, aimed at the
        worker's own cell: never at one that the message names.
    """

    def __init__(
        self, build: Callable[[dict[str, Any]], Any] | None = None
    ) -> None:
        super().__init__()
        self._build = build

    def serialize_context(self, context: Any) -> dict[str, Any]:
        """The dictionary that travels."""
        if isinstance(context, dict):
            return context
        if not isinstance(context, cellplug_context.RequestContext):
            raise TypeError(
                f'{context!r} is no cellplug.RequestContext and no dict'
            )
        return context.to_dict()

    def deserialize_context(self, context: dict[str, Any]) -> Any:
        """The worker's context."""
        return self._build(context) if self._build else context
