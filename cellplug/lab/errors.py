"""What can go wrong in the lab, each a line for whoever ran it."""

from __future__ import annotations

from cellplug import exception


class LabError(exception.CellplugError):
    """The lab cannot go on.

    :cvar exit_code: what the command exits with.
    """

    exit_code = 1


class LabUsageError(LabError):
    """An argument of the lab that cannot be used; nothing was started."""

    exit_code = 2


class InstanceNotFound(exception.CellplugError):
    """The cell has no such instance; a worker says so over RPC too."""


class NoRoom(exception.CellplugError):
    """No cell can take the instance."""
