"""Moving a service's data while it runs: the contract of a migration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol

PASSED = 'passed'
"""The state of a pass that has come to the end of its rows."""


class Progress(Protocol):
    """How far a migration has come through some rows, kept between runs.

    A *pass* goes through all rows in the order of some key, steps over those
    that cannot be migrated, and ends. A run with ``--max-count`` goes on
    where the last one stopped, until all passes of the migration have ended;
    any other begins anew, and so finds what has been mended. Several
    processes may share one progress: the later word stands, and a row is
    looked at twice at worst.
    """

    @property
    def marker(self) -> str | None:
        """The key of the last row that was looked at; None at the start."""
        ...

    @property
    def state(self) -> str:
        """'' while a pass is under way, else what it ended with."""
        ...

    def advance(self, marker: str) -> None:
        """Note that the rows up to this key were looked at."""
        ...

    def finish(self, state: str = PASSED) -> None:
        """Note that the pass has come to its end.

        :param state: what it ended with. ``passed`` stands until all passes
            of the migration have ended, anything else until somebody asks
            for ``--recheck``.
        """
        ...

    def restart(self) -> None:
        """Begin a new pass."""
        ...


class MigrationContext(Protocol):
    """What a migration is called with.

    It is also an untargeted :class:`cellplug.RequestContext` of an
    administrator, with no transaction open.
    """

    @property
    def router(self) -> Any:
        """The open :class:`cellplug.CellRouter`."""
        ...

    def options(self, interface: str, driver: str) -> Any:
        """The options of an installed driver, whether it is in use or not.

        :raises DriverError: if it cannot be loaded.
        """
        ...

    def progress(self, job: str, cell_uuid: str = '') -> Progress:
        """How far this job has come in a cell, '' for the API database.

        :param job: a name that no other migration uses, at most 255
            characters.
        """
        ...

    def report(self, what: str, why: str, *, left: bool = True) -> None:
        """Tell the operator of a row.

        :param what: which row, of what, where.
        :param left: it could not be migrated, and stays where it is; False
            for news of one that was.
        """
        ...


Migration = Callable[[Any, int], tuple[int, int]]
"""``fn(context, max_count) -> (found, done)``, found by an entry point.

It looks at ``max_count`` rows at most, and says how many it found and how
many of them are done with. It may be called again at any time, by several
processes at once, and may be killed anywhere: nothing gets lost, and nothing
happens twice. A row that cannot be migrated it reports, and steps over: by a
:class:`Progress`, without which it is called again only while it gets
something done. It says (0, 0) when nothing is left.
"""
