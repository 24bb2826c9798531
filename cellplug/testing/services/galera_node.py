"""One MariaDB of a private Galera cluster."""

from __future__ import annotations

import contextlib
import glob
import re
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar

from cellplug.testing.services import base
from cellplug.testing.services import mariadb
from cellplug.testing.services import places

_LIBRARY = 'libgalera_smm.so'
_LIBRARY_FOLDERS = (
    '/usr/lib/galera',
    '/usr/lib64/galera-4',
    '/usr/lib64/galera',
    '/usr/lib/*/galera',
)

_SETTINGS = (
    '--wsrep-on=ON',
    '--wsrep-node-address=127.0.0.1',
    '--wsrep-sst-method=rsync',
    '--binlog-format=ROW',
    '--innodb-autoinc-lock-mode=2',
)

_PROVIDER_OPTIONS = (
    # A dead node is given up after three seconds, not fifteen. Shorter, and
    # a busy machine would look like a dead node.
    'evs.keepalive_period=PT0.5S',
    'evs.inactive_check_period=PT0.5S',
    'evs.suspect_timeout=PT3S',
    'evs.inactive_timeout=PT6S',
    'gcache.size=32M',
)

_RECOVERED = re.compile(r'Recovered position: *([0-9a-f-]+:\d+)')

_TIMEOUT = 10


class Node(mariadb.MariaDB):
    """One MariaDB of a cluster; it can be broken like any other.

    :param name: what the cluster's log calls it.
    :param cluster: the cluster's name.
    :param find_peers: finds the replication addresses of those that run.
    """

    title: ClassVar[str] = 'Galera node'
    _port_count: ClassVar[int] = 4

    def __init__(
        self,
        name: str,
        cluster: str,
        password: str,
        find_peers: Callable[[], list[str]],
    ) -> None:
        super().__init__()
        self.name = name
        self.password = password
        self._cluster = cluster
        self._find_peers = find_peers
        self._position = ''

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Name the program, module or library that is missing."""
        if not _library():
            return f'{_LIBRARY} is not installed (package galera-4)'
        for program in ('rsync', 'wsrep_sst_rsync'):
            if not places.find_program([program]):
                return f'{program} is not installed'
        return super().why_unavailable()

    @property
    def address(self) -> str:
        """Where it listens for the other nodes; '' unless started."""
        return f'{self.host}:{self._ports[1]}' if self._ports else ''

    def status(self) -> dict[str, str]:
        """The server's wsrep_* status variables; none if it is silent."""
        with contextlib.suppress(base.ServiceError):
            rows = self._ask("SHOW GLOBAL STATUS LIKE 'wsrep_%'")
            return {name: str(value) for name, value in rows}
        return {}

    def synced(self, size: int) -> bool:
        """Whether it serves, as one of ``size`` nodes."""
        status = self.status()
        return (
            status.get('wsrep_local_state_comment') == 'Synced'
            and status.get('wsrep_cluster_status') == 'Primary'
            and status.get('wsrep_cluster_size') == str(size)
        )

    def catch_up(self) -> None:
        """Wait until it has applied what other nodes have committed.

        :raises ServiceError: it is silent, or cannot.
        """
        self._ask('SET SESSION wsrep_sync_wait = 1', 'SELECT 1')

    def _prepare(self) -> None:
        if not self._find_peers():
            super()._prepare()
            return
        # What it will hold, accounts included, another node sends.
        self._run(['mkdir', '-m', '700', f'{self.directory}/data'])
        self._own().write('accounts.sql', '')

    def _launch(self) -> None:
        self._position = self._recover()
        super()._launch()
        # They are in the data now, and in that of the other nodes.
        self._own().write('accounts.sql', '')

    def _recover(self) -> str:
        """How far it had come, so that it is sent what it lacks alone."""
        here = Path(self.directory)
        if not (here / 'data' / 'grastate.dat').exists():
            return ''
        log = here / 'recovery.log'
        log.unlink(missing_ok=True)
        self._run([*self._command(), '--wsrep-recover', f'--log-error={log}'])
        found = _RECOVERED.search(log.read_text(errors='replace'))
        return found[1] if found else ''

    def _command(self) -> list[str]:
        _, replication, increments, snapshots = self._ports
        options = (
            f'gmcast.listen_addr=tcp://{self.host}:{replication}',
            f'ist.recv_addr={self.host}:{increments}',
            *_PROVIDER_OPTIONS,
        )
        command = [
            *super()._command(),
            *_SETTINGS,
            f'--wsrep-provider={_library()}',
            f'--wsrep-provider-options={";".join(options)}',
            f'--wsrep-cluster-name={self._cluster}',
            f'--wsrep-cluster-address=gcomm://{",".join(self._find_peers())}',
            f'--wsrep-node-name={self.name}',
            f'--wsrep-node-incoming-address={self.host}:{self.port}',
            f'--wsrep-sst-receive-address={self.host}:{snapshots}',
        ]
        if self._position:
            command.append(f'--wsrep-start-position={self._position}')
        return command

    def _admits(self) -> bool:
        return self.status().get('wsrep_local_state_comment') == 'Synced'

    def _ask(self, *statements: str) -> Sequence[tuple[Any, ...]]:
        import pymysql  # noqa: PLC0415 - load without a driver

        try:
            with (
                contextlib.closing(
                    pymysql.connect(
                        host=self.host,
                        port=self.port,
                        user=self.user,
                        password=self.password,
                        connect_timeout=_TIMEOUT,
                        read_timeout=_TIMEOUT,
                        ssl_disabled=True,
                    )
                ) as connection,
                connection.cursor() as cursor,
            ):
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        except pymysql.err.Error as exc:
            number = exc.args[0] if exc.args else ''
            raise base.ServiceError(
                f'{self.title} {self.name} does not answer ({number})'
            ) from exc


def _library() -> str:
    """The path of the replication library, '' if there is none."""
    for folder in _LIBRARY_FOLDERS:
        found = sorted(glob.glob(f'{folder}/{_LIBRARY}'))
        if found:
            return found[0]
    return ''
