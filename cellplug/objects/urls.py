"""Connection URLs: checked, compared and shown without their secrets.

Standard library only, so that a URL can be masked or refused without
loading a database or messaging library. Passwords may hold any character,
also a raw ``/`` or ``@``: whatever stands before the last ``@`` ahead of the
query is credentials, and is never shown.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os.path
import re
from urllib import parse

from cellplug import exception

NO_QUEUE = 'none:///'
"""The transport URL of a cell that has no message queue (cell0)."""

MASK = '***'

_SCHEME = re.compile(
    r'^([A-Za-z][A-Za-z0-9_.-]*(?:\+[A-Za-z0-9_.-]+)?):(.*)$', re.DOTALL
)
_DRIVER_NEEDED = {
    'mysql': 'mysql+pymysql',
    'mariadb': 'mysql+pymysql',
    'postgresql': 'postgresql+psycopg',
}
_DATABASE_PORTS = {'mysql': 3306, 'mariadb': 3306, 'postgresql': 5432}
_FAMILY = {'mariadb': 'mysql'}
_TRANSPORTS = {
    'rabbit': 5672,
    'fake': None,
    'kombu+memory': None,
    'kafka': 9092,
    'none': None,
}
_HARMLESS = frozenset(
    {
        'charset',
        'client_encoding',
        'connect_timeout',
        'heartbeat_rate',
        'mode',
        'read_timeout',
        'ssl',
        'ssl_disabled',
        'sslmode',
        'timeout',
        'write_timeout',
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str
    credentials: str | None
    hosts: str
    path: str
    query: str


def _split(name: str, url: str) -> _Parts:
    """Split ``scheme://credentials@hosts/path?query``, raw characters kept.

    Of several hosts (``u:p@h1,u:p@h2``) all but the last are part of
    ``credentials``: see :func:`_all_hosts`. sqlite has no credentials.
    """
    if not url or not url.strip():
        raise exception.InvalidURL(name, 'is empty')
    if url != url.strip() or any(ord(c) < 32 for c in url):
        raise exception.InvalidURL(
            name, 'has blanks around it or control characters in it'
        )
    match = _SCHEME.match(url)
    if match is None or not match[2].startswith('//'):
        raise exception.InvalidURL(
            name, 'is no URL; expected scheme://user:password@host/name'
        )
    rest = match[2][2:]
    sqlite = match[1].lower().startswith('sqlite')
    at = -1 if sqlite else _end_of_credentials(rest)
    credentials = rest[:at] if at >= 0 else None
    rest = rest[at + 1 :]
    rest, _, query = rest.partition('?')
    hosts, slash, path = rest.partition('/')
    return _Parts(match[1].lower(), credentials, hosts, slash + path, query)


def _end_of_credentials(rest: str) -> int:
    """Where the last ``@`` that ends credentials stands, or -1.

    An ``@`` in the query is not looked at, unless there is none before it:
    then a ``?`` may be part of the password, and more is masked rather than
    less.
    """
    at = rest.partition('?')[0].rfind('@')
    if at < 0 and '?' in rest:
        head = rest.partition('?')[0]
        if '/' not in head:
            at = rest.rfind('@')
    return at


def mask(url: str | None) -> str:
    """The URL for people: credentials and unknown query values are ``***``.

    Never raises: what cannot be parsed is shown as its scheme alone.
    """
    if not url:
        return ''
    try:
        parts = _split('url', url)
    except exception.InvalidURL:
        scheme = _SCHEME.match(url)
        return f'{scheme[1]}://{MASK}' if scheme else MASK
    user = ''
    if parts.credentials is not None:
        user = f'{MASK}:{MASK}@'
    query = ''
    if parts.query:
        query = '?' + '&'.join(_mask_pair(p) for p in parts.query.split('&'))
    return f'{parts.scheme}://{user}{parts.hosts}{parts.path}{query}'


def _mask_pair(pair: str) -> str:
    key, equals, _ = pair.partition('=')
    if equals and key in _HARMLESS:
        return pair
    return f'{key}={MASK}' if equals else MASK


def check_database(name: str, url: str) -> str:
    """Return the URL if it can name a database, else raise InvalidURL.

    Schemes: ``sqlite`` with an absolute or relative file, and mysql, mariadb
    or postgresql with the driver named.

    :param name: the argument's name, for the message.
    """
    parts = _split(name, url)
    family, plus, _ = parts.scheme.partition('+')
    if family == 'sqlite':
        if not parts.path.strip('/') or ':memory:' in parts.path:
            raise exception.InvalidURL(
                name,
                'sqlite needs a file, e.g. sqlite:////var/lib/cell1.sqlite; '
                'a database in memory is not shared between connections',
            )
        return url
    if family not in _DRIVER_NEEDED:
        raise exception.InvalidURL(
            name,
            f'unknown scheme {parts.scheme!r}; use mysql+pymysql, '
            'postgresql+psycopg or sqlite',
        )
    if not plus:
        raise exception.InvalidURL(
            name,
            f'scheme {family!r} must name its driver, e.g. '
            f'{_DRIVER_NEEDED[family]}://',
        )
    if (
        not parts.hosts
        and 'unix_socket' not in parts.query
        and 'host=' not in parts.query
    ):
        raise exception.InvalidURL(name, 'names no host')
    _port(name, parts.hosts)
    if not parts.path.strip('/'):
        raise exception.InvalidURL(name, 'names no database')
    return url


def check_transport(name: str, url: str) -> str:
    """Return the URL if it can name a message queue, else raise InvalidURL.

    Schemes: those of oslo.messaging (``rabbit``, ``kafka``, ``fake``,
    ``kombu+memory``), and ``none`` for a cell without a queue.
    """
    parts = _split(name, url)
    if parts.scheme not in _TRANSPORTS:
        known = ', '.join(sorted(_TRANSPORTS))
        raise exception.InvalidURL(
            name, f'unknown scheme {parts.scheme!r}; use one of {known}'
        )
    if _TRANSPORTS[parts.scheme] is not None:
        hosts = _all_hosts(parts)
        if not all(hosts):
            raise exception.InvalidURL(name, 'names no host')
        for host in hosts:
            _port(name, host)
    return url


def has_queue(transport_url: str) -> bool:
    """False for a transport URL whose scheme is ``none``."""
    return not transport_url.lower().startswith('none:')


def _port(name: str, host: str) -> tuple[str, int | None]:
    try:
        split = parse.urlsplit('//' + host)
        return split.hostname or '', split.port
    except ValueError:
        raise exception.InvalidURL(
            name, 'has a port that is no number from 0 to 65535'
        ) from None  # What urllib says quotes a part of the password.


def _all_hosts(parts: _Parts) -> list[str]:
    """Hosts with ports; of several, each without its credentials."""
    everything = f'{parts.credentials or ""}@{parts.hosts}'
    return [one.rpartition('@')[2] for one in everything.split(',')]


def database_digest(url: str) -> str:
    """SHA-256 (hex) of what makes two URLs one database.

    Scheme without driver, host, port and database; no credentials, no query:
    the same database under another user is the same database.
    """
    parts = _split('database_connection', url)
    family = parts.scheme.partition('+')[0]
    family = _FAMILY.get(family, family)
    if family == 'sqlite':
        path = os.path.realpath(parse.unquote(parts.path[1:]))
        return _sha256(f'sqlite:{path}')
    host, port = _port('database_connection', parts.hosts)
    port = port or _DATABASE_PORTS.get(family)
    where = host or _socket_of(parts.query)
    database = parse.unquote(parts.path.strip('/'))
    return _sha256(f'{family}://{where}:{port}/{database}')


def _socket_of(query: str) -> str:
    pairs = dict(parse.parse_qsl(query))
    return pairs.get('unix_socket') or pairs.get('host') or ''


def transport_digest(url: str) -> str | None:
    """SHA-256 (hex) of what makes two URLs one queue; None for ``none:``.

    Scheme, the set of hosts with their ports, and the virtual host.
    """
    if not has_queue(url):
        return None
    parts = _split('transport_url', url)
    default = _TRANSPORTS.get(parts.scheme)
    hosts = set()
    for one in _all_hosts(parts):
        host, port = _port('transport_url', one)
        hosts.add(f'{host}:{port or default}')
    vhost = parse.unquote(parts.path[1:])
    return _sha256(f'{parts.scheme}://{",".join(sorted(hosts))}/{vhost}')


def transport_hosts(url: str) -> set[str]:
    """The hosts of a message queue, in lower case, without ports."""
    name = 'transport_url'
    return {_port(name, one)[0] for one in _all_hosts(_split(name, url))}


def secret_digest(*urls: str | None) -> str:
    """SHA-256 (hex) over whole URLs, credentials and query included.

    For telling in memory whether a connection changed; never stored or shown.
    """
    return _sha256('\0'.join(url or '' for url in urls))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
