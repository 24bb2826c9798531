"""Asking a database whether it works, as a transaction would find it."""

from __future__ import annotations

import sqlalchemy as sa

from cellplug.db import errors
from cellplug.db import registry as db_registry

_STATEMENT = sa.text('SELECT 1')


def probe(
    registry: db_registry.EngineRegistry, cell_uuid: str, *, fresh: bool
) -> None:
    """Connect to the primary of a cell, prove its identity, and ask it.

    By the cell's own engines, within their budget and their timeouts; its
    state and its circuits have no say.

    :param fresh: on a new connection; what idles in the pools, from before
        the database failed, is closed.
    :raises CellUnavailable: if it does not answer; also CellIdentityMismatch,
        CellIdentityMissing and, for what was deleted, CellMappingNotFound.
    """
    engines = registry.engines(cell_uuid)
    while not engines.acquire():
        engines = registry.engines(cell_uuid)
    try:
        if fresh:
            engines.drop_idle()
        with engines.manager().engine.connect() as connection:
            connection.execute(_STATEMENT)
    except errors.CONNECT_ERRORS as exc:
        raise engines.label.unavailable(errors.reason(exc)) from exc
    finally:
        engines.release()
