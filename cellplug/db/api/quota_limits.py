"""Queries of limits in the API database.

Every function works in the caller's transaction, or in autocommit where it
makes one statement. Limits are written in the order of their resources: so
nobody waits for somebody who waits for him.
"""

from __future__ import annotations

import dataclasses
import itertools
import types
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cellplug.db import limit_tables
from cellplug.db import prepared
from cellplug.db import tables
from cellplug.db.api import migration_states
from cellplug.db.api import models
from cellplug.objects import quota

LEVELS = ('user', 'project', 'class', 'default class')
"""Where limits are looked for, the first that has one wins."""

DEFAULT_CLASS = 'default'
"""The name of the class that everybody is in."""

_USER, _PROJECT, _CLASS, _DEFAULT, _MARK = range(5)

_TABLES: Mapping[str, sa.Table] = types.MappingProxyType(
    {
        limit_tables.PROJECTS: models.quotas,
        limit_tables.USERS: models.project_user_quotas,
        limit_tables.CLASSES: models.quota_classes,
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What is set.

    :ivar levels: limits by resource, for each of :data:`LEVELS`.
    :ivar empty: (table, cell) of each legacy table that is known to be empty;
        by the cell's uuid, and once more by its name if it has one here.
    """

    levels: tuple[dict[str, int], ...]
    empty: frozenset[tuple[str, str]] = frozenset()


def _level(level: int, table: sa.Table, where: Any, more: int) -> Any:
    return sa.select(
        sa.literal_column(str(level)).label('level'),
        table.c.resource,
        table.c.hard_limit,
        *(sa.literal_column("''").label(f'more{n}') for n in range(more)),
    ).where(where)


def _look_up(user: bool, named: bool, marks: bool) -> prepared.Prepared:
    """The one query for all limits of a request."""
    users, classes = models.project_user_quotas, models.quota_classes
    more = 2 if marks else 0
    parts = [
        _level(
            _PROJECT,
            models.quotas,
            models.quotas.c.project_id == sa.bindparam('project'),
            more,
        ),
        _level(
            _DEFAULT,
            classes,
            classes.c.class_name == sa.literal_column(f"'{DEFAULT_CLASS}'"),
            more,
        ),
    ]
    if user:
        own = sa.and_(
            users.c.project_id == sa.bindparam('project'),
            users.c.user_id == sa.bindparam('user'),
        )
        parts.append(_level(_USER, users, own, more))
    if named:
        named_class = classes.c.class_name == sa.bindparam('quota_class')
        parts.append(_level(_CLASS, classes, named_class, more))
    if marks:
        parts.append(
            migration_states.empty_marks(
                lambda job, cell_uuid, name: (
                    sa.literal_column(str(_MARK)),
                    job,
                    sa.literal_column('0'),
                    cell_uuid,
                    name,
                )
            )
        )
    return prepared.Prepared(sa.union_all(*parts))


_LOOK_UPS = types.MappingProxyType(
    {
        wanted: _look_up(*wanted)
        for wanted in itertools.product((False, True), repeat=3)
    }
)
"""By whether there are a user and a class, and marks are wanted."""


def look_up(
    session: tables.Handle,
    project_id: str,
    user_id: str | None,
    quota_class: str | None,
    *,
    marks: bool = False,
) -> Found:
    """The limits of a project, and of a user in it: one query.

    :param marks: ask for the marks of legacy tables as well.
    """
    if quota_class == DEFAULT_CLASS:
        quota_class = None
    values = {'project': project_id}
    if user_id is not None:
        values['user'] = user_id
    if quota_class is not None:
        values['quota_class'] = quota_class
    statement = _LOOK_UPS[user_id is not None, quota_class is not None, marks]
    rows = statement.rows(session, **values)
    levels: tuple[dict[str, int], ...] = ({}, {}, {}, {})
    if not marks:
        for level, resource, limit in rows:
            levels[level][resource] = limit
        return Found(levels)
    empty = set()
    for level, name, limit, cell_uuid, cell_name in rows:
        if level == _MARK:
            empty |= {(name, cell_uuid), (name, cell_name or cell_uuid)}
        else:
            levels[level][name] = limit
    return Found(levels, frozenset(empty))


_OF_CLASS = sa.select(
    models.quota_classes.c.resource, models.quota_classes.c.hard_limit
).where(models.quota_classes.c.class_name == sa.bindparam('owner'))
_OF_USERS = sa.select(
    models.project_user_quotas.c.user_id,
    models.project_user_quotas.c.resource,
    models.project_user_quotas.c.hard_limit,
).where(models.project_user_quotas.c.project_id == sa.bindparam('owner'))


def of_class(
    session: tables.Handle, quota_class: str
) -> dict[tuple[str, ...], int]:
    """The limits that a class sets, by (resource,)."""
    rows = session.execute(_OF_CLASS, {'owner': quota_class})
    return {(row[0],): row[1] for row in rows}


def of_users(
    session: tables.Handle, project_id: str
) -> dict[tuple[str, ...], int]:
    """The limits that users have of their own, by (user, resource)."""
    rows = session.execute(_OF_USERS, {'owner': project_id})
    return {(row[0], row[1]): row[2] for row in rows}


@dataclasses.dataclass(frozen=True, slots=True)
class _Statements:
    """What writes one table; upserts and inserts by dialect."""

    upsert: Mapping[str, Any]
    insert: Mapping[str, Any]
    delete: Any
    select: Any


def _statements(table: sa.Table, owners: tuple[str, ...]) -> _Statements:
    key = [table.c[name] for name in (*owners, 'resource')]
    this = [column == sa.bindparam(f'key_{column.name}') for column in key]
    return _Statements(
        upsert=tables.upsert(table, key, ('hard_limit', 'updated_at')),
        insert=tables.insert_absent(table, table.c.id),
        delete=sa.delete(table).where(*this),
        select=sa.select(table.c.hard_limit).where(*this),
    )


_WRITING = types.MappingProxyType(
    {
        name: _statements(_TABLES[name], owners)
        for name, owners in limit_tables.OWNERS.items()
    }
)


def write(
    session: tables.Handle,
    table: str,
    owner: Sequence[str],
    limits: Mapping[str, int | None],
) -> None:
    """Set limits, and remove those that are None.

    Waits for a transaction that is setting one of them, and removes what
    that one set: a plain DELETE does not see what is inserted beside it.

    :param table: one of :data:`.limit_tables.OWNERS`.
    :param owner: whose they are: the values of that table's columns.
    """
    statements = _WRITING[table]
    dialect = tables.connection(session).dialect.name
    upsert, insert = statements.upsert[dialect], statements.insert[dialect]
    for resource, limit in sorted(limits.items()):
        key = _key(table, owner, resource)
        if limit is None:
            session.execute(insert, {**key, 'hard_limit': quota.UNLIMITED})
            session.execute(
                statements.delete,
                {f'key_{name}': value for name, value in key.items()},
            )
        else:
            row = {**key, 'hard_limit': limit, 'updated_at': tables.utcnow()}
            session.execute(upsert, row)


def insert_absent(
    session: tables.Handle,
    table: str,
    owner: Sequence[str],
    resource: str,
    limit: int,
) -> int | None:
    """Set a limit unless there is one; the one that is there now.

    Waits for a transaction that is setting or removing it. None if it was
    removed meanwhile.
    """
    insert = _WRITING[table].insert[tables.connection(session).dialect.name]
    key = _key(table, owner, resource)
    session.execute(insert, {**key, 'hard_limit': limit})
    return get(session, table, owner, resource)


def get(
    session: tables.Handle, table: str, owner: Sequence[str], resource: str
) -> int | None:
    """One limit as it is set, None if it is not."""
    key = _key(table, owner, resource)
    found: int | None = session.execute(
        _WRITING[table].select,
        {f'key_{name}': value for name, value in key.items()},
    ).scalar()
    return found


def _key(table: str, owner: Sequence[str], resource: str) -> dict[str, str]:
    names = (*limit_tables.OWNERS[table], 'resource')
    return dict(zip(names, (*owner, resource), strict=True))
