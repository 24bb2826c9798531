"""What private database servers have in common."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import ClassVar

from cellplug.testing.services import admin
from cellplug.testing.services import base


class DatabaseServer(base.Service):
    """A private server on which databases can be made."""

    _own_database: ClassVar[str]
    """The one that is there from the beginning."""

    @abc.abstractmethod
    def url(self, database: str) -> str:
        """The URL of a database, existing or not."""

    @property
    def admin_url(self) -> str:
        """The URL of the server's own database."""
        return self.url(self._own_database)

    def create_database(self, name: str) -> str:
        """Make an empty database, in UTF-8 (on MariaDB: utf8mb4).

        :param name: lower-case letters, digits, underscores; at most 63.
        :returns: its URL.
        """
        return admin.create_database(self.admin_url, name)

    def drop_database(self, name: str) -> None:
        """Drop a database and close what is connected to it."""
        admin.drop_database(self.admin_url, name)

    @abc.abstractmethod
    def _socket(self) -> str:
        """The name of its socket, in its directory."""

    @abc.abstractmethod
    def _admits(self) -> bool:
        """Whether it takes a connection with this server's password."""

    def _answers(self) -> bool:
        # The socket's file appears late in the start: no need to ask before.
        return Path(self.directory, self._socket()).exists() and self._admits()
