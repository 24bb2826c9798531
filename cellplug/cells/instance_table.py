"""The instance source of a service that has its instances in one table."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as oslo_exception

from cellplug import db
from cellplug import exception
from cellplug.db import errors
from cellplug.interfaces import instance_source

_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_$]{0,62}\Z')

_NOWHERE = '-'
"""The key of rows without a uuid: behind them, before all others."""


class TableSource:
    """Reads ``[instances] table`` by the keyset of its uuid column.

    See :class:`.instance_source.InstanceSource`. Rows without a uuid, which
    have no place in that order, come before all others: as many of them as
    are asked for at a time.

    :param options: ``[instances]``.
    :raises ConfigurationError: for a name that no table or column has.
    """

    def __init__(self, options: Any, database: db.Database) -> None:
        self._name = options.table
        schema, _, name = options.table.rpartition('.')
        columns: list[sa.ColumnClause[Any]] = [
            sa.column(_quoted(option, options[option]))
            for option in ('uuid_column', 'project_column', 'user_column')
            if options[option] is not None
        ]
        self._uuid = columns[0]
        # The columns are named with it: SQLite would take a name in quotes
        # for a string, if there is no such column.
        table = sa.table(
            _quoted('table', name),
            *columns,
            schema=_quoted('table', schema) if schema else None,
        )
        self._rows = sa.select(*columns).select_from(table)
        self._count = sa.select(sa.func.count()).select_from(table)
        self._fetch = database.reader.primary.single(_fetch)

    def list_after(
        self, context: Any, marker: str | None, limit: int
    ) -> Sequence[instance_source.SourceInstance]:
        """The rows behind a marker, in the order of their uuids."""
        if marker is None:
            lost = self._read(
                context, self._count.where(self._uuid.is_(None))
            )[0][0]
            if lost:
                nobody = instance_source.SourceInstance(_NOWHERE, None, None)
                return [nobody] * min(lost, limit)
        query = self._behind(self._rows, marker).order_by(self._uuid)
        rows = self._read(context, query.limit(limit))
        return [_instance(*row) for row in rows]

    def has(self, context: Any, instance_uuid: str) -> bool:
        """Whether the table has a row of this instance, however spelled."""
        spelled = (
            instance_uuid,
            instance_uuid.upper(),
            instance_uuid.replace('-', ''),
        )
        query = self._rows.where(
            sa.or_(*(self._uuid == _bound(one) for one in spelled))
        )
        return bool(self._read(context, query.limit(1)))

    def count_after(self, context: Any, marker: str | None) -> int | None:
        """How many rows there are behind a marker."""
        count: int = self._read(context, self._behind(self._count, marker))[0][
            0
        ]
        return count

    def _behind(
        self, statement: sa.Select[Any], marker: str | None
    ) -> sa.Select[Any]:
        if marker in (None, _NOWHERE):
            return statement.where(self._uuid.is_not(None))
        return statement.where(self._uuid > _bound(marker))

    def _read(self, context: Any, statement: sa.Select[Any]) -> Sequence[Any]:
        """All rows of a statement.

        :raises ConfigurationError: if there are no such table and columns,
            or they may not be read.
        """
        try:
            return self._fetch(context, statement)
        except (sa.exc.DBAPIError, oslo_exception.DBError) as exc:
            raise exception.ConfigurationError(
                f'[instances]: the table {self._name!r} cannot be read: '
                f'{errors.reason(exc)}'
            ) from exc


def _fetch(context: Any, statement: sa.Select[Any]) -> Sequence[Any]:
    rows: Sequence[Any] = context.session.execute(statement).all()
    return rows


def _instance(
    found: Any, project_id: Any, user_id: Any = None
) -> instance_source.SourceInstance:
    if not isinstance(found, str | uuid.UUID):
        # No marker could be made of it.
        raise exception.ConfigurationError(
            f'[instances] uuid_column: holds {type(found).__name__}, no '
            'strings; offer an instance source by an entry point instead'
        )
    return instance_source.SourceInstance(
        key=str(found),
        instance_uuid=str(found),
        project_id=_text(project_id),
        user_id=_text(user_id),
    )


def _bound(value: str | None) -> sa.BindParameter[Any]:
    """A value without a type: the column may be a string or a uuid."""
    return sa.bindparam(None, value, type_=sa.types.NullType(), unique=True)


def _quoted(option: str, name: str) -> sa.quoted_name:
    if not _NAME.match(name):
        raise exception.ConfigurationError(
            f'[instances] {option}: {name!r} is no name of a '
            f'{option.rpartition("_")[2]}: letters, digits, _ and $'
        )
    return sa.quoted_name(name, quote=True)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
