"""The one place where transactions open.

Every outermost transaction is a :class:`frames.Frame`, opened and closed by an
:class:`Opening`, between the same ordered hooks; nothing goes round it. What
is nested on the same database, by whichever copy of the request's context,
joins the open frame.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import types
from typing import Any

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.db import errors
from cellplug.db import frames
from cellplug.db import guarding
from cellplug.db import registry as db_registry
from cellplug.db import rereading
from cellplug.db import retry
from cellplug.objects import request_state

LOG = logging.getLogger(__name__)

LEASE = frames.Lease()
"""The hook that every binding starts with."""


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """What a bound Database works with; the router makes it."""

    registry: db_registry.EngineRegistry
    hooks: tuple[frames.TransactionHook, ...]
    rereader: rereading.Rereader = rereading.NO_REREADING


class Opening:
    """A block in a transaction: the outermost, or one that joins it.

    :ivar outermost: whether the block opened the frame itself.
    :ivar frame: the frame, once entered.
    """

    __slots__ = ('_acted', '_binding', '_context', '_entered', '_mode',
                 '_nested', 'frame', 'outermost')  # fmt: skip

    def __init__(
        self,
        binding: Binding,
        mode: frames.Mode,
        context: cellplug_context.RequestContext,
    ) -> None:
        self._binding = binding
        self._mode = mode
        self._context = context
        self._nested: Any = None
        self._acted: object = None
        self._entered = False
        self.outermost = False
        self.frame: frames.Frame | None = None

    def found_dead(self, error: exception.DatabaseUnavailable) -> bool:
        """Whether the first statement met a connection that had died.

        False as well if the request has done anything meanwhile, elsewhere.

        :param error: what the block raised.
        """
        return (
            self.outermost
            and self.frame is not None
            and self.frame.lost is error
            and self._context._request_state.acted is self._acted
        )

    def __enter__(self) -> Any:
        mode, context = self._mode, self._context
        if self._entered:
            raise exception.TransactionInProgress(
                'this block is open already; call using() for each with'
            )
        try:
            state = context._request_state
        except AttributeError:
            raise exception.InvalidInput(
                'context', 'is no cellplug.RequestContext'
            ) from None
        key = db_registry.API_DATABASE if mode.api else context.db_connection
        self._nested, self._acted = None, state.acted
        opened = state.opened(key)
        self.outermost = not opened or mode.independent
        if opened and not self.outermost:
            top = opened[-1]
            if not (top.replica and (mode.primary or key in state.wrote)):
                joined = self._join(top, state)
                self._entered = True
                return joined
        self.outermost = True
        frame = self._opened(key, state)
        if mode.writer:
            state.wrote.add(key)
        state.enter(frame, key, outermost=True)
        self.frame = frame
        self._entered = True
        return frame.session

    def _join(
        self, frame: frames.Frame, state: request_state.RequestState
    ) -> Any:
        frame.check_process()
        if self._mode.writer and not frame.mode.writer:
            raise exception.ReadOnlyTransaction(
                'a writer was called inside a reader of the same database; '
                'open the writer outermost, or use writer.independent'
            )
        if self._mode.savepoint:
            self._nested = frame.session.begin_nested()
            self._nested.__enter__()
        self.frame = frame
        state.enter(frame, frame.key, outermost=False)
        if self._mode.connection:
            return frame.core_connection()
        return frame.orm_session()

    def _opened(
        self, key: str | None, state: request_state.RequestState
    ) -> frames.Frame:
        """An outermost frame, opened; its failure to open is reported."""
        frame = frames.Frame(self._binding.registry, key, self._mode)
        try:
            try:
                self._open(frame, state)
            except exception.CellplugError as exc:
                rereader = self._binding.rereader
                if not rereading.leads_elsewhere(rereader, frame, exc):
                    raise
                frame = frames.Frame(self._binding.registry, key, self._mode)
                self._open(frame, state)
        except guarding.FAILURES as exc:
            frame.report_unopened(exc)
            raise
        return frame

    def _open(
        self, frame: frames.Frame, state: request_state.RequestState
    ) -> None:
        """Ask the guard, run the hooks, connect."""
        mode, key = self._mode, frame.key
        frame.engines = frame.registry.engines(key)
        replica_will_do = (
            not (mode.writer or mode.primary) and key not in state.wrote
        )
        if replica_will_do and frame.engines.has_replica:
            frame.engines.guard.check_reader()
        else:
            frame.engines.guard.check(writer=mode.writer)
        error: BaseException | None = None
        try:
            frame.run_hooks(self._binding.hooks)
            frame.replica = replica_will_do and frame.engines.has_replica
            if not (frame.replica and self._connect_replica(frame)):
                frame.connect()
        except errors.CONNECT_ERRORS as exc:
            if retry.is_conflict(exc):
                # SQLite waits for a writer's lock at its BEGIN.
                error = exc
                raise
            error = frame.engines.label.unavailable(
                errors.reason(exc), before_first_statement=True
            )
            raise error from exc
        except BaseException as exc:
            error = exc
            raise
        finally:
            if error is not None:
                frame.end_hooks(self._binding.hooks, error)

    def _connect_replica(self, frame: frames.Frame) -> bool:
        """Whether the replica could be had; if not, it is passed over.

        One that lags behind the claim of the primary, and one that cannot be
        reached. Not one that is another cell's.
        """
        try:
            frame.connect()
        except (exception.CellIdentityMissing, *errors.CONNECT_ERRORS) as exc:
            if retry.is_conflict(exc):
                raise
            LOG.warning(
                '%s is not read for a while: %s',
                frame.engines.label.argument('The replica'),
                errors.reason(exc),
            )
        else:
            return True
        frame.engines.skip_replica()
        frame.replica = False
        frame.engines.guard.check(writer=False)
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        frame = self.frame
        assert frame is not None  # noqa: S101 -- entered, or not left
        self._entered = False
        state = self._context._request_state
        state.leave(frame, frame.key, outermost=self.outermost)
        answered = frame.answered
        if answered:
            state.act()
        if frame.pid != os.getpid():
            self._leave_to_parent(frame, error)
            return
        ended_by: BaseException | None = error
        # What ends the block by itself, at the commit, is the frame's.
        connected = error is not None and frame.connected
        try:
            if self.outermost:
                frame.close(error)
            elif self._nested is not None:
                self._nested.__exit__(kind, error, traceback)
        except BaseException as exc:  # noqa: BLE001 (raised below)
            # At a deadlock MariaDB rolls back everything, savepoints too; the
            # complaint about a missing one would hide the deadlock.
            ended_by = exc if self.outermost or error is None else error
        finally:
            if self.outermost:
                frame.end_hooks(self._binding.hooks, ended_by)
        if ended_by is not None:
            connected = connected and ended_by is error
            self._fail(frame, ended_by, error, answered, connected)
        elif self.outermost:
            frame.report(answered=answered)
            for call in frame.committed:
                call()

    def _fail(
        self,
        frame: frames.Frame,
        ended_by: BaseException,
        error: BaseException | None,
        answered: bool,
        connected: bool,
    ) -> None:
        """Raise what ended the block, if ``with`` does not do so itself."""
        ours = self._ours(ended_by, frame, connected)
        if self.outermost:
            if isinstance(ended_by, Exception):
                frame.report(answered=answered)
            if error is None:
                # It was the commit's, whose answer may have been lost.
                for call in frame.committed:
                    call()
        if ours is not None:
            raise ours from ended_by
        if ended_by is not error:
            raise ended_by

    def _ours(
        self, ended_by: BaseException, frame: frames.Frame, connected: bool
    ) -> exception.CellplugError | None:
        """What to raise instead, if anything; a lost database is noted."""
        lost = errors.unavailable(
            ended_by,
            frame.engines.label,
            unanswered=not frame.answered,
            connected=connected,
        )
        if lost is not None:
            frame.failure = lost
            if lost.before_first_statement:
                frame.lost = lost
            return lost
        if frame.key == db_registry.API_DATABASE:
            return errors.api_schema_missing(ended_by)
        return None

    def _leave_to_parent(self, frame: frames.Frame, error: Any) -> None:
        """The child leaves the parent's transaction as it is."""
        self._binding.registry.abandon((frame, self._nested))
        if error is None:
            frame.check_process()
