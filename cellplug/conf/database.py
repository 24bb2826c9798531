"""Options of the databases: the API database's, and every cell's."""

from __future__ import annotations

from oslo_config import cfg
from oslo_db import options as oslo_db_options


def main_opts() -> list[cfg.Opt]:
    """The process's own database, ``[database]``: oslo.db's options.

    cellplug reads ``connection`` and ``slave_connection``; the pool and the
    timeouts of the process's own database are those of ``[cell_database]``.
    """
    opts: list[cfg.Opt] = oslo_db_options.database_opts
    return opts


def api_opts() -> list[cfg.Opt]:
    """``[api_database]``: where it is, and how its connections behave."""
    return [
        cfg.StrOpt(
            'connection',
            secret=True,
            help='SQLAlchemy URL of the API database, which knows the cells '
            'and which instance lives where, e.g. '
            'mysql+pymysql://user:password@host/cellplug_api. Unset: the '
            'process has no API database, as is right for workers and for '
            'resolvers that need none.',
        ),
        cfg.StrOpt(
            'slave_connection',
            secret=True,
            help='SQLAlchemy URL of a replica of the API database for '
            "db.api.reader. cellplug's own look-ups always read the primary.",
        ),
        *_pool_opts(),
        *_timeout_opts(),
        _sql_mode(),
    ]


def engine_opts() -> list[cfg.Opt]:
    """How connections behave, for one database; ``[cell_database]``."""
    return [*_pool_opts(), *_timeout_opts(), _isolation(), _sql_mode()]


def _pool_opts() -> list[cfg.Opt]:
    return [
        cfg.IntOpt(
            'max_pool_size',
            default=5,
            min=1,
            help='Connections that stay open to one database while it is in '
            'use. The default suits a process with a few busy threads per '
            'cell.',
        ),
        cfg.IntOpt(
            'max_overflow',
            default=5,
            min=0,
            help='Further connections that may be opened under load. '
            'max_pool_size + max_overflow bounds the transactions that one '
            'process has open in one cell at a time, over all of the '
            "cell's engines; raise it with the number of threads.",
        ),
        cfg.FloatOpt(
            'pool_timeout',
            default=10,
            min=0.1,
            help='Seconds that a transaction waits for a free connection '
            'before it fails.',
        ),
        cfg.FloatOpt(
            'idle_timeout',
            default=300,
            min=1,
            help='Seconds after which the connections of a database that '
            'nobody used are closed, so that many cells do not mean many '
            'idle connections.',
        ),
        cfg.IntOpt(
            'connection_recycle_time',
            default=3600,
            min=1,
            help='Seconds after which a connection is replaced at its next '
            "use. Keep it below the server's own idle timeout.",
        ),
        cfg.FloatOpt(
            'ping_after',
            default=5,
            min=0,
            help='A connection that was idle for this many seconds is tested '
            'before it is used. 0 tests always, which costs a round trip '
            'for every transaction.',
        ),
    ]


def _timeout_opts() -> list[cfg.Opt]:
    return [
        cfg.FloatOpt(
            'connect_timeout',
            default=5,
            min=1,
            help='Seconds to connect and log in. A connect_timeout in the '
            'URL wins.',
        ),
        cfg.FloatOpt(
            'read_timeout',
            default=60,
            min=1,
            help='Seconds that a statement may take, and that a silent '
            'server is waited for. With sqlite, the seconds that a writer '
            'waits for another. A read_timeout in the URL wins.',
        ),
        cfg.FloatOpt(
            'write_timeout',
            default=60,
            min=1,
            help='Seconds to hand a statement to the server (MariaDB, '
            'MySQL). A write_timeout in the URL wins.',
        ),
    ]


def _isolation() -> cfg.Opt:
    """For cells alone: the API database's queries need READ COMMITTED."""
    return cfg.StrOpt(
        'isolation_level',
        default='READ COMMITTED',
        choices=['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'],
        help="Isolation of the cells' transactions on MariaDB, MySQL and "
        'PostgreSQL. The default keeps writers from waiting for the gaps '
        'that others read. The API database always runs READ COMMITTED.',
    )


def _sql_mode() -> cfg.Opt:
    return cfg.StrOpt(
        'mysql_sql_mode',
        default='TRADITIONAL',
        help='The sql_mode of MariaDB and MySQL sessions. The default '
        'refuses data that does not fit instead of cutting it.',
    )
