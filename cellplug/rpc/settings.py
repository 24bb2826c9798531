"""How long messaging may take, read once from ``[rpc]``."""

from __future__ import annotations

import dataclasses
from typing import Any

_OURS = 'cellplug.exception'
"""A worker's StaleRoute or OverQuota is the caller's, too."""


@dataclasses.dataclass(frozen=True, slots=True)
class RPCSettings:
    """The options of ``[rpc]``; times in seconds."""

    connect_timeout: float
    call_timeout: float
    stop_timeout: float
    server_threads: int
    allowed_remote_exmods: tuple[str, ...] = ()

    @classmethod
    def from_group(
        cls, group: Any, allowed_remote_exmods: tuple[str, ...] = ()
    ) -> RPCSettings:
        """The settings in an option group."""
        return cls(
            connect_timeout=group.connect_timeout,
            call_timeout=group.call_timeout,
            stop_timeout=group.stop_timeout,
            server_threads=group.server_threads,
            allowed_remote_exmods=(_OURS, *allowed_remote_exmods),
        )
