"""When two URLs name one database or one message queue."""

from __future__ import annotations

import hashlib
import os.path
from urllib import parse

from cellplug import exception
from cellplug.objects import url_parts

_DATABASE_PORTS = {'mysql': 3306, 'postgresql': 5432}
_DATABASE_NAMES = {'mysql': ('db', 'database'), 'postgresql': ('dbname',)}
_FAMILY = {'mariadb': 'mysql'}
TRANSPORT_PORTS = {
    'rabbit': 5672,
    'fake': None,
    'kombu+memory': None,
    'kafka': 9092,
    'none': None,
}
"""The transports' schemes, and the ports of those that have brokers."""


def database_digest(url: str) -> str:
    """SHA-256 (hex) of what makes two URLs one database.

    Scheme without driver, hosts, ports and database, also where the query
    names them; no credentials: the same database under another user is the
    same database.
    """
    name = 'database_connection'
    parts = url_parts.split(name, url)
    family = parts.scheme.partition('+')[0]
    family = _FAMILY.get(family, family)
    if family == 'sqlite':
        path = parts.path[1:]
        if path.startswith('file:'):
            path = parse.unquote(path.removeprefix('file:'))
        return _sha256(f'sqlite:{os.path.realpath(path)}')
    arguments = parts.arguments()
    database = parse.unquote(parts.path.strip('/'))
    for key in _DATABASE_NAMES.get(family, ()):
        database = arguments.get(key, [database])[-1]
    where = ','.join(_database_hosts(name, family, parts))
    return _sha256(f'{family}://{where}/{database}')


def _database_hosts(
    name: str, family: str, parts: url_parts.Parts
) -> list[str]:
    """Where the server is; the query overrides what stands before it."""
    arguments = parts.arguments()
    if family == 'mysql' and 'unix_socket' in arguments:
        return [f'unix:{arguments["unix_socket"][-1]}']
    host, port = url_parts.host_and_port(name, parts.hosts)
    hosts: list[tuple[str, str]] = [(host, '')]
    if 'host' in arguments:
        given = ','.join(arguments['host']).split(',')
        hosts = [_host_argument(one) for one in given]
    ports = ','.join(arguments.get('port', [])).split(',')
    if len(ports) < len(hosts):
        ports = ports[:1] * len(hosts)
    default = str(port or _DATABASE_PORTS.get(family))
    return sorted(
        {
            f'{url_parts.canonical_host(host)}:{own or given or default}'
            for (host, own), given in zip(hosts, ports, strict=False)
        }
    )


def _host_argument(value: str) -> tuple[str, str]:
    """Host and port of one value of ``host=``; a directory has no port."""
    if value.startswith('/') or value.count(':') > 1:
        host, bracket, port = value.rpartition(']:')
        return (host + ']', port) if bracket else (value, '')
    host, _, port = value.partition(':')
    return host, port


def transport_digest(url: str) -> str | None:
    """SHA-256 (hex) of what makes two URLs one queue; None for ``none:``.

    Scheme, the set of hosts with their ports, and the virtual host.
    """
    scheme, hosts, vhost = _queue(url)
    if scheme == 'none':
        return None
    return _sha256(f'{scheme}://{",".join(sorted(hosts))}/{vhost}')


def same_queue(one: str, other: str) -> bool:
    """Whether two transport URLs lead to one virtual host of one cluster.

    Brokers that have a host in common are one cluster. What cannot be read
    leads nowhere.
    """
    try:
        scheme, hosts, vhost = _queue(one)
        if scheme == 'none':
            return False
        other_scheme, other_hosts, other_vhost = _queue(other)
    except exception.InvalidURL:
        return False
    return (scheme, vhost) == (other_scheme, other_vhost) and bool(
        hosts & other_hosts
    )


def _queue(url: str) -> tuple[str, set[str], str]:
    """Scheme, hosts with ports, and virtual host."""
    name = 'transport_url'
    parts = url_parts.split(name, url)
    default = TRANSPORT_PORTS.get(parts.scheme)
    hosts = set()
    for _, one in url_parts.all_hosts(parts):
        host, port = url_parts.host_and_port(name, one)
        hosts.add(f'{url_parts.canonical_host(host)}:{port or default}')
    vhost = parse.unquote(parts.path[1:])
    if parts.scheme == 'rabbit':
        vhost = vhost or '/'
    return parts.scheme, hosts, vhost


def transport_hosts(url: str) -> set[str]:
    """The hosts of a message queue, in lower case, without ports."""
    name = 'transport_url'
    hosts = url_parts.all_hosts(url_parts.split(name, url))
    return {url_parts.host_and_port(name, one)[0] for _, one in hosts}


def secret_digest(*urls: str | None) -> str:
    """SHA-256 (hex) over whole URLs, credentials and query included.

    For telling in memory whether a connection changed; never stored or shown.
    """
    return _sha256('\0'.join(url or '' for url in urls))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()
