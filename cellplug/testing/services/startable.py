"""What can be started for tests: a server, or several that belong together."""

from __future__ import annotations

import abc
from typing import ClassVar
from typing import Self


class Startable(abc.ABC):
    """What the launcher and the fixtures need to know of a service."""

    title: ClassVar[str]
    """The service's name, for messages."""

    variable: ClassVar[str]
    """The environment variable with the admin URL of a service to use."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @classmethod
    @abc.abstractmethod
    def why_unavailable(cls) -> str | None:
        """What this machine lacks to run the service, None if nothing."""

    @classmethod
    def available(cls) -> bool:
        """Whether this machine has what the service needs."""
        return cls.why_unavailable() is None

    @property
    @abc.abstractmethod
    def admin_url(self) -> str:
        """The URL with which others make databases or vhosts on it."""

    @property
    @abc.abstractmethod
    def port(self) -> int:
        """The port that clients connect to; 0 unless started."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End it at once and leave nothing behind; may be repeated."""
