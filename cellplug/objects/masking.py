"""URLs shown to people, without their secrets.

Passwords may hold any character, also a raw ``/``, ``@`` or ``?``. Where a
URL has several readings, what is secret in any of them is not shown.
"""

from __future__ import annotations

import re

from cellplug.objects import url_parts

MASK = '***'

HARMLESS = frozenset(
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
_HARMLESS_VALUE = re.compile(r'[A-Za-z0-9_.-]*\Z')
_HOST = re.compile(r'(\[[0-9A-Fa-f:.]*\]|[^:\[\]#]*)(:\d*)?\Z')


def mask(url: str | None) -> str:
    """The URL for people: credentials and unknown query values are ``***``.

    Never raises: what cannot be read with certainty is shown as its scheme
    alone.
    """
    if not url:
        return ''
    match = url_parts.SCHEME.match(str(url))
    if match is None:
        return MASK
    scheme = match[1].lower()
    if (
        not match[2].startswith('//')
        or url != url.strip()
        or not url.isprintable()
    ):
        return f'{scheme}://{MASK}'
    return f'{scheme}://{_masked(scheme, match[2][2:])}'


def mask_name(name: str) -> str:
    """A name for people; one that may be a URL in the wrong place is ``***``.

    Also a part of a URL: oslo.config splits at colons and commas.
    """
    return MASK if '@' in name or '//' in name else name


def _masked(scheme: str, rest: str) -> str:
    head, question, query = rest.partition('?')
    if scheme.partition('+')[0] == 'sqlite' and head.startswith('/'):
        return head + _masked_query(question, query)
    if '@' in query:
        # Either the ? is part of a password, or the @ is.
        return MASK
    _, at, head = head.rpartition('@')
    user = f'{MASK}:{MASK}@' if at else ''
    hosts, slash, path = head.partition('/')
    if not all(_HOST.match(host) for host in hosts.split(',')):
        # The host was forgotten: what stands for the port is a password.
        return f'{user}{MASK}'
    path, fragment, _ = path.partition('#')
    if fragment:
        return f'{user}{hosts}{slash}{path}#{MASK}'
    return f'{user}{hosts}{slash}{path}' + _masked_query(question, query)


def _masked_query(question: str, query: str) -> str:
    if not query:
        return ''
    pairs = re.split('([&;])', query)
    return question + ''.join(
        pair if pair in ('&', ';') else _masked_pair(pair) for pair in pairs
    )


def _masked_pair(pair: str) -> str:
    key, equals, value = pair.partition('=')
    if not equals:
        return MASK
    if key in HARMLESS and _HARMLESS_VALUE.match(value):
        return pair
    # What stands before the = may be a part of a password that holds an &.
    return f'{key if key.isidentifier() else MASK}={MASK}'
