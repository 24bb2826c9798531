"""Accounts of databases and brokers that come and go; work that goes on."""

from __future__ import annotations

import contextlib
import secrets
import threading
import urllib.parse

import sqlalchemy as sa
from fixtures import Fixture

from cellplug.testing import services
from cellplug.testing.services import admin
from tests.functional import databases
from tests.functional import helpers_deployment

PATIENCE = helpers_deployment.PATIENCE

_SESSIONS = {
    'mysql': (
        'SELECT id, user FROM information_schema.processlist '
        'WHERE db = DATABASE() AND id <> CONNECTION_ID()'
    ),
    'postgresql': (
        'SELECT pid, usename FROM pg_stat_activity '
        'WHERE datname = current_database() AND pid <> pg_backend_pid() '
        "AND backend_type = 'client backend'"
    ),
}
_CREATE = {
    'mysql': (
        "CREATE USER {user} IDENTIFIED BY '{password}'",
        'GRANT ALL ON `{database}`.* TO {user}',
    ),
    'postgresql': (
        "CREATE ROLE {user} LOGIN PASSWORD '{password}'",
        'GRANT ALL ON SCHEMA public TO {user}',
        'GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}',
        'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {user}',
    ),
}
_LESS = {
    # MariaDB revokes from a table what was granted on it alone.
    'mysql': (
        'REVOKE {but} ON `{database}`.* FROM {user}',
        'GRANT {but} ON `{database}`.cell_identity TO {user}',
    ),
    'postgresql': ('REVOKE {but} ON note FROM {user}',),
}
_DROP = {
    'mysql': ('DROP USER IF EXISTS {user}',),
    'postgresql': ('DROP OWNED BY {user}', 'DROP ROLE {user}'),
}


def _as(url, user, password):
    parts = urllib.parse.urlsplit(url)
    netloc = f'{user}:{password}@{parts.hostname}:{parts.port}'
    return urllib.parse.urlunsplit(parts._replace(netloc=netloc))


def user_of(url):
    return urllib.parse.urlsplit(url).username


def password_of(url):
    return urllib.parse.urlsplit(url).password


class Accounts(Fixture):
    """Accounts of one database; what is left is dropped in the end.

    :param url: the database's, of the administrator.
    """

    def __init__(self, url):
        super().__init__()
        self.url = url
        self._family = url.partition('+')[0]
        self._users = []

    def _setUp(self):
        self.addCleanup(self._drop_all)

    def _drop_all(self):
        for user in list(self._users):
            self.drop(user)

    def _run(self, statements, **values):
        with helpers_deployment.past_cellplug(self.url) as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.format(**values))

    def add(self, but=''):
        """A new account that may do everything there; its URL.

        :param but: what it may not do with the table ``note``.
        """
        user, password = f'u{secrets.token_hex(4)}', secrets.token_hex(8)
        database = urllib.parse.urlsplit(self.url).path.strip('/')
        statements = _CREATE[self._family]
        if but:
            statements += _LESS[self._family]
        self._run(
            statements,
            but=but,
            user=user,
            password=password,
            database=database,
        )
        self._users.append(user)
        return _as(self.url, user, password)

    def drop(self, user):
        """Drop an account, and end its sessions; how many there were."""
        ended = self.kill(user)
        self._run(_DROP[self._family], user=user)
        self._users.remove(user)
        return ended + self.kill(user)

    def kill(self, user):
        """End an account's sessions; how many there were."""
        kill = helpers_deployment._KILL[self._family]
        killed = [one for one, whose in self._sessions() if whose == user]
        with helpers_deployment.past_cellplug(self.url) as connection:
            for number in killed:
                with contextlib.suppress(sa.exc.DBAPIError):
                    # It may have left by itself.
                    connection.exec_driver_sql(kill.format(int(number)))
        databases.poll_until(
            lambda: not {one for one, _ in self._sessions()} & set(killed),
            'the server keeps sessions that it was told to end',
        )
        return len(killed)

    def _sessions(self):
        with helpers_deployment.past_cellplug(self.url) as connection:
            return [
                tuple(row)
                for row in connection.exec_driver_sql(_SESSIONS[self._family])
            ]

    def count(self):
        """The sessions of each account in the database."""
        found = {}
        for _, user in self._sessions():
            found[user] = found.get(user, 0) + 1
        return found


class BrokerAccounts(Fixture):
    """Accounts of one virtual host.

    :param url: the virtual host's, of the administrator.
    """

    def __init__(self, url):
        super().__init__()
        self.url = url
        self._vhost = urllib.parse.urlsplit(url).path.strip('/')
        self._users = []

    def _setUp(self):
        self._broker = admin.BrokerAdmin(
            services.shared_url(services.RabbitMQ)
        )
        self.addCleanup(self._drop_all)

    def _drop_all(self):
        for user in list(self._users):
            self.drop(user)

    def add(self):
        """A new account that may do everything there; its URL."""
        user, password = f'u{secrets.token_hex(4)}', secrets.token_hex(8)
        self._broker._ask(
            'PUT', f'users/{user}', {'password': password, 'tags': ''}
        )
        self._broker._ask(
            'PUT',
            f'permissions/{self._vhost}/{user}',
            {'configure': '.*', 'write': '.*', 'read': '.*'},
        )
        self._users.append(user)
        return _as(self.url, user, password)

    def drop(self, user):
        """Drop an account; the broker ends its connections."""
        self._broker._ask('DELETE', f'users/{user}')
        self._users.remove(user)

    def kill(self, user):
        """End an account's connections; how many there were."""
        killed = 0
        for one in self._connections():
            if one.get('user') == user:
                name = urllib.parse.quote(one['name'], safe='')
                with contextlib.suppress(FileNotFoundError):
                    self._broker._ask('DELETE', f'connections/{name}')
                    killed += 1
        return killed

    def _connections(self):
        return self._broker._ask('GET', f'vhosts/{self._vhost}/connections')

    def count(self):
        """The connections of each account to the virtual host."""
        found = {}
        for one in self._connections():
            user = one.get('user', '?')
            found[user] = found.get(user, 0) + 1
        return found


class Load:
    """Calls that are made over and over, each in a thread of its own.

    :ivar done: how many came back.
    :ivar failures: what was raised.
    """

    def __init__(self, *calls):
        self.done = 0
        self.failures = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(call,), daemon=True)
            for call in calls
        ]

    def _run(self, call):
        while not self._stop.is_set():
            try:
                call()
            except Exception as exc:
                with self._lock:
                    self.failures.append(exc)
            else:
                with self._lock:
                    self.done += 1

    def reach(self, more):
        """Wait until so many more calls have come back."""
        goal = self.done + more
        databases.poll_until(
            lambda: self.done >= goal or self.failures, 'the work stands still'
        )

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                raise AssertionError('a request does not come back')
