"""Sessions outside the decorators, for code that was not moved yet."""

from __future__ import annotations

import weakref

from sqlalchemy import orm

from cellplug.db import frames
from cellplug.db import opening


def open_session(binding: opening.Binding, key: str | None) -> orm.Session:
    """A session on the primary that holds a lease until it is closed.

    A session that is forgotten instead ends its lease when it is collected.
    """
    frame = frames.Frame(binding.registry, key, frames.Mode(writer=True))
    frame.engines = binding.registry.engines(key)
    try:
        frame.run_hooks(binding.hooks)
        manager = frame.engines.manager()
        bind = manager.engine.execution_options(cellplug_writer=True)
        session: orm.Session = manager.sessionmaker()(bind=bind)
    except BaseException as exc:
        frame.end_hooks(binding.hooks, exc)
        raise
    end = weakref.finalize(session, frame.end_hooks, binding.hooks, None)
    close = session.close

    def close_and_end() -> None:
        try:
            close()
        finally:
            end()

    session.close = close_and_end  # type: ignore[method-assign]
    return session
