"""Online data migrations: found by entry point, run in batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug import loader
from cellplug.cells import migrations_context

GROUP = 'cellplug.online_migration'
"""The entry points; each leads to a :data:`.interfaces.migration.Migration`.

A migration's name is its entry point's.
"""

BATCH = 50
"""How many rows a migration looks at in one call."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one migration.

    :ivar found: how many rows it found.
    :ivar done: how many of them it is done with.
    :ivar blocked: how many it could not migrate.
    :ivar more: whether it stopped before its end, as it was told to.
    :ivar error: what ended it, if anything did.
    """

    name: str
    found: int = 0
    done: int = 0
    blocked: int = 0
    more: bool = False
    error: Exception | None = None


def load() -> list[loader.Plugin]:
    """The migrations of all that is installed, by name.

    :raises PluginError: names one that cannot be imported or called, or
        that shares its name with another.
    """
    found = loader.load_plugins(GROUP)
    for before, one in zip([None, *found], found, strict=False):
        if before is not None and before.name == one.name:
            raise one.failed(
                exception.ConfigurationError(
                    f'{before.target} has the same name; uninstall one'
                )
            )
        if not callable(one.loaded):
            raise one.failed(TypeError(f'{one.loaded!r} cannot be called'))
    return found


def run(
    router: Any,
    migrations: list[loader.Plugin],
    *,
    max_count: int | None = None,
    recheck: bool = False,
    report: Callable[[migrations_context.Report], None],
) -> Iterator[Outcome]:
    """Run each migration; one that fails stops none of the others.

    :param max_count: how many rows each looks at, at most; the next run goes
        on there. None runs all to their ends, in new passes.
    :param recheck: forget what is known to be done.
    :param report: called for each row that cannot be migrated, and for news.
    """
    for one in migrations:
        context = migrations_context.MigrationContext(
            router,
            name=one.name,
            on_report=report,
            resume=max_count is not None,
            recheck=recheck,
        )
        yield _Running(one, context).run(max_count)


class _Running:
    """One migration, from its first call to its last."""

    def __init__(
        self,
        plugin: loader.Plugin,
        context: migrations_context.MigrationContext,
    ) -> None:
        self._plugin = plugin
        self._context = context
        self._found = self._done = self._stuck = 0

    def run(self, max_count: int | None) -> Outcome:
        error: Exception | None = None
        more = False
        try:
            if max_count is None:
                while self._call(BATCH):
                    pass
            else:
                more = self._call(max_count)
            if not more:
                self._context.end_passes()
        except Exception as exc:  # noqa: BLE001 (a stranger's code)
            error = exc
        return Outcome(
            self._plugin.name,
            self._found,
            self._done,
            max(self._context.left, self._stuck),
            more,
            error,
        )

    def _call(self, count: int) -> bool:
        """Whether it should be called again."""
        again = self._call_once(count)
        if again or self._found or self._context.reported:
            return again
        # The pass of an earlier run had nothing left: then a new one.
        return self._context.restart_passes() and self._call_once(count)

    def _call_once(self, count: int) -> bool:
        context = self._context
        context.begin_call()
        found, done = self._checked(self._plugin.loaded(context, count))
        if context._request_state.open.stack:
            raise self._plugin.failed(
                exception.TransactionInProgress(
                    'it came back with a transaction open'
                )
            )
        self._found += found
        self._done += done
        if context.has_progress:
            return context.is_under_way and (context.has_moved or done > 0)
        self._stuck = found - done
        return done > 0

    def _checked(self, answer: Any) -> tuple[int, int]:
        try:
            found, done = answer
        except (TypeError, ValueError):
            found = done = None
        if not (_is_count(found) and _is_count(done) and done <= found):
            raise self._plugin.failed(
                TypeError(
                    f'it returned {answer!r}, and not (found, done), two '
                    'integers of which the second is not the greater'
                )
            )
        return found, done


def _is_count(value: Any) -> bool:
    return (
        isinstance(value, int) and not isinstance(value, bool) and value >= 0
    )
