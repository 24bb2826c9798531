"""What the router lends its drivers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cellplug import context as cellplug_context
from cellplug import db
from cellplug.rpc import settings as rpc_settings


class Host:
    """The :class:`cellplug.interfaces.DriverHost` of one router.

    The router fills in what is not there yet while it loads the drivers.
    """

    def __init__(
        self,
        conf: Any,
        database: db.Database,
        settings: rpc_settings.RPCSettings,
        clock: Callable[[], float],
    ) -> None:
        self._conf = conf
        self._settings = settings
        self.database = database
        self.clock = clock
        self.load: Callable[[str, str], Any] = _nothing
        self.target_cell: Callable[
            [cellplug_context.RequestContext, str],
            AbstractContextManager[cellplug_context.RequestContext],
        ] = _nothing

    def open_transport(self, url: str) -> Any:
        """A new transport; it connects when it is first used."""
        # Imported with the first transport: a third of a second.
        from cellplug.rpc import messaging  # noqa: PLC0415

        return messaging.Transport(self._conf, url, self._settings)


def _nothing(*_: Any) -> Any:
    raise RuntimeError('the router is still being built')
