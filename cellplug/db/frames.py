"""One outermost transaction, and what has a say in it."""

from __future__ import annotations

import dataclasses
import os
from typing import Any
from typing import Protocol

from oslo_db.sqlalchemy import enginefacade

from cellplug import exception
from cellplug.db import engines as db_engines
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


@enginefacade.transaction_context_provider
class _Holder:
    """What enginefacade keeps one transaction on."""


class Frame:
    """One outermost transaction: of one request, thread and database.

    :ivar answered: whether a statement of it was answered.
    :ivar lost: what was raised when its connection turned out to be dead
        before that.
    """

    __slots__ = (
        'answered',
        'engines',
        'holder',
        'hooked',
        'key',
        'lost',
        'manager',
        'mode',
        'pid',
        'registry',
        'replica',
        'scope',
        'session',
    )

    session: Any
    scope: Any
    manager: db_engines.Manager
    engines: db_engines.Engines

    def __init__(
        self, registry: db_registry.EngineRegistry, key: str | None, mode: Mode
    ) -> None:
        self.registry = registry
        self.key = key
        self.mode = mode
        self.holder = _Holder()
        self.pid = os.getpid()
        self.replica = False
        self.answered = False
        self.lost: exception.DatabaseUnavailable | None = None
        self.hooked = 0
        self.session = None
        self.scope = None

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
        tells a server that cannot be reached from one that was lost.
        """
        mode = self.mode
        self.manager = self.engines.manager(
            replica=self.replica, single=mode.single
        )
        if mode.connection:
            self.scope = self.manager.connection.using(self.holder)
        elif mode.writer:
            self.scope = self.manager.writer.using(self.holder)
        else:
            self.scope = self.manager.reader.using(self.holder)
        self.session = self.scope.__enter__()
        try:
            connection = self.session
            if not mode.connection:
                connection = self.session.connection(
                    execution_options={'cellplug_writer': mode.writer}
                )
            connection.info['cellplug_frame'] = self
        except BaseException as exc:
            self.close(exc)
            raise

    def close(self, error: BaseException | None) -> None:
        """End the transaction: commit, or roll back because of ``error``.

        What the commit raises goes through; ``error`` itself does not.
        """
        scope, self.scope = self.scope, None
        if error is None:
            scope.__exit__(None, None, None)
            return
        try:
            scope.__exit__(type(error), error, error.__traceback__)
        except BaseException as exc:
            if exc is not error:
                raise
