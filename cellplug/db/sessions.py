"""Sessions outside the decorators, for code that was not moved yet."""

from __future__ import annotations

import os
import weakref

from sqlalchemy import orm

from cellplug.db import frames
from cellplug.db import opening


def open_session(binding: opening.Binding, key: str | None) -> orm.Session:
    """A session on the primary that holds a lease until it is closed.

    A session that is forgotten instead ends its lease when it is collected.
    In the child of a fork it is not the child's to close.
    """
    frame = frames.Frame(binding.registry, key, frames.Mode(writer=True))
    frame.engines = binding.registry.engines(key)
    # Nobody can tell whether it will write.
    frame.engines.guard.check(writer=True)
    try:
        frame.run_hooks(binding.hooks)
        manager = frame.engines.manager()
        bind = manager.engine.execution_options(cellplug_writer=True)
        session: orm.Session = manager.sessionmaker(bind=bind)
    except BaseException as exc:
        frame.end_hooks(binding.hooks, exc)
        raise
    end = weakref.finalize(session, _end, frame, binding.hooks)
    # Nothing is lent any more when the process ends, and a child of a fork
    # would wait for the parent's locks.
    end.atexit = False
    # By weak reference, lest a session that is forgotten waits for the
    # cyclic garbage collection, and its lease with it.
    known = weakref.ref(session)

    def close_and_end() -> None:
        frame.check_process()
        closing = known()
        try:
            if closing is not None:
                type(closing).close(closing)
        finally:
            end()

    session.close = close_and_end  # type: ignore[method-assign]
    return session


def _end(
    frame: frames.Frame, hooks: tuple[frames.TransactionHook, ...]
) -> None:
    if frame.pid == os.getpid():
        frame.end_hooks(hooks, None)
