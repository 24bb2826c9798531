"""A private MariaDB."""

from __future__ import annotations

import importlib.util
from typing import ClassVar

from cellplug.testing.services import databases
from cellplug.testing.services import places

_SETTINGS = (
    '--no-defaults',
    '--bind-address=127.0.0.1',
    '--skip-name-resolve',
    # A commit survives the death of the server, not that of the machine.
    '--innodb-flush-log-at-trx-commit=2',
    '--innodb-flush-method=fsync',
    '--skip-log-bin',
    '--max-connections=1000',
    # Small, as several run side by side.
    '--innodb-buffer-pool-size=64M',
    '--innodb-log-file-size=32M',
    '--innodb-log-buffer-size=4M',
    '--key-buffer-size=1M',
    '--aria-pagecache-buffer-size=8M',
    '--table-open-cache=400',
    '--thread-cache-size=16',
    '--performance-schema=OFF',
)


class MariaDB(databases.DatabaseServer):
    """A private MariaDB (or MySQL-compatible ``mariadbd``).

    It has the server's own defaults, the character set (latin1) included;
    databases made here are utf8mb4.
    """

    title: ClassVar[str] = 'MariaDB'
    variable: ClassVar[str] = 'CELLPLUG_TEST_MARIADB'
    _system_user: ClassVar[str] = 'mysql'
    _own_database: ClassVar[str] = 'mysql'

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Name the program or module that is missing."""
        if not (_server_program() and _install_program()):
            return 'mariadbd is not installed (package mariadb-server)'
        if importlib.util.find_spec('pymysql') is None:
            return 'PyMySQL is not installed'
        return None

    def url(self, database: str) -> str:
        """The URL of a database, existing or not."""
        return (
            f'mysql+pymysql://{self.user}:{self.password}'
            f'@{self.host}:{self.port}/{database}?charset=utf8mb4'
        )

    def _prepare(self) -> None:
        self._run(
            [
                _install_program(),
                '--no-defaults',
                f'--datadir={self.directory}/data',
                '--auth-root-authentication-method=normal',
                '--skip-test-db',
                '--skip-name-resolve',
            ]
        )
        account = f"'{self.user}'@'%'"
        self._own().write(
            'accounts.sql',
            f'CREATE USER IF NOT EXISTS {account} IDENTIFIED BY'
            f" '{self.password}';\n"
            f'GRANT ALL ON *.* TO {account} WITH GRANT OPTION;\n'
            "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1';\n",
        )

    def _command(self) -> list[str]:
        here = self.directory
        return [
            _server_program(),
            *_SETTINGS,
            f'--datadir={here}/data',
            f'--socket={here}/socket',
            f'--pid-file={here}/pid',
            f'--init-file={here}/accounts.sql',
            f'--port={self.port}',
        ]

    def _socket(self) -> str:
        return 'socket'

    def _admits(self) -> bool:
        import pymysql  # noqa: PLC0415 - load without a driver

        try:
            pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password,
                connect_timeout=5,
                read_timeout=5,
                ssl_disabled=True,
            ).close()
        except pymysql.err.Error:
            return False
        return True


def _server_program() -> str:
    return places.find_program(('mariadbd', 'mysqld'), ('/usr/libexec',))


def _install_program() -> str:
    return places.find_program(('mariadb-install-db', 'mysql_install_db'))
