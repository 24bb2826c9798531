"""Changing a cell's credentials while everybody works with it.

For operators. In order: :func:`refuse_move`, a look at the new connections
(:mod:`.verify`), :func:`lost_privileges`, the cell's update, and then a
:class:`.draining.Drain`, which tells when nobody needs the former credentials
any more.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from urllib import parse

import sqlalchemy as sa
from oslo_config import cfg

from cellplug import exception
from cellplug.cells import privileges
from cellplug.cells import verify
from cellplug.objects import mappings
from cellplug.objects import url_parts
from cellplug.objects import urls

DATABASES = ('database_connection', 'slave_connection')
QUEUE = 'transport_url'
PARTS = (*DATABASES, QUEUE)


def refuse_move(
    cell: mappings.CellMapping, changed: Mapping[str, str]
) -> None:
    """Refuse URLs that lead elsewhere than the cell's do.

    A replica may be any; that it is the cell's, its identity tells.

    :raises InvalidURL: naming the argument.
    """
    url = changed.get('database_connection')
    if url is not None and digest(
        urls.database_digest, cell.database_connection
    ) != digest(urls.database_digest, url):
        raise exception.InvalidURL(
            'database_connection',
            'leads to another database than the cell has; a rotation changes '
            'credentials, a database elsewhere is for: cell update',
        )
    url = changed.get(QUEUE)
    if url is not None and not urls.same_queue(url, cell.transport_url):
        raise exception.InvalidURL(
            QUEUE,
            'leads to another message queue than the cell has; a rotation '
            'changes credentials, a queue elsewhere is for: cell update',
        )


def digest(make: Callable[[str], str], url: str) -> str | None:
    """What is made of a URL; None of one that leads nowhere."""
    try:
        return make(url)
    except exception.InvalidURL:
        return None  # The cell's own URL leads nowhere.


def lost_privileges(
    conf: cfg.ConfigOpts, cell: mappings.CellMapping, url: str
) -> set[tuple[str, str]]:
    """What the cell's database account may do, and the new one may not.

    Nothing if the former credentials are refused already: then there is
    nothing to compare with.

    :param url: the new database connection.
    :raises CellUnavailable: if the database does not answer the new one.
    """
    try:
        with connected(conf, cell, cell.database_connection) as connection:
            before = privileges.held(connection)
    except exception.CellUnavailable:
        return set()
    with connected(conf, cell, url) as connection:
        return before - privileges.held(connection)


@contextlib.contextmanager
def connected(
    conf: cfg.ConfigOpts, cell: mappings.CellMapping, url: str
) -> Iterator[sa.Connection]:
    """A connection to a database of the cell, with these credentials.

    :raises CellUnavailable: if it cannot be reached, or refuses them.
    """
    reached = dataclasses.replace(cell, database_connection=url)
    with verify.engine(conf, reached) as engine, engine.connect() as found:
        yield found


def places(
    conf: cfg.ConfigOpts, cells: Iterable[mappings.CellMapping]
) -> Iterator[tuple[str, str | None]]:
    """Every URL that is known here, and what it is called."""
    for cell in cells:
        for part in PARTS:
            yield f'{part} of cell {cell.name!r}', getattr(cell, part)
    for group in ('api_database', 'database'):
        for option in ('connection', 'slave_connection'):
            yield f'[{group}] {option}', getattr(conf[group], option)


def still_used(
    cell: mappings.CellMapping,
    former: Iterable[str | None],
    places: Iterable[tuple[str, str | None]],
) -> list[str]:
    """Where else the former credentials are used.

    On the same servers; and for what is the cell's own, on any, since a
    replica gets its accounts from its primary.

    :param cell: as it is now.
    :param former: URLs.
    :param places: names and URLs.
    """
    secrets = {one for url in former if url for one in _logins(url)}
    without_host = {(family, login) for family, _, login in secrets}
    own = {getattr(cell, part) for part in PARTS}
    found = []
    for name, url in places:
        logins = _logins(url) if url else set()
        loose = {(family, login) for family, _, login in logins}
        if secrets & logins or (url in own and without_host & loose):
            found.append(name)
    return found


def _logins(url: str) -> set[tuple[str, str, str]]:
    """Who logs in where, with what: each host of a URL."""
    try:
        parts = url_parts.split('url', url)
        pairs = url_parts.all_hosts(parts)
        return {
            (
                parts.scheme.partition('+')[0],
                str(url_parts.host_and_port('url', host)),
                parse.unquote(credentials),
            )
            for credentials, host in pairs
            if credentials
        }
    except exception.InvalidURL:
        return set()
