"""Reserve and commit, written by hand: what cellplug is compared with.

Each class has ``reserve`` and ``commit`` on tables that are cellplug's own,
and makes the same guarded UPDATEs in the same order: by resource, the
project's total before the user's. None of them creates missing usages, counts
or refreshes, knows classes of quotas, or says what is over.
"""

from __future__ import annotations

import datetime
import functools
import time
import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_context import context as oslo_context
from oslo_db import api as oslo_db_api
from oslo_db.sqlalchemy import enginefacade

from cellplug.db.api import models

LIFE = 86400
"""Seconds until a reservation expires."""

_READ_COMMITTED = 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED'

_RESERVE = """
UPDATE quota_usages
   SET reserved = reserved + %s, version = version + 1, updated_at = %s
 WHERE project_id = %s AND user_id = %s AND resource = %s
   AND in_use >= 0 AND NOT refresh_due AND in_use + reserved <= %s
"""
_NOTE = """
INSERT INTO reservations (uuid, usage_id, delta, expire, created_at) VALUES
"""
_NOTE_ROW = """
(%s, (SELECT id FROM quota_usages
       WHERE project_id = %s AND user_id = %s AND resource = %s), %s, %s, %s)
"""
_CLAIM = (
    'DELETE FROM reservations WHERE uuid = %s RETURNING id, usage_id, delta'
)
_COMMIT = """
UPDATE quota_usages
   SET in_use = in_use + %s, reserved = reserved - %s, version = version + 1,
       updated_at = %s
 WHERE id = %s
"""
_LIMITS = """
SELECT 0, resource, hard_limit FROM project_user_quotas
 WHERE project_id = %s AND user_id = %s
UNION ALL
SELECT 1, resource, hard_limit FROM quotas WHERE project_id = %s
UNION ALL
SELECT 2, resource, hard_limit FROM quota_classes WHERE class_name = 'default'
"""
_LOCK = """
SELECT id, resource, in_use, reserved FROM quota_usages
 WHERE project_id = %s AND user_id IN ('', %s) AND resource IN {resources}
 ORDER BY resource, user_id FOR UPDATE
"""
_SET = """
UPDATE quota_usages
   SET in_use = %s, reserved = %s, version = version + 1, updated_at = %s
 WHERE id = %s
"""


class Over(Exception):
    """Over quota: a benchmark that comes here measures nothing."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _rows(
    deltas: Mapping[str, int], user_id: str
) -> Iterator[tuple[str, str]]:
    """Resource and user of each usage, in the order of all paths."""
    for resource in sorted(deltas):
        yield resource, ''
        yield resource, user_id


def pymysql_arguments(url: str) -> dict[str, Any]:
    """What ``pymysql.connect`` takes, from a URL."""
    parsed = sa.make_url(url)
    return {
        'host': parsed.host,
        'port': parsed.port or 3306,
        'user': parsed.username,
        'password': parsed.password,
        'database': parsed.database,
        'charset': 'utf8mb4',
    }


def connect(url: str) -> Any:
    """A connection of the driver, READ COMMITTED, transactions by hand."""
    if url.startswith('postgresql'):
        import psycopg  # noqa: PLC0415 (an optional dependency)

        plain = sa.make_url(url).set(drivername='postgresql')
        return psycopg.connect(plain.render_as_string(hide_password=False))
    import pymysql  # noqa: PLC0415 (not needed on PostgreSQL)

    return pymysql.connect(
        **pymysql_arguments(url), init_command=_READ_COMMITTED
    )


class Driver:
    """The database's driver and nothing else, one connection kept open.

    :param looks_up: it looks up the limits, instead of knowing them.
    """

    def __init__(self, url: str, *, looks_up: bool = False) -> None:
        self._connection = connect(url)
        self._looks_up = looks_up

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def limits(self, project_id: str, user_id: str) -> dict[str, int]:
        """The project's limits: one statement."""
        cursor = self._connection.cursor()
        cursor.execute(_LIMITS, (project_id, user_id, project_id))
        found: dict[str, int] = {}
        for _, resource, limit in sorted(cursor.fetchall()):
            found.setdefault(resource, limit)
        return found

    def reserve(
        self,
        project_id: str,
        user_id: str,
        deltas: Mapping[str, int],
        limits: Mapping[str, int],
    ) -> str:
        """Reserve; the handle."""
        if self._looks_up:
            limits = self.limits(project_id, user_id)
        cursor = self._connection.cursor()
        now = _now()
        for resource, user in _rows(deltas, user_id):
            delta = deltas[resource]
            cursor.execute(
                _RESERVE,
                (delta, now, project_id, user, resource,
                 limits[resource] - delta),
            )  # fmt: skip
            if cursor.rowcount != 1:
                self._connection.rollback()
                raise Over(resource)
        handle = str(uuid.uuid4())
        expire = int((time.time() + LIFE) * 1000)
        rows = list(_rows(deltas, user_id))
        cursor.execute(
            _NOTE + ','.join(_NOTE_ROW for _ in rows),
            [
                value
                for resource, user in rows
                for value in (handle, project_id, user, resource,
                              deltas[resource], expire, now)
            ],
        )  # fmt: skip
        self._connection.commit()
        return handle

    def commit(self, handle: str) -> None:
        """Commit what was reserved."""
        cursor = self._connection.cursor()
        cursor.execute(_CLAIM, (handle,))
        now = _now()
        for _, usage_id, delta in sorted(cursor.fetchall()):
            cursor.execute(_COMMIT, (delta, delta, now, usage_id))
        self._connection.commit()

    def update(
        self,
        project_id: str,
        deltas: Mapping[str, int],
        limits: Mapping[str, int],
    ) -> None:
        """The guarded UPDATEs of the project's rows, taken back again."""
        cursor = self._connection.cursor()
        now = _now()
        for resource, delta in deltas.items():
            cursor.execute(
                _RESERVE,
                (delta, now, project_id, '', resource,
                 limits[resource] - delta),
            )  # fmt: skip
        self._connection.rollback()


class LockingDriver(Driver):
    """The driver, with the usages locked by SELECT ... FOR UPDATE.

    One locking SELECT for all rows, the check in Python, an UPDATE for each.

    :ivar deadlocks: how many transactions had to be repeated.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.deadlocks = 0

    def _repeat(self, work: Any) -> Any:
        while True:
            try:
                return work()
            except Exception as exc:
                self._connection.rollback()
                code = getattr(exc, 'sqlstate', None) or exc.args[0]
                if code not in ('40P01', '40001', 1213, 1205):
                    raise
                self.deadlocks += 1

    def reserve(
        self,
        project_id: str,
        user_id: str,
        deltas: Mapping[str, int],
        limits: Mapping[str, int],
    ) -> str:
        """Reserve; the handle."""
        found: str = self._repeat(
            lambda: self._reserve(project_id, user_id, deltas, limits)
        )
        return found

    def _reserve(
        self,
        project_id: str,
        user_id: str,
        deltas: Mapping[str, int],
        limits: Mapping[str, int],
    ) -> str:
        cursor = self._connection.cursor()
        names = sorted(deltas)
        cursor.execute(
            _LOCK.format(resources=_marks(names)),
            (project_id, user_id, *names),
        )
        rows = cursor.fetchall()
        now, handle = _now(), str(uuid.uuid4())
        expire = int((time.time() + LIFE) * 1000)
        noted: list[Any] = []
        for usage_id, resource, in_use, reserved in rows:
            delta = deltas[resource]
            if in_use + reserved + delta > limits[resource]:
                raise Over(resource)
            cursor.execute(_SET, (in_use, reserved + delta, now, usage_id))
            noted += (handle, usage_id, delta, expire, now)
        values = ', '.join('(%s, %s, %s, %s, %s)' for _ in rows)
        cursor.execute(
            'INSERT INTO reservations'
            f' (uuid, usage_id, delta, expire, created_at) VALUES {values}',
            noted,
        )
        self._connection.commit()
        return handle

    def commit(self, handle: str) -> None:
        """Commit what was reserved."""
        self._repeat(lambda: self._commit(handle))

    def _commit(self, handle: str) -> None:
        cursor = self._connection.cursor()
        cursor.execute(
            'SELECT usage_id, delta FROM reservations WHERE uuid = %s'
            ' FOR UPDATE',
            (handle,),
        )
        deltas = dict(cursor.fetchall())
        cursor.execute(
            'SELECT id, in_use, reserved FROM quota_usages'
            f' WHERE id IN {_marks(deltas)}'
            ' ORDER BY resource, user_id FOR UPDATE',
            tuple(deltas),
        )
        now = _now()
        for usage_id, in_use, reserved in cursor.fetchall():
            delta = deltas[usage_id]
            cursor.execute(
                _SET, (in_use + delta, reserved - delta, now, usage_id)
            )
        cursor.execute('DELETE FROM reservations WHERE uuid = %s', (handle,))
        self._connection.commit()


def _marks(values: Any) -> str:
    return f'({", ".join("%s" for _ in values)})'


_usages, _reservations = models.quota_usages, models.reservations
_delta, _usage_id = sa.bindparam('d'), sa.bindparam('usage')

_RESERVE_CORE = (
    sa.update(_usages)
    .where(
        _usages.c.project_id == sa.bindparam('p'),
        _usages.c.user_id == sa.bindparam('u'),
        _usages.c.resource == sa.bindparam('r'),
        _usages.c.in_use >= 0,
        sa.not_(_usages.c.refresh_due),
        _usages.c.in_use + _usages.c.reserved <= sa.bindparam('free'),
    )
    .values(
        reserved=_usages.c.reserved + _delta, version=_usages.c.version + 1
    )
)
_CLAIM_CORE = (
    sa.delete(_reservations)
    .where(_reservations.c.uuid == sa.bindparam('handle'))
    .returning(
        _reservations.c.id, _reservations.c.usage_id, _reservations.c.delta
    )
)
_COMMIT_CORE = (
    sa.update(_usages)
    .where(_usages.c.id == _usage_id)
    .values(
        in_use=_usages.c.in_use + _delta,
        reserved=_usages.c.reserved - _delta,
        version=_usages.c.version + 1,
    )
)
_LIMITS_CORE = sa.union_all(
    sa.select(
        sa.literal_column('0').label('level'),
        models.project_user_quotas.c.resource,
        models.project_user_quotas.c.hard_limit,
    ).where(
        models.project_user_quotas.c.project_id == sa.bindparam('p'),
        models.project_user_quotas.c.user_id == sa.bindparam('u'),
    ),
    sa.select(
        sa.literal_column('1'),
        models.quotas.c.resource,
        models.quotas.c.hard_limit,
    ).where(models.quotas.c.project_id == sa.bindparam('p')),
    sa.select(
        sa.literal_column('2'),
        models.quota_classes.c.resource,
        models.quota_classes.c.hard_limit,
    ).where(models.quota_classes.c.class_name == 'default'),
)


@functools.cache
def _note_core(names: tuple[str, ...]) -> Any:
    """The INSERT of a reservation of these resources.

    One of several VALUES would cost more: SQLAlchemy compiles it each time.
    """
    deltas = {
        name: sa.bindparam(f'd{number}', type_=sa.BigInteger)
        for number, name in enumerate(names)
    }
    rows = (
        sa.select(
            sa.bindparam('handle', type_=sa.String),
            _usages.c.id,
            sa.case(deltas, value=_usages.c.resource),
            sa.bindparam('until', type_=sa.BigInteger),
        )
        .where(
            _usages.c.project_id == sa.bindparam('p'),
            _usages.c.user_id.in_(['', sa.bindparam('u')]),
            _usages.c.resource.in_(names),
        )
        .order_by(_usages.c.resource, _usages.c.user_id)
    )
    columns = ['uuid', 'usage_id', 'delta', 'expire']
    return sa.insert(_reservations).from_select(columns, rows)


@enginefacade.transaction_context_provider
class PlainContext(oslo_context.RequestContext):
    """A context as services without cells have it."""


def _retrying(function: Any) -> Any:
    return oslo_db_api.wrap_db_retry(max_retries=10, retry_on_deadlock=True)(
        function
    )


class Oslo:
    """oslo.db's enginefacade with its defaults, and SQLAlchemy Core.

    Statements are composed once; its blocks yield a connection, which costs
    less than a session. READ COMMITTED, as the others.

    :param looks_up: it looks up the limits, instead of knowing them.
    """

    def __init__(self, url: str, *, looks_up: bool = False) -> None:
        parsed = sa.make_url(url)
        if not url.startswith('postgresql'):
            parsed = parsed.update_query_dict(
                {'init_command': _READ_COMMITTED}
            )
        self._manager = enginefacade.transaction_context()
        self._manager.configure(
            connection=parsed.render_as_string(hide_password=False)
        )
        self._context = PlainContext()
        self._looks_up = looks_up
        self.reserve = _retrying(self._reserve)
        self.commit = _retrying(self._commit)

    def close(self) -> None:
        """Close the connections."""
        self._manager.dispose_pool()

    def _reserve(
        self,
        project_id: str,
        user_id: str,
        deltas: Mapping[str, int],
        limits: Mapping[str, int],
    ) -> str:
        writer = self._manager.writer.connection
        with writer.using(self._context) as connection:
            if self._looks_up:
                limits = self._limits(connection, project_id, user_id)
            for resource, user in _rows(deltas, user_id):
                delta = deltas[resource]
                result = connection.execute(
                    _RESERVE_CORE,
                    {
                        'd': delta,
                        'p': project_id,
                        'u': user,
                        'r': resource,
                        'free': limits[resource] - delta,
                    },
                )
                if result.rowcount != 1:
                    raise Over(resource)
            handle = str(uuid.uuid4())
            names = tuple(sorted(deltas))
            values = {f'd{n}': deltas[name] for n, name in enumerate(names)}
            until = int((time.time() + LIFE) * 1000)
            connection.execute(
                _note_core(names),
                {
                    'handle': handle,
                    'p': project_id,
                    'u': user_id,
                    'until': until,
                    **values,
                },
            )
        return handle

    def _limits(
        self, connection: sa.Connection, project_id: str, user_id: str
    ) -> dict[str, int]:
        found: dict[str, int] = {}
        rows = connection.execute(
            _LIMITS_CORE, {'p': project_id, 'u': user_id}
        )
        for _, resource, limit in sorted(map(tuple, rows)):
            found.setdefault(resource, limit)
        return found

    def _commit(self, handle: str) -> None:
        with self._manager.writer.connection.using(
            self._context
        ) as connection:
            rows = connection.execute(_CLAIM_CORE, {'handle': handle})
            for _, usage_id, delta in sorted(map(tuple, rows)):
                connection.execute(
                    _COMMIT_CORE, {'usage': usage_id, 'd': delta}
                )
