"""Message queues."""

from __future__ import annotations

from cellplug.exception.root import CellplugError


class RPCTimeout(CellplugError):
    """A worker did not answer in time; whether it acted is unknown.

    :ivar where: the cell (name and uuid), or the process's own queue.
    """

    def __init__(self, where: str, method: str, seconds: float | None) -> None:
        after = 'in time' if seconds is None else f'within {seconds:g} s'
        super().__init__(f'no worker of {where} answered {method!r} {after}')
        self.where = where
        self.method = method
        self.seconds = seconds


class QueueUnavailable(CellplugError):
    """The process's own message queue does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(f'the message queue is unavailable: {reason}')
        self.reason = reason
