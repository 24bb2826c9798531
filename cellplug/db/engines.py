"""The engines of one database: lent for a transaction, closed after the last.

One database has up to four engines, built when first needed: for the primary
and for its replica, each in transactions or in autocommit. They share one
budget of open transactions.

Lock order: an :class:`Engines` lock is taken last, and nothing is called
while it is held that could wait for a server.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

import sqlalchemy as sa
from oslo_db.sqlalchemy import enginefacade

from cellplug import exception
from cellplug.db import connecting
from cellplug.db import guarding
from cellplug.db import mysql
from cellplug.db import settings as db_settings
from cellplug.db import sources
from cellplug.db import spelling


class Manager:
    """One engine, as an enginefacade manager builds it; it connects later.

    :ivar sessionmaker: makes sessions that are bound to the engine.
    """

    __slots__ = ('_former', '_lock', 'engine', 'sessionmaker')

    def __init__(self, root: Any) -> None:
        self.engine: sa.Engine = root.writer.get_engine()
        self.sessionmaker: Any = root.writer.get_sessionmaker()
        self._lock = threading.Lock()
        # Pools that were replaced, while anything of theirs is about.
        self._former: weakref.WeakSet[sa.Pool] = weakref.WeakSet()

    def drop_idle(self) -> None:
        """Close what nobody uses now, and the rest when it comes back.

        It comes back to a pool that was replaced, and is closed there, see
        :mod:`.connecting`; what was already on its way is closed by the next
        call. A listener that is added here would meet threads that go through
        the listeners.
        """
        engine = self.engine
        with self._lock:
            self._former.add(engine.pool)
            engine.dispose(close=False)
            former = list(self._former)
        for pool in former:
            pool.dispose()


class Engines:
    """The engines of one database under one budget of transactions.

    A *lease* is an open transaction. :meth:`retire` makes the object refuse
    new leases; its connections close when the last lease ends. The registry
    owns it.

    :param budget: how many leases there may be at a time; by default what
        the settings say.
    :ivar guard: what stands before the cell, and has to hear how it does.
    :ivar is_sqlite: whether it is a file of SQLite's.
    """

    def __init__(
        self,
        source: sources.Source,
        settings: db_settings.EngineSettings,
        shared: mysql.Shared,
        *,
        guard: guarding.Guard = guarding.NO_GUARD,
        budget: guarding.Budget | None = None,
    ) -> None:
        self.source = source
        self.settings = settings
        self.label = source.label
        self.guard = guard
        self._budget = budget or settings
        self._shared = shared
        self.is_sqlite = source.connection.startswith('sqlite')
        self._managers: dict[tuple[bool, bool], Manager] = {}
        # Reentrant: a session that is collected ends its lease, and that may
        # happen while its thread holds this lock.
        self._lock = threading.RLock()
        self._free = threading.Condition(self._lock)
        self._build_lock = threading.Lock()
        self._leases = self._waiting = 0
        self._retired = False
        self._used_at = time.monotonic()
        self._replica_lags_until = 0.0

    @property
    def has_replica(self) -> bool:
        """Whether readers may go to a replica just now."""
        return (
            self.source.slave_connection is not None
            and time.monotonic() >= self._replica_lags_until
        )

    def skip_replica(self, seconds: float = 30.0) -> None:
        """Read from the primary for a while: the replica is not ready."""
        self._replica_lags_until = time.monotonic() + seconds

    def acquire(self) -> bool:
        """Take a lease; False if these engines were retired.

        Waits at most ``pool_timeout`` seconds for another one to end.

        :raises DatabaseUnavailable: if none ended.
        """
        with self._lock:
            if self._leases >= self._budget.connections and not self._retired:
                self._wait_for_lease()
            if self._retired:
                return False
            self._leases += 1
            return True

    def _wait_for_lease(self) -> None:
        self._waiting += 1
        try:
            waited = self._free.wait_for(
                lambda: (
                    self._retired or self._leases < self._budget.connections
                ),
                self.settings.pool_timeout,
            )
        finally:
            self._waiting -= 1
        if not waited:
            raise self.label.unavailable(
                f'all {self._budget.connections} connections of this process '
                f'stayed in use for {self.settings.pool_timeout:g} s '
                '(max_pool_size + max_overflow, and [cells] max_connections)',
                before_first_statement=True,
            )

    def release(self) -> None:
        """End a lease."""
        with self._lock:
            self._leases -= 1
            self._used_at = time.monotonic()
            last = self._retired and not self._leases
            if self._waiting:
                self._free.notify()
        if last:
            self.drop_idle()

    @property
    def retired(self) -> bool:
        """Whether these are no more the engines of their database."""
        return self._retired

    @property
    def leases(self) -> int:
        """How many transactions are open."""
        return self._leases

    @property
    def connections(self) -> int:
        """How many connections are open, or being opened."""
        return sum(map(_connections, list(self._managers.values())))

    def retire(self) -> None:
        """Take no new leases; close what idles, the rest after its use."""
        with self._lock:
            self._retired = True
            self._free.notify_all()
        self.drop_idle()

    def drop_if_idle(self) -> None:
        """Close the connections if no lease was held for idle_timeout."""
        with self._lock:
            idle_for = time.monotonic() - self._used_at
            if self._leases or idle_for < self.settings.idle_timeout:
                return
        self.drop_idle()

    def drop_idle(self, *, but: Manager | None = None) -> None:
        """Close all connections that nobody uses at the moment."""
        for manager in list(self._managers.values()):
            if manager is not but:
                manager.drop_idle()

    def manager(self, *, replica: bool = False, single: bool = False) -> Any:
        """The manager of one engine, built without contacting anything.

        sqlite has no round trip to save: there, single reads share the
        other readers' engine.
        """
        single = single and not self.is_sqlite
        found = self._managers.get((replica, single))
        if found is not None:
            return found
        with self._build_lock:
            found = self._managers.get((replica, single))
            if found is None:
                found = self._build(replica, single)
                self._managers[replica, single] = found
        return found

    def _build(self, replica: bool, single: bool) -> Manager:
        url = self.source.connection
        if replica and self.source.slave_connection:
            url = self.source.slave_connection
        url = spelling.spelled(url)
        sqlite = self.is_sqlite
        root = enginefacade.transaction_context()
        root.configure(
            connection=url,
            connection_parameters=spelling.parameters(url),
            connection_debug=-1,
            connection_recycle_time=self.settings.connection_recycle_time,
            connection_trace=False,
            expire_on_commit=False,
            logging_name=None,
            max_overflow=None if sqlite else self.settings.max_overflow,
            max_pool_size=None if sqlite else self.settings.max_pool_size,
            max_retries=0,
            mysql_sql_mode=self.settings.mysql_sql_mode or None,
            on_engine_create=[self._preparer(replica, single)],
            pool_timeout=None if sqlite else self.settings.pool_timeout,
            sqlite_fk=True,
            sqlite_synchronous=True,
            synchronous_reader=True,
            thread_checkin=False,
        )
        return self._start(root, replica)

    def _start(self, root: Any, replica: bool) -> Manager:
        argument = 'slave_connection' if replica else 'database_connection'
        try:
            return Manager(root)
        except ImportError as exc:
            raise exception.InvalidURL(
                self.label.argument(argument),
                f'its driver cannot be used: {exc}',
            ) from None
        except (sa.exc.ArgumentError, TypeError, ValueError):
            # Of what they say, the URL may be part.
            raise exception.InvalidURL(
                self.label.argument(argument),
                'its driver cannot read it; check the values in its query',
            ) from None

    def _preparer(self, replica: bool, single: bool) -> Any:
        def prepare(engine: sa.Engine) -> None:
            connecting.prepare(
                engine,
                self.settings,
                autocommit=single,
                shared=self._shared,
                make_room=lambda: self._make_room((replica, single)),
                may_create=self.source.may_create,
                hooks=self.source.hooks,
            )

        return prepare

    def _make_room(self, key: tuple[bool, bool]) -> None:
        """Keep the connections of all engines together within the budget.

        Leases bound those in use; what idles in a sibling's pool is closed
        before a new one is opened beyond the budget.

        :param key: of the engine that is about to connect.
        """
        self.trim(but=self._managers.get(key))

    def trim(self, *, but: Manager | None = None) -> None:
        """Close what idles, if there is more than the budget allows."""
        if self.connections > self._budget.connections:
            self.drop_idle(but=but)


def _connections(manager: Manager) -> int:
    pool = manager.engine.pool
    if isinstance(pool, sa.QueuePool):
        return pool.checkedin() + pool.checkedout()
    return 0
