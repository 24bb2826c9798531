"""Reading what other nodes of a cluster have committed, where that matters.

On a Galera cluster a node may be some milliseconds behind. What it writes
meanwhile is safe: a transaction on rows that another node has changed loses at
its COMMIT. But a read may miss what the caller knows to be there, such as the
reservation that another process made at another node.
"""

from __future__ import annotations

import sqlalchemy as sa

from cellplug.db import tables

_KEPT = 'cellplug_sync_wait'

_ASK = sa.text(
    'SHOW SESSION VARIABLES WHERE variable_name '
    "IN ('wsrep_on', 'wsrep_sync_wait')"
)
_WAIT = 1
"""The bit of wsrep_sync_wait that makes a SELECT wait."""


def catch_up(session: tables.Handle) -> bool:
    """Wait until this server has what its cluster had committed before.

    To be called first in a transaction: later, the server does not wait.
    On anything but a cluster it costs one query for each new connection.

    :returns: whether it is a cluster; if not, there was nothing to wait for.
    """
    connection = tables.connection(session)
    if connection.dialect.name not in ('mysql', 'mariadb'):
        return False
    usual = connection.info.get(_KEPT, '')
    if usual == '':
        found = {str(name): value for name, value in connection.execute(_ASK)}
        usual = None
        if found.get('wsrep_on') == 'ON':
            usual = int(found['wsrep_sync_wait'])
        connection.info[_KEPT] = usual
    if usual is None:
        return False
    _set(connection, usual | _WAIT)
    try:
        connection.execute(sa.text('SELECT 1'))
    finally:
        _set(connection, usual)
    return True


def _set(connection: sa.Connection, value: int) -> None:
    connection.execute(sa.text(f'SET SESSION wsrep_sync_wait = {value:d}'))
