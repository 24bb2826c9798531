"""What the caller, or the operator, passed."""

from __future__ import annotations

from cellplug.exception.root import CellplugError


class InvalidInput(CellplugError, ValueError):
    """An argument or option that cannot be used; nothing was written.

    :ivar name: the argument's name, as the caller knows it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f'{name}: {reason}')
        self.name = name
        self.reason = reason


class InvalidURL(InvalidInput):
    """A database connection or transport URL that cannot be used."""


class InvalidUUID(InvalidInput):
    """A string that should be a uuid and is none."""


class ConfigurationError(CellplugError):
    """An option that is missing or contradicts another one."""


class NotSupported(CellplugError):
    """The configured driver, or this deployment, cannot do what was asked."""
