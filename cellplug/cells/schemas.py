"""Schemas brought up to date, and databases claimed by their cells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_config import cfg

from cellplug import context as cellplug_context
from cellplug import db
from cellplug import exception
from cellplug.db import engines as db_engines
from cellplug.db import errors
from cellplug.db import mysql
from cellplug.db import schema
from cellplug.db import settings as db_settings
from cellplug.db import sources
from cellplug.db.cell import identity
from cellplug.objects import urls


def sync_api_database(conf: cfg.ConfigOpts, revision: str = 'head') -> None:
    """Bring the API database's schema up to date.

    Any number of processes may do so at once.

    :param conf: with ``[api_database] connection`` set.
    :raises NotSupported: if it is not set.
    :raises InvalidURL: if it cannot be used.
    :raises DatabaseUnavailable: if the database cannot be reached.
    """
    with api_engine(conf) as engine:
        schema.API.sync(engine, revision)


@contextlib.contextmanager
def api_engine(conf: cfg.ConfigOpts) -> Iterator[sa.Engine]:
    """An engine on the API database, for work on its schema."""
    url = conf.api_database.connection
    if not url:
        raise exception.NotSupported(
            'this process has no API database: [api_database] connection is '
            'not set'
        )
    urls.check_database('[api_database] connection', url)
    settings = db_settings.EngineSettings.from_group(conf.api_database)
    label = sources.Label('API database')
    with bare_engine(url, label, settings, may_create=True) as engine:
        yield engine


@contextlib.contextmanager
def bare_engine(
    url: str,
    label: sources.Label,
    settings: db_settings.EngineSettings,
    *,
    may_create: bool = False,
) -> Iterator[sa.Engine]:
    """An engine that asks the database for no identity, closed afterwards.

    :param may_create: a missing file of sqlite's is made.
    :raises DatabaseUnavailable: for what the block meets when the database
        cannot be reached.
    """
    source = sources.Source(label, url, may_create=may_create)
    engines = db_engines.Engines(source, settings, mysql.Shared())
    try:
        engine = engines.manager().engine
        _connect(engine, label)
        yield engine
    except Exception as exc:
        ours = errors.unavailable(exc, label, unanswered=False)
        if ours is not None:
            raise ours from exc
        raise
    finally:
        engines.retire()


def _connect(engine: sa.Engine, label: sources.Label) -> None:
    try:
        engine.connect().close()
    except errors.CONNECT_ERRORS as exc:
        raise label.unavailable(
            errors.reason(exc), before_first_statement=True
        ) from exc
    except (AttributeError, LookupError, TypeError, ValueError):
        # What drivers say of an argument's value may quote a secret.
        raise exception.InvalidURL(
            label.argument('database_connection'),
            'its driver does not accept a value in it',
        ) from None


class Claims:
    """The claims of cells on their databases; see db.cell.identity."""

    def __init__(
        self, database: db.Database, settings: db_settings.EngineSettings
    ) -> None:
        self._database = database
        self._settings = settings

    @contextlib.contextmanager
    def claiming(self, cell_uuid: str, name: str, url: str) -> Iterator[None]:
        """Announce the claim, run the block, make the claim final.

        cellplug's tables are made where they are missing. The block writes
        the API database. If it raises, an announcement made here is taken
        back.

        :raises CellIdentityMismatch: if the database is another cell's.
        :raises CellUnavailable: if it cannot be reached.
        """
        label = sources.Label(name, cell_uuid)
        with bare_engine(
            url, label, self._settings, may_create=True
        ) as engine:
            schema.CELL.sync(engine)
            with _writing(engine) as connection:
                identity.begin_claim(connection, cell_uuid, self._is_known)
            try:
                yield
            except BaseException:
                self._take_back(engine, cell_uuid)
                raise
            with _writing(engine) as connection:
                identity.finish_claim(connection, cell_uuid, self._is_known)

    def finish(self, cell_uuid: str, name: str, url: str) -> bool:
        """Make a claim final that a crash left behind; whether one was.

        :raises CellUnavailable: if the database cannot be reached.
        """
        label = sources.Label(name, cell_uuid)
        with bare_engine(
            url, label, self._settings, may_create=True
        ) as engine:
            try:
                with _writing(engine) as connection:
                    found = identity.read(connection)
            except exception.SchemaMissing:
                return False
            if found != identity.Identity(cell_uuid, identity.PENDING):
                return False
            with _writing(engine) as connection:
                identity.finish_claim(connection, cell_uuid, self._is_known)
        return True

    def _take_back(self, engine: sa.Engine, cell_uuid: str) -> None:
        if self._is_known(cell_uuid):
            return
        with _writing(engine) as connection:
            found = identity.read(connection)
            if found is not None and found.state == identity.PENDING:
                identity.release(connection, cell_uuid)

    def force(self, cell_uuid: str, name: str, url: str) -> None:
        """Claim a database that no cell has claimed; make tables first.

        :raises CellIdentityMismatch: if it is another cell's.
        """
        label = sources.Label(name, cell_uuid)
        with bare_engine(
            url, label, self._settings, may_create=True
        ) as engine:
            schema.CELL.sync(engine)
            with _writing(engine) as connection:
                identity.force_claim(connection, cell_uuid)

    def _is_known(self, cell_uuid: str) -> bool:
        context: cellplug_context.RequestContext = (
            cellplug_context.InternalContext()
        )
        with self._database.api.writer.independent.using(context) as session:
            try:
                db.cell_queries.get(session, cell_uuid)
            except exception.CellMappingNotFound:
                return False
        return True


@contextlib.contextmanager
def _writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    options = engine.execution_options(cellplug_writer=True)
    with options.begin() as connection:
        yield connection
