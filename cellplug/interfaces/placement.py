"""Which cell gets a new instance: the placement driver's contract."""

from __future__ import annotations

import abc
import enum
from collections.abc import Sequence

from cellplug import context as cellplug_context
from cellplug.interfaces import base
from cellplug.objects import placement

Context = cellplug_context.RequestContext


class PlacementCapability(enum.Enum):
    """What a placement driver needs to know of the candidates.

    What it does not declare is None in each of them, and costs nothing.
    """

    COUNTS = 'counts'
    """It looks at ``instances``: how many instances each cell has."""

    PROJECT_COUNTS = 'project_counts'
    """It looks at ``project_instances``: how many of them the project has."""


class Placement(base.Driver):
    """Says in which cells a new instance is best placed.

    *A pure order.* What a driver answers depends on what it is passed, on
    its options, and on nothing else but facts of the world outside. It keeps
    no books of what it ranked: the instance may end in another cell, or in
    none. The same question has the same answer, in every thread and process.

    *Candidates.* The router asks of cells alone that may get the instance:
    enabled, not cell0, none that the caller ruled out, none whose database
    is known to be down. They come in an order of the instance's own, the
    same in every process: a driver that finds two of them equally good
    leaves them in it, so that several processes that look at the same moment
    do not all take the same one.

    *The counts* are those of instance mappings, as they are when the driver
    is asked. Others place instances at that moment, too: of N that are
    placed at once, each may see what was there before all of them.

    *Blocking.* The driver is called while the API transaction is open that
    will map the instance. Whoever waits there holds a connection, and on
    SQLite everybody else who wants to write. So it answers at once from what
    it was passed; what it needs to know of the outside it fetches in the
    background. Every wait has a bound.

    *In front of another.* A driver that leaves some requests to another one,
    named by the option ``backend``, needs what that one needs: its
    constructor adds the capabilities of the one to its own; its class
    declares all that there can be.

    *Errors.* NoCellAvailable where the driver can say more about why nothing
    fits than an empty answer does. A fact that cannot be had raises another
    CellplugError: the instance is not placed then.
    """

    @abc.abstractmethod
    def rank(
        self,
        context: Context,
        candidates: Sequence[placement.Candidate],
        request: placement.PlacementRequest,
    ) -> list[str]:
        """The cells in which the instance may be placed, best first.

        The router takes the first one that is still open for new instances
        when its row is locked.

        :param context: the request's; it stays as it is. That of the caller,
            whose project and user may be others than the instance's.
        :param candidates: may be none.
        :param request: the instance; hints that the driver does not know it
            ignores.
        :returns: uuids of candidates, each once. Cells that are left out do
            not fit; an empty list says that none does.
        :raises NoCellAvailable: with the reason, where none fits.
        """
