"""Where databases and queues come from: files, private or own servers."""

from __future__ import annotations

import concurrent.futures
import contextlib
import urllib.parse
from collections.abc import Collection
from collections.abc import Iterator
from typing import Protocol

import sqlalchemy as sa

from cellplug.lab import breaking
from cellplug.lab import directory as lab_directory
from cellplug.lab import errors
from cellplug.lab import proxying
from cellplug.lab import settings as lab_settings
from cellplug.lab import shims


class Servers(Protocol):
    """Gives each cell, and the API, a database and a queue."""

    kind: str
    """For people: what they are."""

    embedded: bool
    """Whether queues work within this process alone."""

    room: breaking.Room | None
    """What breaks the cells that are to be broken; None if none are."""

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
        self.room: breaking.Room | None = None

    def file(self, cell: str) -> str:
        """The path of a cell's file."""
        return self._directory.file(f'{cell}.sqlite')

    def database(self, cell: str) -> str:
        """A file with the cell's name."""
        # What has to be quoted depends on SQLAlchemy's version.
        url = sa.URL.create('sqlite', database=self.file(cell))
        return url.render_as_string()

    def queue(self, cell: str) -> str:
        """A queue with the cell's name."""
        return f'kombu+memory://{cell}/'


class Own:
    """Databases and vhosts that the user made."""

    kind = 'your servers, a worker process for each cell'
    embedded = False

    room: breaking.Room | None = None

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
    room: breaking.Room | None = None

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


class Proxied:
    """Private servers, with a proxy before those of each cell that breaks.

    The workers of such a cell reach them by the proxy, too: cut off from its
    servers is the cell, not who asks it.
    """

    kind = Private.kind + ', proxies before what breaks'
    embedded = False

    def __init__(
        self,
        private: Private,
        broken: Collection[str],
        proxies: proxying.Proxies,
    ) -> None:
        self._private = private
        self._broken = broken
        self._proxies = proxies
        self.room: breaking.Room | None = proxies

    def database(self, cell: str) -> str:
        """A new database."""
        url = sa.make_url(self._private.database(cell))
        if cell in self._broken:
            assert url.host and url.port
            port = self._proxies.add(
                cell, url.host, url.port, is_database=True
            )
            url = url.set(host=proxying.HOST, port=port)
        return url.render_as_string(hide_password=False)

    def queue(self, cell: str) -> str:
        """A new vhost."""
        url = self._private.queue(cell)
        if cell not in self._broken:
            return url
        parts = urllib.parse.urlsplit(url)
        assert parts.hostname and parts.port
        port = self._proxies.add(
            cell, parts.hostname, parts.port, is_database=False
        )
        user = parts.netloc.rpartition('@')[0]
        where = f'{user}@{proxying.HOST}:{port}'
        return parts._replace(netloc=where).geturl()


@contextlib.contextmanager
def opened(
    settings: lab_settings.Settings, directory: lab_directory.Directory
) -> Iterator[Servers]:
    """What the settings ask for, up while the block runs."""
    with contextlib.ExitStack() as stack:
        if settings.real:
            yield _private(settings, stack)
        elif settings.database_template and settings.transport_template:
            yield Own(settings.database_template, settings.transport_template)
        else:
            yield _files(settings, directory, stack)


def _private(
    settings: lab_settings.Settings, stack: contextlib.ExitStack
) -> Servers:
    private = Private()
    stack.callback(private.stop)
    private.start()
    if not settings.broken:
        return private
    proxies = stack.enter_context(proxying.Proxies())
    return Proxied(private, settings.broken, proxies)


def _files(
    settings: lab_settings.Settings,
    directory: lab_directory.Directory,
    stack: contextlib.ExitStack,
) -> Servers:
    files = Files(directory)
    if settings.broken:
        paths = {cell: files.file(cell) for cell in settings.broken}
        junk = directory.file('no-database')
        files.room = stack.enter_context(shims.Shims(paths, junk))
    return files
