"""A private RabbitMQ."""

from __future__ import annotations

import collections
import socket
from collections.abc import Iterable
from collections.abc import Mapping
from typing import ClassVar

from cellplug.testing.services import admin
from cellplug.testing.services import base
from cellplug.testing.services import places

# Debian's /usr/sbin/rabbitmq-server is a wrapper that changes the user.
_FOLDERS = ('/usr/lib/rabbitmq/bin',)

# The management API tells of a new connection when it samples next: each
# second instead of each fifth.
_SAMPLES = ''.join(
    f'management.sample_retention_policies.{which} = 1\n'
    for which in ('global.minute', 'basic.minute', 'detailed.10')
)


class RabbitMQ(base.Service):
    """A private RabbitMQ with its management API, on loopback.

    Erlang's port mapper (epmd) is a private one as well and ends with it.
    """

    title: ClassVar[str] = 'RabbitMQ'
    variable: ClassVar[str] = 'CELLPLUG_TEST_RABBITMQ'
    _system_user: ClassVar[str] = 'rabbitmq'
    _port_count: ClassVar[int] = 4

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Name the program that is missing."""
        if not _program('rabbitmq-server'):
            return 'rabbitmq-server is not installed (package rabbitmq-server)'
        return None

    @property
    def admin_url(self) -> str:
        """The URL with which :class:`~.admin.BrokerAdmin` works."""
        return f'{self.url("")}?management_port={self._ports[1]}'

    def url(self, vhost: str) -> str:
        """The transport URL of a vhost, existing or not."""
        return (
            f'rabbit://{self.user}:{self.password}'
            f'@{self.host}:{self.port}/{vhost}'
        )

    def create_vhost(self, name: str) -> str:
        """Make an empty vhost.

        :param name: lower-case letters, digits, underscores; at most 63.
        :returns: its transport URL.
        """
        return self._admin().create_vhost(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost and close what is connected to it."""
        self._admin().delete_vhost(name)

    def connections(self, vhost: str) -> int:
        """How many connections a vhost has now.

        Asked of the broker itself, in about 0.3 s: the management API lags
        behind by a second.
        """
        return self.connections_of([vhost])[0]

    def connections_of(self, vhosts: Iterable[str]) -> list[int]:
        """How many connections each of these vhosts has at one moment."""
        rows = self._run(
            [_program('rabbitmqctl'), '-q', 'list_connections', 'vhost']
        )
        found = collections.Counter(rows.splitlines())
        return [found[vhost] for vhost in vhosts]

    def _admin(self) -> admin.BrokerAdmin:
        self._own()
        return admin.BrokerAdmin(self.admin_url)

    def _prepare(self) -> None:
        place = self._own()
        place.write('enabled_plugins', '[rabbitmq_management].\n')
        place.write(
            'rabbitmq.conf',
            f'listeners.tcp.1 = {self.host}:{self.port}\n'
            f'management.tcp.ip = {self.host}\n'
            f'management.tcp.port = {self._ports[1]}\n'
            f'default_user = {self.user}\n'
            f'default_pass = {self.password}\n'
            'disk_free_limit.absolute = 50MB\n'
            f'{_SAMPLES}'
            'log.console = true\n'
            'log.console.level = warning\n'
            'log.file = false\n',
        )

    def _command(self) -> list[str]:
        return [_program('rabbitmq-server')]

    def _environment(self) -> Mapping[str, str]:
        here = self.directory
        return {
            'RABBITMQ_NODENAME': f'cellplug-{self.port}@localhost',
            'RABBITMQ_CONFIG_FILE': f'{here}/rabbitmq.conf',
            'RABBITMQ_ENABLED_PLUGINS_FILE': f'{here}/enabled_plugins',
            'RABBITMQ_MNESIA_BASE': f'{here}/mnesia',
            'RABBITMQ_LOG_BASE': f'{here}/log',
            'RABBITMQ_PID_FILE': f'{here}/pid',
            'RABBITMQ_DIST_PORT': str(self._ports[2]),
            'ERL_EPMD_PORT': str(self._ports[3]),
            'ERL_EPMD_ADDRESS': self.host,
            # An idle broker must not spin on a core that a test needs.
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '+S 2:2 +sbwt none',
        }

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 5).close()
        except OSError:
            return False
        return self._admin().answers()


def _program(name: str) -> str:
    return places.find_program((name,), _FOLDERS)
