"""A URL taken apart, strictly: what has two readings is refused.

SQLAlchemy, oslo.messaging and urllib differ in where credentials end if
these hold a raw ``@``, ``/``, ``?`` or ``#``; then a part of the password
would be taken for the host, and sent to a name server.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from urllib import parse

from cellplug import exception

SCHEME = re.compile(
    r'^([A-Za-z][A-Za-z0-9_.-]*(?:\+[A-Za-z0-9_.-]+)?):(.*)$', re.DOTALL
)
_LATE_AT = re.compile('[?#].*@')


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """``scheme://credentials@hosts/path?query``, raw characters kept.

    Of several hosts (``u:p@h1,u:p@h2``) all but the last are part of
    ``credentials``: see :func:`all_hosts`. sqlite has no credentials.
    """

    scheme: str
    credentials: str | None = dataclasses.field(repr=False)
    hosts: str
    path: str
    query: str = dataclasses.field(repr=False)

    def arguments(self) -> dict[str, list[str]]:
        """The query's values by key, as SQLAlchemy reads it."""
        return parse.parse_qs(self.query)


def split(name: str, url: object) -> Parts:
    """Take a URL apart.

    :param name: the argument's name, for the message.
    :raises InvalidURL: for what is no URL, or has several readings.
    """
    if not isinstance(url, str):
        raise exception.InvalidURL(name, 'is no string')
    if not url or not url.strip():
        raise exception.InvalidURL(name, 'is empty')
    if url != url.strip() or not url.isprintable():
        raise exception.InvalidURL(
            name, 'has blanks around it or unprintable characters in it'
        )
    match = SCHEME.match(url)
    if match is None or not match[2].startswith('//'):
        raise exception.InvalidURL(
            name, 'is no URL; expected scheme://user:password@host/name'
        )
    scheme, rest = match[1].lower(), match[2][2:]
    credentials = None
    if scheme.partition('+')[0] != 'sqlite':
        if _LATE_AT.search(rest):
            raise exception.InvalidURL(
                name,
                'has an @ after a ? or #; percent-encode what is special in '
                'a user name or password: @ as %40, ? as %3F, # as %23',
            )
        head = rest.partition('?')[0]
        at = head.rfind('@')
        credentials = rest[:at] if at >= 0 else None
        rest = rest[at + 1 :]
    rest, _, query = rest.partition('?')
    hosts, slash, path = rest.partition('/')
    return Parts(scheme, credentials, hosts, slash + path, query)


def check_credentials(name: str, credentials: str, *, slash: bool) -> None:
    """Refuse credentials that libraries take apart in several ways.

    :param slash: whether a raw ``/`` in the password is read as meant.
    :raises InvalidURL: saying what to percent-encode.
    """
    if '@' in credentials:
        raise exception.InvalidURL(
            name,
            'has a raw @ in its user name or password; percent-encode it as '
            '%40',
        )
    user, _, password = credentials.partition(':')
    if '/' in user or ('/' in password and not slash):
        raise exception.InvalidURL(
            name,
            'has a raw / in its user name or password; percent-encode it as '
            '%2F',
        )


def host_and_port(name: str, host: str) -> tuple[str, int | None]:
    """The host in lower case, '' if there is none, and the port.

    :raises InvalidURL: for a port that cannot be.
    """
    try:
        taken = parse.urlsplit('//' + host)
        return taken.hostname or '', taken.port
    except ValueError:
        raise exception.InvalidURL(
            name, 'has a port that is no number from 0 to 65535'
        ) from None  # What urllib says quotes a part of the password.


def canonical_host(host: str) -> str:
    """One spelling for all that mean the same name or address."""
    host = host.lower().removesuffix('.')
    try:
        return ipaddress.ip_address(host.strip('[]')).compressed
    except ValueError:
        return host


def all_hosts(parts: Parts) -> list[tuple[str, str]]:
    """Credentials and ``host:port`` of each host of a transport URL."""
    everything = parts.hosts
    if parts.credentials is not None:
        everything = f'{parts.credentials}@{parts.hosts}'
    pairs = [one.rpartition('@') for one in everything.split(',')]
    return [(credentials, host) for credentials, _, host in pairs]
