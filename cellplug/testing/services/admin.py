"""Make and drop databases and vhosts on any server, given its admin URL.

It makes no difference whether the server is a private one or somebody
else's, e.g. a container that a CI system runs beside the tests.
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_TIMEOUT = 30
_NAME = re.compile(r'[a-z][a-z0-9_]{0,62}\Z')
_MANAGEMENT_PORT = 15672


def with_database(url: str, name: str) -> str:
    """The same URL for another database (or vhost)."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(path=f'/{name}'))


def create_database(url: str, name: str, template: str = '') -> str:
    """Make an empty database; utf8mb4 on MariaDB, UTF-8 on PostgreSQL.

    :param url: the server's admin URL, ``mysql+pymysql:`` or
        ``postgresql+psycopg:``.
    :param name: lower-case letters, digits and underscores, at most 63.
    :param template: on PostgreSQL, a database that nobody is connected to:
        the new one is a copy of it.
    :returns: the new database's URL.
    :raises ValueError: the name or the URL's scheme is none of these.
    """
    if _is_mysql(url):
        _mysql(url, f'CREATE DATABASE `{_safe(name)}` CHARACTER SET utf8mb4')
    else:
        copied = f' TEMPLATE "{_safe(template)}"' if template else ''
        _postgresql(url, f'CREATE DATABASE "{_safe(name)}"{copied}')
    return with_database(url, name)


def run_script(url: str, script: str) -> None:
    """Run statements in a database of MariaDB's, in one round trip.

    :param url: the database's.
    :param script: separated by semicolons.
    """
    import pymysql  # noqa: PLC0415 - load without a driver

    name = urllib.parse.urlsplit(url).path.strip('/')
    many = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with (
        _connected_mysql(url, database=name, client_flag=many) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(script)
        # What a later statement fails with is raised here.
        while cursor.nextset():
            pass


def drop_database(url: str, name: str) -> None:
    """Drop a database, even while connections to it are open.

    One that does not exist is no error.
    """
    if _is_mysql(url):
        _drop_mysql(url, _safe(name))
    else:
        _postgresql(
            url, f'DROP DATABASE IF EXISTS "{_safe(name)}" WITH (FORCE)'
        )


def _safe(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f'no database may be called {name!r} here')
    return name


def _is_mysql(url: str) -> bool:
    scheme = urllib.parse.urlsplit(url).scheme.partition('+')[0]
    if scheme not in ('mysql', 'mariadb', 'postgresql'):
        raise ValueError(f'no databases can be made with a {scheme}: URL')
    return scheme != 'postgresql'


def _login(url: str) -> dict[str, Any]:
    parts = urllib.parse.urlsplit(url)
    return {
        'host': parts.hostname or '127.0.0.1',
        'user': urllib.parse.unquote(parts.username or ''),
        'password': urllib.parse.unquote(parts.password or ''),
    }


def _drop_mysql(url: str, name: str) -> None:
    # An open transaction holds a metadata lock that DROP waits a day for.
    open_connections = _mysql(
        url,
        'SELECT id FROM information_schema.processlist WHERE db = %s',
        name,
    )
    for (number,) in open_connections:
        with contextlib.suppress(LookupError):
            _mysql(url, f'KILL {int(number)}')
    _mysql(url, f'DROP DATABASE IF EXISTS `{name}`')


def _mysql(url: str, statement: str, *values: str) -> list[tuple[Any, ...]]:
    import pymysql  # noqa: PLC0415 - load without a driver

    with (
        _connected_mysql(url) as connection,
        connection.cursor() as cursor,
    ):
        try:
            cursor.execute(statement, values or None)
        except pymysql.err.OperationalError as exc:
            if exc.args[0] == 1094:  # no such thread: it left by itself
                raise LookupError(statement) from exc
            raise
        return list(cursor.fetchall())


def _connected_mysql(url: str, **options: Any) -> contextlib.closing[Any]:
    import pymysql  # noqa: PLC0415 - load without a driver

    return contextlib.closing(
        pymysql.connect(
            **_login(url),
            port=urllib.parse.urlsplit(url).port or 3306,
            autocommit=True,
            connect_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            ssl_disabled=True,
            **options,
        )
    )


def _postgresql(url: str, statement: str) -> None:
    import psycopg  # noqa: PLC0415 - load without a driver

    parts = urllib.parse.urlsplit(url)
    with psycopg.connect(
        **_login(url),
        port=parts.port or 5432,
        dbname=parts.path.strip('/') or 'postgres',
        autocommit=True,
        connect_timeout=_TIMEOUT,
        options=f'-c statement_timeout={_TIMEOUT}s',
    ) as connection:
        connection.execute(statement.encode())


class BrokerAdmin:
    """RabbitMQ's management API, as far as tests need it.

    :param url: ``rabbit://user:password@host:port/?management_port=15672``;
        the account must be an administrator's.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        query = urllib.parse.parse_qs(parts.query)
        port = int(query.get('management_port', [_MANAGEMENT_PORT])[0])
        self._url = urllib.parse.urlunsplit(
            parts._replace(scheme='rabbit', query='')
        )
        self._base = f'http://{parts.hostname}:{port}/api'
        self._user = urllib.parse.unquote(parts.username or '')
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        passwords.add_password(
            None,
            self._base,
            self._user,
            urllib.parse.unquote(parts.password or ''),
            is_authenticated=True,
        )
        # No proxy: it would be asked for a loopback address.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPBasicAuthHandler(passwords),
        )

    def answers(self) -> bool:
        """Whether the broker runs and accepts the account."""
        try:
            node = self._ask('GET', 'overview')
        except OSError:
            return False
        return bool(node and node.get('listeners'))

    def create_vhost(self, name: str) -> str:
        """Make a vhost in which the account may do everything.

        :returns: its transport URL.
        """
        self._ask('PUT', f'vhosts/{_safe(name)}')
        everything = {'configure': '.*', 'write': '.*', 'read': '.*'}
        user = urllib.parse.quote(self._user, safe='')
        self._ask('PUT', f'permissions/{name}/{user}', everything)
        return with_database(self._url, name)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost and close its connections; absent is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._ask('DELETE', f'vhosts/{_safe(name)}')

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f'{self._base}/{path}',
            data=None if body is None else json.dumps(body).encode(),
            headers={'Content-Type': 'application/json'},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as response:
                text = response.read()
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                raise FileNotFoundError(path) from exc
            raise
        return json.loads(text) if text else None
