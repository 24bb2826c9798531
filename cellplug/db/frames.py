"""One outermost transaction, and what has a say in it."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any
from typing import Protocol

import sqlalchemy as sa

from cellplug import exception
from cellplug.db import engines as db_engines
from cellplug.db import mysql
from cellplug.db import registry as db_registry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How a function wants its database.

    :ivar writer: it writes.
    :ivar api: it works on the API database, whatever the target.
    :ivar single: it makes one statement, which needs no transaction.
    :ivar primary: no replica will do.
    :ivar independent: a transaction of its own, also inside another.
    :ivar savepoint: inside another, it is undone alone.
    :ivar connection: a Core connection will do, the ORM is not needed.
    """

    writer: bool = False
    api: bool = False
    single: bool = False
    primary: bool = False
    independent: bool = False
    savepoint: bool = False
    connection: bool = False


class TransactionHook(Protocol):
    """Something that has a say in every outermost transaction.

    ``before`` may refuse by raising; ``after`` runs for each hook whose
    ``before`` returned, in reverse order, and must not raise.
    """

    def before(self, frame: Frame) -> None:
        """The transaction is about to connect."""
        ...

    def after(self, frame: Frame, error: BaseException | None) -> None:
        """The transaction has ended; ``error`` is what ended it."""
        ...


class Lease:
    """The first hook: engines live as long as their open transactions.

    Engines may be replaced between their look-up and the lease; then the
    look-up is repeated.
    """

    def before(self, frame: Frame) -> None:
        """Take a lease, within the database's budget."""
        while not frame.engines.acquire():
            frame.engines = frame.registry.engines(frame.key)

    def after(self, frame: Frame, error: BaseException | None) -> None:
        """End the lease."""
        frame.engines.release()


class Frame:
    """One outermost transaction: of one request, thread and database.

    :ivar committed: what to call when it has, or may have, committed.
    :ivar heard: whether an event told that a statement was answered.
    :ivar core: the connection that was its session before a function
        joined that wanted a real one.
    :ivar doomed: the error at which the server rolled back all of it.
    :ivar lost: what was raised when its connection turned out to be dead
        before that.
    :ivar failure: what was raised when its database failed it.
    :ivar reused: whether its connection had been used before.
    """

    __slots__ = (
        '_answers',
        '_began',
        '_connection',
        '_driver',
        'committed',
        'core',
        'doomed',
        'engines',
        'failure',
        'heard',
        'hooked',
        'key',
        'lost',
        'manager',
        'mode',
        'pid',
        'registry',
        'replica',
        'reused',
        'session',
    )

    session: Any
    manager: db_engines.Manager
    engines: db_engines.Engines

    def __init__(
        self, registry: db_registry.EngineRegistry, key: str | None, mode: Mode
    ) -> None:
        self.registry = registry
        self.key = key
        self.mode = mode
        self.pid = os.getpid()
        self.replica = False
        self.committed: list[Callable[[], None]] = []
        self.heard = False
        self._driver: Any = None
        self._answers = 0
        self.doomed: BaseException | None = None
        self.lost: exception.DatabaseUnavailable | None = None
        self.failure: exception.DatabaseUnavailable | None = None
        self.reused = False
        self._began = time.perf_counter()
        self.hooked = 0
        self.session = None
        self.core: Any = None

    @property
    def answered(self) -> bool:
        """Whether a statement of it was answered."""
        driver = self._driver
        return self.heard or (
            driver is not None and driver.answers != self._answers
        )

    @property
    def connected(self) -> bool:
        """Whether its connection was neither lost nor given back."""
        return not (self._connection.closed or self._connection.invalidated)

    def usable_session(self) -> Any:
        """The session, in the process that opened it.

        :raises TransactionForked: in any other.
        """
        self.check_process()
        return self.session

    def check_process(self) -> None:
        """Raise TransactionForked unless this process opened the frame."""
        if self.pid != os.getpid():
            raise exception.TransactionForked(
                'this transaction was open when the process forked; it '
                'belongs to the parent process'
            )

    def run_hooks(self, hooks: tuple[TransactionHook, ...]) -> None:
        """Ask each hook in turn; the first that raises ends the asking."""
        for hook in hooks:
            hook.before(self)
            self.hooked += 1

    def end_hooks(
        self, hooks: tuple[TransactionHook, ...], error: BaseException | None
    ) -> None:
        """Tell those that were asked that it is over, the last one first."""
        for hook in reversed(hooks[: self.hooked]):
            hook.after(self, error)
        self.hooked = 0

    def connect(self) -> None:
        """Open the session and its connection.

        Connecting now costs nothing that the first statement would not, and
        tells a server that cannot be reached from one that was lost. Each
        frame has one session: to find it again would cost as much.
        """
        mode = self.mode
        self.manager = self.engines.manager(
            replica=self.replica, single=mode.single
        )
        # Asked for on SQLite alone: to set it costs as much as all hooks.
        marked = mode.writer and self.engines.is_sqlite
        options = {'cellplug_writer': True} if marked else {}
        if mode.connection:
            self.session = self.manager.engine.connect()
        else:
            self.session = self.manager.sessionmaker()
        try:
            connection = self.session
            if not mode.connection:
                connection = connection.connection(execution_options=options)
            elif mode.writer:
                if marked:
                    connection.execution_options(**options)
                connection.begin()
            self._watch(connection)
        except BaseException as exc:
            self.close(exc)
            raise

    def _watch(self, connection: sa.Connection) -> None:
        """Learn what becomes of the statements, from the driver or events."""
        self._connection = connection
        lent = connection.connection
        info: Any = lent.info
        driver: Any = lent.dbapi_connection
        self.reused = 'cellplug_idle_since' in info
        if isinstance(driver, mysql.Connection):
            self._driver, self._answers = driver, driver.answers
        else:
            info['cellplug_frame'] = self

    def orm_session(self) -> Any:
        """The session, also where a connection was enough so far."""
        if self.mode.connection and self.core is None:
            self.core = self.session
            self.session = self.manager.sessionmaker(bind=self.core)
        return self.session

    def core_connection(self) -> Any:
        """The session's connection."""
        if not self.mode.connection:
            return self.session.connection()
        return self.session if self.core is None else self.core

    def close(self, error: BaseException | None) -> None:
        """End the transaction: commit, or roll back because of ``error``.

        What the commit raises goes through; ``error`` itself does not.
        """
        session = self.session
        try:
            if error is not None:
                # The objects go back to what they were, which closing alone
                # would not do; not while the thread is made to stop.
                if isinstance(error, Exception):
                    session.rollback()
            elif self.mode.writer:
                self._commit()
        finally:
            # Rolls back what is open.
            session.close()
            if self.core is not None:
                self.core.close()
            self.doomed = None

    def report_unopened(self, error: exception.CellplugError) -> None:
        """Tell the guard that the database could not be had.

        :param error: one of :data:`.guarding.FAILURES`; a refusal of the
            guard itself is no news to it.
        """
        if self.replica or getattr(error, 'refused', False):
            return
        if not self.engines.retired:
            self.engines.guard.database.failed(error, self._took())

    def report(self, *, answered: bool) -> None:
        """Tell the guard how the database did, after the end.

        Nothing where it was not asked. Nor where a connection turned out to
        be dead that had idled: that was some time ago, and the next one will
        tell. What a replica does is not the primary's fault.

        :param answered: whether a statement was answered.
        """
        engines, failure = self.engines, self.failure
        if self.replica:
            if failure is not None:
                engines.skip_replica()
        elif failure is None:
            if answered:
                engines.guard.database.succeeded(self._took())
        elif not (engines.retired or (self.reused and self.lost)):
            engines.guard.database.failed(failure, self._took())

    def _took(self) -> float:
        return time.perf_counter() - self._began

    def _commit(self) -> None:
        try:
            if self.doomed is not None:
                raise self.doomed
            self.session.commit()
            if self.core is not None:
                # Its transaction is not the session's to commit.
                self.core.commit()
        except Exception:
            self.session.rollback()
            raise
