"""Connection URLs: checked, compared and shown without their secrets.

Standard library only, so that a URL can be masked or refused without
loading a database or messaging library; but for the query of a database URL.
"""

from __future__ import annotations

from urllib import parse

from cellplug import exception
from cellplug.objects import digests
from cellplug.objects import masking
from cellplug.objects import url_arguments
from cellplug.objects import url_parts

NO_QUEUE = 'none:///'
"""The transport URL of a cell that has no message queue (cell0)."""

MASK = masking.MASK
mask = masking.mask
mask_name = masking.mask_name
database_digest = digests.database_digest
transport_digest = digests.transport_digest
transport_hosts = digests.transport_hosts
same_queue = digests.same_queue
secret_digest = digests.secret_digest

_DRIVERS = {
    'mysql': ('pymysql', 'mysqldb'),
    'mariadb': ('pymysql', 'mysqldb'),
    'postgresql': ('psycopg', 'psycopg2'),
}
"""Those whose waiting cellplug bounds; the recommended one first."""

_NO_FILE = (':memory:', 'mode=memory', 'vfs=memdb', '\0')


def check_database(name: str, url: str) -> str:
    """Return the URL if it can name a database, else raise InvalidURL.

    Schemes: ``sqlite`` with an absolute or relative file, and mysql, mariadb
    or postgresql with the driver named. A query is one that the driver
    takes, as far as this can be said without a connection.

    :param name: the argument's name, for the message.
    """
    parts = url_parts.split(name, url)
    family, _, driver = parts.scheme.partition('+')
    if family == 'sqlite':
        _check_sqlite(name, parts, driver)
        url_arguments.check(name, url)
        return url
    if family not in _DRIVERS:
        raise exception.InvalidURL(
            name,
            f'unknown scheme {parts.scheme!r}; use mysql+pymysql, '
            'postgresql+psycopg or sqlite',
        )
    _check_driver(name, family, driver)
    url_parts.check_credentials(name, parts.credentials or '', slash=True)
    host, _ = url_parts.host_and_port(name, parts.hosts)
    if not host and not {'unix_socket', 'host'} & parts.arguments().keys():
        raise exception.InvalidURL(name, 'names no host')
    if not parts.path.strip('/'):
        raise exception.InvalidURL(name, 'names no database')
    url_arguments.check(name, url)
    return url


def _check_driver(name: str, family: str, driver: str) -> None:
    if driver in _DRIVERS[family]:
        return
    scheme = 'mysql' if family == 'mariadb' else family
    usable = ' or '.join(f'{scheme}+{one}://' for one in _DRIVERS[family])
    if driver:
        raise exception.InvalidURL(
            name, f'driver {driver!r} cannot be used; use {usable}'
        )
    raise exception.InvalidURL(
        name, f'scheme {family!r} must name its driver: {usable}'
    )


def _check_sqlite(name: str, parts: url_parts.Parts, driver: str) -> None:
    if driver not in ('', 'pysqlite'):
        raise exception.InvalidURL(
            name, f'driver {driver!r} cannot be used; use sqlite://'
        )
    told = parse.unquote(f'{parts.path}?{parts.query}').lower()
    file = parse.unquote(parts.path).strip('/').removeprefix('file:')
    if (
        parts.hosts
        or not file.strip('/')
        or any(one in told for one in _NO_FILE)
    ):
        raise exception.InvalidURL(
            name,
            'sqlite needs a file, e.g. sqlite:////var/lib/cell1.sqlite; '
            'a database in memory is not shared between connections',
        )


def check_transport(name: str, url: str) -> str:
    """Return the URL if it can name a message queue, else raise InvalidURL.

    Schemes: those of oslo.messaging (``rabbit``, ``kafka``, ``fake``,
    ``kombu+memory``), and ``none`` for a cell without a queue.
    """
    parts = url_parts.split(name, url)
    if parts.scheme not in digests.TRANSPORT_PORTS:
        known = ', '.join(sorted(digests.TRANSPORT_PORTS))
        raise exception.InvalidURL(
            name, f'unknown scheme {parts.scheme!r}; use one of {known}'
        )
    if digests.TRANSPORT_PORTS[parts.scheme] is None:
        return url
    if '#' in url:
        raise exception.InvalidURL(
            name, 'has a raw # in it; percent-encode it as %23'
        )
    for credentials, one in url_parts.all_hosts(parts):
        url_parts.check_credentials(name, credentials, slash=False)
        if not url_parts.host_and_port(name, one)[0]:
            raise exception.InvalidURL(name, 'names no host')
    return url


def has_queue(transport_url: str) -> bool:
    """False for a transport URL whose scheme is ``none``."""
    return not transport_url.lower().startswith('none:')
