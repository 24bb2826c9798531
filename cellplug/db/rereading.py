"""Looking a cell up once more when its database cannot be reached.

What a process knows of a cell is some seconds old at most, see
:mod:`cellplug.cells.refreshing`; in these seconds its password may be another
one. So whoever fails to connect asks first whether the cell leads elsewhere
by now, before the request hears of it.
"""

from __future__ import annotations

from typing import Protocol
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.db import errors
from cellplug.db import registry as db_registry

if TYPE_CHECKING:
    from cellplug.db import frames

_WRONG_PLACE = (
    exception.CellIdentityMismatch,
    exception.CellIdentityMissing,
)


class Rereader(Protocol):
    """What looks cells up again."""

    def reread(self, cell_uuid: str) -> None:
        """Have the registry know the newest mapping of the cell.

        Asks the resolver's source, for each cell once a second at most: of
        the threads that come at once, one asks and the others wait for it.
        Bounded, and raises nothing: a resolver that is down says nothing new.
        """
        ...


class NoRereading:
    """What is known is all there is to know."""

    def reread(self, cell_uuid: str) -> None:
        """Nothing."""


NO_REREADING = NoRereading()
"""It holds nothing, so one is enough."""


def leads_elsewhere(
    rereader: Rereader,
    frame: frames.Frame,
    error: exception.CellplugError,
) -> bool:
    """Whether the cell of a frame that could not be opened has moved on.

    True if it has other engines than those that failed: then nothing was
    said to the new ones yet, and opening once more may well succeed.

    :param error: what opening raised. Asked is only where a server could not
        be reached, refused, or was another cell's: neither for lack of a free
        connection, nor where nobody tried to connect.
    :raises CellMappingNotFound: if the cell was deleted meanwhile.
    """
    key = frame.key
    if key is None or key == db_registry.API_DATABASE:
        return False
    if not _failed_to_connect(error):
        return False
    if frame.registry.engines(key) is frame.engines:
        rereader.reread(key)
    return frame.registry.engines(key) is not frame.engines


def _failed_to_connect(error: exception.CellplugError) -> bool:
    if isinstance(error, _WRONG_PLACE):
        return True
    return isinstance(error.__cause__, errors.CONNECT_ERRORS)
