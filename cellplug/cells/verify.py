"""Looking at a cell's database and message queue, and changing nothing.

For operators: a cell is looked at before it is created or changed, and
whenever somebody wants to know what is wrong with it. Every wait is bounded
by the timeouts of ``[cell_database]`` and ``[rpc]``.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg

from cellplug import exception
from cellplug.cells import schemas
from cellplug.db import errors
from cellplug.db import schema
from cellplug.db import settings as db_settings
from cellplug.db import sources
from cellplug.db import sqlite
from cellplug.db.cell import identity
from cellplug.objects import mappings
from cellplug.objects import urls

DATABASE = 'database'
REPLICA = 'replica'
QUEUE = 'queue'
PARTS = (DATABASE, REPLICA, QUEUE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one look at one part of a cell has shown.

    :ivar part: ``database``, ``replica`` or ``queue``.
    :ivar check: ``connection``, ``identity`` or ``schema``.
    :ivar seconds: how long it took; None where there was nothing to ask.
    :ivar detail: what was found, for people.
    :ivar error: what is wrong, None if nothing is.
    """

    part: str
    check: str
    seconds: float | None = None
    detail: str = ''
    error: exception.CellplugError | None = None


def examine(
    conf: cfg.ConfigOpts,
    cell: mappings.CellMapping,
    *,
    parts: Iterable[str] = PARTS,
    fresh: bool = False,
) -> list[Finding]:
    """Look at a cell's database, its replica and its message queue.

    :param parts: of :data:`PARTS`.
    :param fresh: the cell is about to be created or changed: a database that
        nobody claimed, or without cellplug's tables, is as good as any.
    :returns: what was found, also of what does not answer.
    """
    found: list[Finding] = []
    asked = set(parts)
    if DATABASE in asked:
        found += _Database(conf, cell, DATABASE, fresh).examine()
    if REPLICA in asked and cell.slave_connection:
        found += _Database(conf, cell, REPLICA, fresh).examine()
    if QUEUE in asked:
        found.append(_queue(conf, cell))
    return found


def check_unique(
    cells: Iterable[mappings.CellMapping],
    values: Mapping[str, Any],
    own: str | None = None,
) -> None:
    """Refuse what another cell has, before anything else is looked at.

    The API database's keys have the last word.

    :param values: any of uuid, name, database_connection, transport_url; all
        of them checked.
    :param own: the uuid of the cell that the values are for.
    :raises CellMappingExists: names the other cell.
    """
    wanted = _keys(values)
    for other in cells:
        if other.uuid == own:
            continue
        theirs = _keys(
            {name: getattr(other, name) for name in values if name in _KEYS}
        )
        for name, key in wanted.items():
            if key is not None and theirs[name] == key:
                raise exception.CellMappingExists(name, other.name)
        queue = values.get('transport_url')
        if queue and urls.same_queue(queue, other.transport_url):
            raise exception.CellMappingExists('transport_url', other.name)


_KEYS: Mapping[str, Any] = {
    'uuid': str,
    'name': str,
    'database_connection': urls.database_digest,
    'transport_url': urls.transport_digest,
}


def _keys(values: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        name: _key(digest, values[name])
        for name, digest in _KEYS.items()
        if values.get(name) is not None
    }


def _key(digest: Any, value: Any) -> str | None:
    try:
        key: str | None = digest(value)
    except exception.InvalidURL:
        return None  # It leads nowhere.
    return key


def engine(
    conf: cfg.ConfigOpts,
    cell: mappings.CellMapping,
    *,
    may_create: bool = False,
) -> AbstractContextManager[sa.Engine]:
    """An engine on a cell's database, whoever the database belongs to.

    :param may_create: a missing file of sqlite's is made.
    :raises CellUnavailable: if it cannot be reached.
    :raises InvalidURL: if the cell's URL cannot be used.
    """
    url = urls.check_database('database_connection', cell.database_connection)
    settings = db_settings.EngineSettings.from_group(conf.cell_database)
    return schemas.bare_engine(
        url, _label(cell), settings, may_create=may_create
    )


def refuse_stranger(opened: sa.Engine, cell: mappings.CellMapping) -> None:
    """Refuse a database that another cell has claimed.

    :raises CellIdentityMismatch: if that is so.
    """
    with opened.connect() as connection:
        if schema.CELL.version(connection) is None:
            return
        found = identity.read(connection)
    if found is None or found.uuid == cell.uuid:
        return
    if found.state == identity.CLAIMED:
        raise exception.CellIdentityMismatch(cell.uuid, found.uuid)


def _label(cell: mappings.CellMapping) -> sources.Label:
    return sources.Label(cell.name, cell.uuid)


class _Database:
    """One database of a cell, looked at from the outside inwards."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        cell: mappings.CellMapping,
        part: str,
        fresh: bool,
    ) -> None:
        self._conf = conf
        self._part = part
        self._cell = cell
        self._fresh = fresh
        self._url = cell.database_connection
        if part == REPLICA:
            self._url = cell.slave_connection or ''
        self._found: list[Finding] = []
        self._check = 'connection'
        self._since = time.monotonic()

    def examine(self) -> list[Finding]:
        """Connect and ask; what fails ends the look at this database."""
        try:
            if self._fresh and sqlite.can_be_made(self._url):
                self._add('a new file')
            else:
                self._look()
        except exception.CellplugError as exc:
            self._add('', exc)
        except errors.CONNECT_ERRORS as exc:
            self._add('', _label(self._cell).unavailable(errors.reason(exc)))
        return self._found

    def _look(self) -> None:
        reached = dataclasses.replace(
            self._cell, database_connection=self._url
        )
        with (
            engine(self._conf, reached) as opened,
            opened.connect() as connection,
        ):
            connection.execute(sa.text('SELECT 1'))
            self._add(opened.dialect.name)
            self._check = 'schema'
            revision = schema.CELL.version(connection)
            self._add(*self._judge_revision(revision))
            self._check = 'identity'
            owner = None if revision is None else identity.read(connection)
            self._add(*self._judge_owner(owner))

    def _add(
        self, detail: str, error: exception.CellplugError | None = None
    ) -> None:
        now = time.monotonic()
        self._found.append(
            Finding(
                part=self._part,
                check=self._check,
                seconds=now - self._since,
                detail=detail,
                error=error,
            )
        )
        self._since = now

    def _judge_revision(
        self, found: str | None
    ) -> tuple[str, exception.CellplugError | None]:
        wanted = schema.CELL.head()
        if found == wanted or self._fresh:
            return found or 'no tables of cellplug yet', None
        return '', exception.SchemaMissing(
            f'the {self._part} of cell {self._cell.name!r}',
            found,
            f'this release works with {wanted}; run: cellplug-manage db sync '
            f'--cell {self._cell.name}',
        )

    def _judge_owner(
        self, found: identity.Identity | None
    ) -> tuple[str, exception.CellplugError | None]:
        cell = self._cell
        if found is None:
            missing = exception.CellIdentityMissing(cell.uuid, cell.name)
            return 'unclaimed', None if self._fresh else missing
        if found.uuid == cell.uuid:
            return f'{found.state} by this cell', None
        if self._fresh and found.state == identity.PENDING:
            return f'about to be claimed by {found.uuid}', None
        hint = ''
        if self._fresh:
            hint = f'if it should be that cell, use uuid {found.uuid}'
        return '', exception.CellIdentityMismatch(cell.uuid, found.uuid, hint)


def _queue(conf: cfg.ConfigOpts, cell: mappings.CellMapping) -> Finding:
    if not cell.has_queue:
        return Finding(
            part=QUEUE, check='connection', detail='has none (none:///)'
        )
    # Imported for the first queue: a third of a second.
    from cellplug.rpc import probe  # noqa: PLC0415

    since = time.monotonic()
    error: exception.CellplugError | None = None
    try:
        probe.connect(conf, cell.transport_url)
    except exception.QueueUnavailable as exc:
        error = exception.CellUnavailable(
            cell.uuid, cell.name, exc.reason, part='message queue'
        )
        error.__cause__ = exc
    except exception.CellplugError as exc:
        error = exc
    return Finding(
        part=QUEUE,
        check='connection',
        seconds=time.monotonic() - since,
        detail='' if error else cell.transport_url.partition(':')[0],
        error=error,
    )
