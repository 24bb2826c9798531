"""Connections of the check's own: SQLAlchemy alone, each closed for good."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from cellplug.objects import urls

_PATIENCE = 10
"""Seconds until a server that does not answer is given up."""


class Unreadable(Exception):
    """A database that cannot be looked at; the reason holds no secret."""


@contextlib.contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A new connection.

    :raises Unreadable: for whatever the database has against it.
    """
    parsed = sa.make_url(url)
    arguments: dict[str, Any] = {}
    if parsed.get_backend_name() == 'sqlite':
        # Opening a file that is not there would make it.
        if not os.path.exists(parsed.database or ''):
            raise Unreadable(f'there is no file {parsed.database}')
    else:
        arguments['connect_timeout'] = _PATIENCE
    try:
        engine = sa.create_engine(
            url, poolclass=sa.NullPool, connect_args=arguments
        )
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as exc:
        raise Unreadable(f'{urls.mask(url)}: {exc.orig}') from exc
