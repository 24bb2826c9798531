"""How a suite gets at what stands behind a driver.

A harness starts the driver's source, changes the truth in it, breaks and
mends it. What it cannot do raises NotSupported, and the checks that need it
are reported as not run.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import cellplug
from cellplug import exception
from cellplug import objects

DEADLINE = 60.0
"""Seconds after which a check takes something for hung."""


class Hold:
    """A source that stands still: where one look-up waits with its answer.

    A harness calls :meth:`stop_here` after its source has read an answer and
    before it hands it over. The first caller waits there until
    :meth:`release`; all others pass.
    """

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._reached = threading.Event()
        self._released = threading.Event()

    def stop_here(self) -> None:
        """Wait, as the first caller; pass, as any other."""
        if self._first.acquire(blocking=False):
            self._reached.set()
            self._released.wait(DEADLINE)

    def wait_reached(self) -> bool:
        """Wait until a look-up stands still; False if none ever came."""
        return self._reached.wait(DEADLINE)

    def release(self) -> None:
        """Let it go on. Idempotent."""
        self._released.set()


class Context(cellplug.RequestContext):
    """The suite's own context; never a thread's current one."""

    def update_store(self) -> None:
        """Leave oslo.context's current context as it is."""


class Harness:
    """What any driver's suite needs; this one is for drivers without source.

    One is made, started and stopped for each check.

    :cvar forks_busy: whether a process may fork while threads are inside the
        source's client. False where that client itself does not bear it.
    :cvar shared: whether a child process has the same source: True for a
        server or a file, False for what lies in the memory of this process.
        None says neither: a check that has to know is not run, and the grade
        is partial. Only the suite of quota drivers asks.
    """

    forks_busy = True
    shared: bool | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """Values for the driver's own group, known once it has started."""
        return {}

    @property
    def config_files(self) -> Sequence[str]:
        """Files that the driver's configuration is read from, too."""
        return ()

    @property
    def database(self) -> cellplug.Database:
        """What ``host.database`` gives; bound to no router, here."""
        return cellplug.Database()

    def start(self) -> None:
        """Make the source ready, with nothing in it."""

    def stop(self) -> None:
        """Take it away again. Also called if :meth:`start` failed."""

    def attach(self, driver: Any) -> None:
        """A driver was built on this source.

        For drivers that the harness has to fill, or to tell of changes.
        Called once for each driver that a check builds.
        """

    def break_source(self) -> None:
        """Make the source unreachable, for drivers that are there as well.

        :raises NotSupported: if there is none, or it cannot be broken.
        """
        raise exception.NotSupported('the harness cannot break the source')

    def mend_source(self) -> None:
        """Undo :meth:`break_source`; what was in the source is there again."""
        raise exception.NotSupported('the harness cannot mend the source')


class ResolverHarness(Harness, abc.ABC):
    """Changes the truth that a resolver reads.

    It does not tell the driver to forget: the suite does that, as a router
    would, or does not, where that is what it checks.

    :cvar breaks_cells: whether :meth:`break_source` takes the cells away, or
        the instances alone.
    """

    breaks_cells = True

    @abc.abstractmethod
    def put_cell(self, cell: objects.CellMapping) -> objects.CellMapping:
        """Add the cell, or change the one that has this uuid.

        :param cell: its generation grows with each call; a source that makes
            generations of its own ignores it.
        :returns: the cell as the source now has it; its generation is the one
            that the driver will answer with.
        """

    @abc.abstractmethod
    def remove_cell(self, cell_uuid: str) -> None:
        """Remove a cell that no instance is mapped to."""

    @abc.abstractmethod
    def put_instance(
        self, instance: objects.InstanceMapping
    ) -> objects.InstanceMapping:
        """Map the instance, or move it to another cell.

        :param instance: its ``cell`` is not looked at; the generation as in
            :meth:`put_cell`.
        :returns: the mapping as the source now has it.
        :raises NotSupported: if the source has no instances.
        """

    @abc.abstractmethod
    def remove_instance(self, instance_uuid: str) -> None:
        """Unmap the instance."""

    def hold_source(self) -> AbstractContextManager[Hold]:
        """A block in which the first look-up stands still with its answer.

        Drivers that stand in front of another one need none: the suite holds
        what they load.

        :raises NotSupported: if the source cannot be held.
        """
        raise exception.NotSupported('the harness cannot hold the source')
