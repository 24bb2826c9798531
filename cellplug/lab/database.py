"""The example service's own table, one in each cell, and its queries.

Every function works in the database that its context is aimed at: it is the
caller who targets, and no function here knows of cells.
"""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

import cellplug
from cellplug.lab import errors

db = cellplug.Database()


class Base(orm.DeclarativeBase):
    """What the service's models share."""


class Instance(Base):
    """An instance, in the cell where it lives."""

    __tablename__ = 'lab_instances'
    __table_args__ = {'mysql_engine': 'InnoDB', 'mysql_charset': 'utf8mb4'}  # noqa: RUF012

    uuid: orm.Mapped[str] = orm.mapped_column(sa.String(36), primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    project_id: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    user_id: orm.Mapped[str] = orm.mapped_column(sa.String(255))
    cores: orm.Mapped[int]
    memory_mb: orm.Mapped[int]
    state: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    host: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    reboots: orm.Mapped[int] = orm.mapped_column(default=0)
    fault: orm.Mapped[str | None] = orm.mapped_column(sa.String(255))
    created_at: orm.Mapped[datetime.datetime]

    def as_dict(self) -> dict[str, Any]:
        """The values, as they may travel in an RPC message."""
        values = {c.key: getattr(self, c.key) for c in self.__table__.columns}
        values['created_at'] = self.created_at.isoformat()
        return values


def create_tables(context: cellplug.RequestContext) -> None:
    """Make the service's tables where they are missing.

    :raises LabError: if an older version of the lab made them.
    """
    engine = db.get_engine(context)
    Base.metadata.create_all(engine)
    table = Instance.__tablename__
    found = {c['name'] for c in sa.inspect(engine).get_columns(table)}
    if not found.issuperset(Instance.__table__.columns.keys()):
        raise errors.LabError(
            f'an older version of the lab made the table {table}; begin with '
            'empty databases'
        )


@db.writer
def instance_create(
    context: cellplug.RequestContext, values: dict[str, Any]
) -> dict[str, Any]:
    """Write a new instance's row."""
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    instance = Instance(
        project_id=context.project_id,
        user_id=context.user_id,
        reboots=0,
        created_at=now,
        **values,
    )
    context.session.add(instance)
    context.session.flush()
    return instance.as_dict()


@db.reader.single
def instance_get(
    context: cellplug.RequestContext, uuid: str
) -> dict[str, Any]:
    """Read one instance.

    :raises InstanceNotFound: if the cell has none of this uuid.
    """
    return _find(context, uuid).as_dict()


@db.reader.single
def instance_list(context: cellplug.RequestContext) -> list[dict[str, Any]]:
    """Read all instances of the context's project, by name."""
    query = (
        sa.select(Instance)
        .where(Instance.project_id == context.project_id)
        .order_by(Instance.name, Instance.uuid)
    )
    return [instance.as_dict() for instance in context.session.scalars(query)]


def usage(
    session: Any, project_id: str, user_id: str | None
) -> dict[str, int]:
    """Count what instances use here; one in the state error uses nothing.

    :param user_id: whose instances; None for all of the project's.
    """
    query = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(Instance.cores), 0),
        sa.func.coalesce(sa.func.sum(Instance.memory_mb), 0),
    ).where(Instance.project_id == project_id, Instance.state != 'error')
    if user_id is not None:
        query = query.where(Instance.user_id == user_id)
    instances, cores, memory_mb = session.execute(query).one()
    # MariaDB's sums are decimals.
    return {
        'instances': instances,
        'cores': int(cores),
        'memory_mb': int(memory_mb),
    }


@db.reader.primary
def instance_uuids(
    context: cellplug.RequestContext, project_id: str
) -> set[str]:
    """The uuids of all the project's instances here."""
    query = sa.select(Instance.uuid).where(Instance.project_id == project_id)
    return set(context.session.scalars(query))


@db.writer
def instance_reboot(
    context: cellplug.RequestContext, uuid: str
) -> dict[str, Any]:
    """Count one more reboot."""
    instance = _find(context, uuid)
    instance.reboots += 1
    context.session.flush()
    return instance.as_dict()


@db.writer
def instance_destroy(context: cellplug.RequestContext, uuid: str) -> None:
    """Delete an instance's row."""
    context.session.delete(_find(context, uuid))


def _find(context: cellplug.RequestContext, uuid: str) -> Instance:
    query = sa.select(Instance).where(Instance.uuid == uuid)
    found: Instance | None = context.session.scalars(query).one_or_none()
    if found is None:
        raise errors.InstanceNotFound(f'there is no instance {uuid} here')
    return found
