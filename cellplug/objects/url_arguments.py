"""The query of a database URL: whether its driver would take it.

Who asks is the code that will connect: SQLAlchemy, and the driver where it is
installed. Both are imported for a URL that has a query, and not before.
Nothing is contacted. What depends on the host, such as a file that does not
exist, is no finding: a URL may be checked elsewhere than it is used.
"""

from __future__ import annotations

from typing import Any

from cellplug import exception
from cellplug.objects import masking
from cellplug.objects import url_parts


def check(name: str, url: str) -> None:
    """Refuse a URL whose query its driver would choke on.

    :param name: the argument's name, for the message.
    :raises InvalidURL: naming the query's argument, if it is a known one,
        and never its value.
    """
    if not url_parts.split(name, url).query:
        return
    import sqlalchemy as sa  # noqa: PLC0415 (a fifth of a second)

    try:
        whole = sa.make_url(url)
    except (ValueError, sa.exc.ArgumentError):
        raise exception.InvalidURL(name, 'cannot be read') from None
    bare = sa.URL.create(
        whole.drivername,
        host=whole.host,
        port=whole.port,
        database=whole.database,
        query=whole.query,
    )
    if _is_taken(bare):
        return
    # Those alone, as some go together: as many ports as hosts.
    wrong = [
        key if key in masking.HARMLESS else masking.MASK
        for key, value in whole.query.items()
        if not _is_taken(bare.set(query={key: value}))
    ]
    which = ', '.join(wrong) or 'what it has'
    raise exception.InvalidURL(
        name,
        f'its driver does not take {which} in the query, or not this value',
    )


def _is_taken(url: Any) -> bool:
    try:
        # "Any" since SQLAlchemy leaves the dialects' constructors untyped.
        dialect: Any = url.get_dialect()()
        _, arguments = dialect.create_connect_args(url)
        if dialect.driver == 'pymysql':
            _try_pymysql(arguments)
        elif dialect.driver == 'psycopg':
            _try_psycopg(arguments)
    except (ImportError, OSError):
        return True  # The driver is not here, or a file that it would read.
    except Exception:  # noqa: BLE001 (each driver refuses in its own way)
        return False
    return True


def _try_pymysql(arguments: dict[str, Any]) -> None:
    import pymysql  # noqa: PLC0415 (an optional dependency)

    # Its constructor checks them all before it would connect. With TLS it
    # would read all authorities of the host: 20 ms for each of many cells.
    unused = {'defer_connect': True, 'ssl_disabled': True}
    pymysql.connections.Connection(**{**arguments, **unused})


def _try_psycopg(arguments: dict[str, Any]) -> None:
    from psycopg import conninfo  # noqa: PLC0415 (an optional dependency)

    conninfo.make_conninfo(**arguments)
    # libpq looks at it when it connects.
    int(arguments.get('connect_timeout', 0))
