"""The Database object: decorators and blocks that find their database.

``db.reader`` and ``db.writer`` look at the context they are given, and open
a transaction in the database it is aimed at, or join the one that the request
has open there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from typing import ParamSpec
from typing import Self
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import orm

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.db import finding
from cellplug.db import frames
from cellplug.db import opening
from cellplug.db import registry as db_registry
from cellplug.db import retry
from cellplug.db import sessions

P = ParamSpec('P')
R = TypeVar('R')


class Access:
    """A decorator, and a block by ``using``; its attributes refine it.

    The function's context is its parameter named ``context``, else its first
    (after ``self`` or ``cls``). A generator or coroutine function is refused:
    its body would run after the transaction.
    """

    def __init__(self, database: Database, mode: frames.Mode) -> None:
        self._database = database
        self._mode = mode

    def _with(self, **flags: bool) -> Self:
        return type(self)(
            self._database, dataclasses.replace(self._mode, **flags)
        )

    def using(
        self, context: cellplug_context.RequestContext
    ) -> AbstractContextManager[Any]:
        """A block with a session; calls inside it on the same database join.

        :raises DatabaseNotBound: if no router is open.
        :raises DatabaseUnavailable: on entry, if the database cannot be
            reached, or failed too often to be asked just now; also
            CellIdentityMismatch, CellMappingNotFound.
        :raises CellStateForbids: on entry, if the cell is disabled, or this a
            writer and the cell read-only.
        :raises ReadOnlyTransaction: for a writer inside a reader.
        """
        return opening.Opening(self._database.binding, self._mode, context)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Run each call of the function in a transaction."""
        find = finding.context_finder(function)
        database, mode = self._database, self._mode

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            context = find(args, kwargs)
            block = opening.Opening(database.binding, mode, context)
            try:
                with block:
                    return function(*args, **kwargs)
            except exception.DatabaseUnavailable as exc:
                if mode.writer or not block.found_dead(exc):
                    raise
            # A pooled connection had died, and nothing was read yet.
            with opening.Opening(database.binding, mode, context):
                return function(*args, **kwargs)

        return wrapper


class Reader(Access):
    """Access for functions that read."""

    @functools.cached_property
    def single(self) -> Reader:
        """For a function that makes one statement.

        Alone it runs in autocommit, which saves round trips; inside a
        transaction it joins.
        """
        return self._with(single=True)

    @functools.cached_property
    def primary(self) -> Reader:
        """For a reader that must not be served by a replica."""
        return self._with(primary=True)

    @functools.cached_property
    def connection(self) -> Reader:
        """For a reader that needs a Core connection and no session.

        Where a reader that wants a session joins it, that one gets a session
        on this connection.
        """
        return self._with(connection=True)


class Writer(Access):
    """Access for functions that write."""

    @functools.cached_property
    def independent(self) -> Access:
        """A transaction of its own, committed whatever becomes of the outer.

        It takes a second connection, and cannot see the outer's changes.
        """
        return self._with(independent=True)

    @functools.cached_property
    def savepoint(self) -> Access:
        """Inside a transaction, undone alone when it raises."""
        return self._with(savepoint=True)

    @functools.cached_property
    def connection(self) -> Writer:
        """For a writer that needs a Core connection and no session.

        Where a function that wants a session joins it, that one gets a
        session on this connection.
        """
        return self._with(connection=True)


class ApiAccess:
    """``db.api``: the API database, whatever the context is aimed at."""

    def __init__(self, database: Database) -> None:
        self.reader = Reader(database, frames.Mode(api=True))
        self.writer = Writer(database, frames.Mode(api=True, writer=True))


class Database:
    """A service's databases; one module-level object, inert until bound.

    A :class:`cellplug.CellRouter` binds it, and unbinds it when it closes.
    At most one open router binds it at a time.

    :ivar reader: decorates a function that reads, or opens a block:
        ``with db.reader.using(context) as session``. Refined by ``.single``
        (it makes one statement) and ``.primary`` (no replica will do).
    :ivar writer: likewise for a function that writes; refined by
        ``.savepoint`` (undone alone) and ``.independent`` (committed alone).
    :ivar api: the same two, ``api.reader`` and ``api.writer``, for the API
        database, whatever the context is aimed at.
    """

    def __init__(self) -> None:
        self._binding: opening.Binding | None = None
        self.reader = Reader(self, frames.Mode())
        self.writer = Writer(self, frames.Mode(writer=True))
        self.api = ApiAccess(self)

    def __repr__(self) -> str:
        state = 'bound' if self._binding is not None else 'not bound'
        return f'<cellplug.Database, {state}>'

    @property
    def binding(self) -> opening.Binding:
        """What the router bound.

        :raises DatabaseNotBound: if no router is open.
        """
        binding = self._binding
        if binding is None:
            raise exception.DatabaseNotBound(
                'no router is open: call CellRouter.from_conf(conf, '
                'database=...) with this Database first'
            )
        return binding

    def bind(self, binding: opening.Binding) -> None:
        """Work with this router's engines from now on.

        :raises DatabaseAlreadyBound: if another router is open.
        """
        if self._binding is not None:
            raise exception.DatabaseAlreadyBound(
                'this Database is bound to a router that is still open; '
                'close that one first'
            )
        self._binding = binding

    def unbind(self, binding: opening.Binding) -> None:
        """Be inert again, if bound to this router."""
        if self._binding is binding:
            self._binding = None

    def has_open_api_transaction(
        self, context: cellplug_context.RequestContext
    ) -> bool:
        """Whether the request has a transaction open on the API database."""
        opened = context._request_state.opened(db_registry.API_DATABASE)
        return bool(opened)

    def on_api_commit(
        self,
        context: cellplug_context.RequestContext,
        call: Callable[[], None],
    ) -> None:
        """Call back when the request's API transaction has committed.

        The outermost one, if it is joined; never, if it is rolled back; also
        if the commit failed, since it may have been its answer that was lost.
        For what others may know only then.

        :param call: must not raise; it is called outside the transaction, in
            this thread, at once if none is open.
        """
        opened = context._request_state.opened(db_registry.API_DATABASE)
        if opened:
            opened[-1].committed.append(call)
        else:
            call()

    def using_api(
        self, context: cellplug_context.RequestContext
    ) -> AbstractContextManager[Any]:
        """A block with a copy for which the API database is the database."""
        return cellplug_context.Block(
            context.copy_with(
                db_connection=db_registry.API_DATABASE,
                mq_connection=None,
                cell_uuid=None,
            )
        )

    def retrying(self, function: Callable[P, R]) -> Callable[P, R]:
        """Repeat the function when its transaction lost a conflict.

        Deadlocks, certification conflicts and lock waits are repeated, with
        jitter, until it succeeds: for 30 seconds, and at least ten times. A
        lock wait has waited already, as long as the database lets it, and is
        not repeated any more after 30 seconds: whoever holds a lock for good
        holds others up for that and one lock wait.
        Outermost only: a repeated inner transaction would lose what the outer
        wrote.

        :raises TransactionConflict: if it went on losing; it was rolled back
            where it lost. What the function committed before, to another
            database or independently, stays.
        :raises TransactionInProgress: if the request has one open here.
        """
        return retry.retrying(function, finding.context_finder(function))

    def get_engine(
        self, context: cellplug_context.RequestContext
    ) -> sa.Engine:
        """The engine of the primary database the context is aimed at.

        For code not yet moved to ``reader`` and ``writer``: its connections
        are outside the budget of transactions. From now on the request
        counts as one that has written: it is not repeated, and its readers
        go to the primary. So a cell that is read-only has none to give.

        :raises CellStateForbids: if the cell's state says no.
        :raises CellUnavailable: if the cell's database failed too often.
        """
        self._note_write(context)
        engines = self.binding.registry.engines(context.db_connection)
        engines.guard.check(writer=True)
        engine: sa.Engine = engines.manager().engine
        return engine

    def get_session(
        self, context: cellplug_context.RequestContext
    ) -> orm.Session:
        """A session of its own on that engine; the caller closes it.

        It counts in the budget of transactions until it is closed. From now
        on the request counts as one that has written.

        :raises CellStateForbids: as :meth:`get_engine`; CellUnavailable too.
        """
        self._note_write(context)
        return sessions.open_session(self.binding, context.db_connection)

    def _note_write(self, context: cellplug_context.RequestContext) -> None:
        context._request_state.act()
        context._request_state.wrote.add(context.db_connection)
