"""What the router lends its drivers."""

from __future__ import annotations

import collections
import os.path
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug.conf import reading
from cellplug.rpc import settings as rpc_settings

_REMEMBERED = 1000


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
        # For the wait in the end; where very many were opened, those that
        # are forgotten here were closed long ago.
        self._transports: collections.deque[weakref.ref[Any]]
        self._transports = collections.deque()
        self.load: Callable[[str, str], Any] = _nothing
        self.target_cell: Callable[
            [cellplug_context.RequestContext, str],
            AbstractContextManager[cellplug_context.RequestContext],
        ] = _nothing

    def read_config(self) -> cfg.ConfigOpts:
        """The configuration files as they are now, parsed afresh."""
        conf = self._conf
        for directory in conf.config_dir or ():
            # oslo.config passes over one that it found by itself.
            if not os.path.isdir(directory):
                raise exception.ConfigurationError(
                    f'config directory {directory} does not exist'
                )
        fresh = cfg.ConfigOpts()
        try:
            fresh(
                [],
                project=conf.project,
                prog=conf.prog,
                default_config_files=conf.config_file or [],
                default_config_dirs=conf.config_dir or [],
            )
        except reading.UNREADABLE as exc:
            # Not "from exc", whose text may quote a password.
            raise exception.ConfigurationError(reading.explain(exc)) from None
        return fresh

    def open_transport(self, url: str) -> Any:
        """A new transport; it connects when it is first used."""
        # Imported with the first transport: a third of a second.
        from cellplug.rpc import messaging  # noqa: PLC0415

        transport = messaging.Transport(self._conf, url, self._settings)
        self._transports.append(weakref.ref(transport))
        while len(self._transports) > _REMEMBERED:
            self._transports.popleft()
        return transport

    def wait_closed(self) -> None:
        """Wait for what is being closed, ``stop_timeout`` for all of it."""
        deadline = time.monotonic() + self._settings.stop_timeout
        for reference in list(self._transports):
            transport = reference()
            if transport is not None:
                transport.wait_closed(max(0, deadline - time.monotonic()))


def _nothing(*_: Any) -> Any:
    raise RuntimeError('the router is still being built')
