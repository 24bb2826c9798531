"""Where databases and queues come from: files, private or own servers."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Protocol

import sqlalchemy as sa

from cellplug.lab import directory as lab_directory
from cellplug.lab import errors
from cellplug.lab import settings as lab_settings


class Servers(Protocol):
    """Gives each cell, and the API, a database and a queue."""

    kind: str
    """For people: what they are."""

    embedded: bool
    """Whether queues work within this process alone."""

    def database(self, cell: str) -> str:
        """The database URL of ``api``, ``cell0``, ``cell1``..."""

    def queue(self, cell: str) -> str:
        """The transport URL of a cell."""


class Files:
    """SQLite files in the lab's directory, and queues in this process.

    The queues are kombu's, as the broker that oslo.messaging fakes by itself
    looks for messages every 50 ms only.
    """

    kind = 'SQLite files, messaging within this process'
    embedded = True

    def __init__(self, directory: lab_directory.Directory) -> None:
        self._directory = directory

    def database(self, cell: str) -> str:
        """A file with the cell's name."""
        file = self._directory.file(f'{cell}.sqlite')
        # What has to be quoted depends on SQLAlchemy's version.
        return sa.URL.create('sqlite', database=file).render_as_string()

    def queue(self, cell: str) -> str:
        """A queue with the cell's name."""
        return f'kombu+memory://{cell}/'


class Own:
    """Databases and vhosts that the user made."""

    kind = 'your servers, a worker process for each cell'
    embedded = False

    def __init__(self, database_template: str, transport_template: str):
        self._database_template = database_template
        self._transport_template = transport_template

    def database(self, cell: str) -> str:
        """What the template makes of the cell's name."""
        return lab_settings.fill(self._database_template, cell)

    def queue(self, cell: str) -> str:
        """What the template makes of the cell's name."""
        return lab_settings.fill(self._transport_template, cell)


class Private:
    """A MariaDB and a RabbitMQ that end with the run."""

    kind = 'private MariaDB and RabbitMQ, a worker process for each cell'
    embedded = False

    def __init__(self) -> None:
        # Imported here: they are of no use to the other kinds.
        from cellplug.testing import services  # noqa: PLC0415

        self._mariadb = services.MariaDB()
        self._rabbitmq = services.RabbitMQ()
        self._servers = (self._mariadb, self._rabbitmq)
        self._error = services.ServiceError

    def start(self) -> None:
        """Start both side by side.

        :raises LabError: if this machine lacks one, or it does not start.
        """
        for server in self._servers:
            reason = server.why_unavailable()
            if reason:
                raise errors.LabError(f'--real needs {server.title}: {reason}')
        with concurrent.futures.ThreadPoolExecutor() as pool:
            futures = [pool.submit(server.start) for server in self._servers]
        try:
            for future in futures:
                future.result()
        except self._error as exc:
            raise errors.LabError(str(exc)) from exc

    def stop(self) -> None:
        """End both and remove their data."""
        for server in self._servers:
            server.stop()

    def database(self, cell: str) -> str:
        """A new database."""
        return self._mariadb.create_database(f'lab_{cell}')

    def queue(self, cell: str) -> str:
        """A new vhost."""
        return self._rabbitmq.create_vhost(f'lab_{cell}')


@contextlib.contextmanager
def opened(
    settings: lab_settings.Settings, directory: lab_directory.Directory
) -> Iterator[Servers]:
    """What the settings ask for, up while the block runs."""
    if settings.real:
        private = Private()
        try:
            private.start()
            yield private
        finally:
            private.stop()
    elif settings.database_template and settings.transport_template:
        yield Own(settings.database_template, settings.transport_template)
    else:
        yield Files(directory)
