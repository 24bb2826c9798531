"""A service's own instances, cell by cell: the contract of a source.

cellplug knows where instances are said to live; which rows there really are,
and whose, the service knows. Commands that compare the two (``instance
map-all``, ``instance verify``) ask an instance source.

A service says where its instances are in one of two ways. If they stand in
one table, options do: ``[instances] table`` and the columns' names. Else its
package offers a source by the entry point ``cellplug.instance_source``, which
leads to an object with the methods of :class:`InstanceSource`, or to a
function (or class) that makes one when it is called with the router.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import runtime_checkable


@dataclasses.dataclass(frozen=True, slots=True)
class SourceInstance:
    """A row of the service's that is an instance.

    :ivar key: where the row stands in the source's order; not empty. It is
        stored, up to some thousand characters, and handed back as a marker.
    :ivar instance_uuid: as the row has it. None, or what is no uuid, is told
        to the operator, and the row is stepped over.
    :ivar project_id: whose it is; None likewise.
    :ivar user_id: None where nobody knows.
    """

    key: str
    instance_uuid: str | None
    project_id: str | None
    user_id: str | None = None


@runtime_checkable
class InstanceSource(Protocol):
    """Lists and tests the instances in one cell.

    Every method gets a context that is aimed at the cell, of an
    administrator, with no transaction open; the source opens its own, by the
    service's ``db.reader`` functions or on ``router.database``. What it reads
    it reads from the primary: ``db.reader.primary``. It may be asked by
    several processes at once, and about several cells; it keeps nothing in
    between.

    *Which rows.* All whose instance needs a mapping: also those of instances
    that were deleted and whose rows are kept, as a listing of deleted
    instances still needs their cell.

    *Errors.* A cell that does not answer raises: the exceptions of
    ``db.reader`` may pass. "Unknown" is never presented as "none".
    """

    def list_after(
        self, context: Any, marker: str | None, limit: int
    ) -> Sequence[SourceInstance]:
        """The rows behind a marker, in the source's order.

        The order is total and stays what it is, so that a marker means the
        same in days: by the primary key, say, and not by a time of change.
        Rows that are written meanwhile may or may not be seen.

        :param marker: the ``key`` of the row to begin behind, which need not
            exist any more; None: from the first row on.
        :param limit: at most so many, 1 or more. Fewer do not mean the end;
            none do.
        """
        ...

    def has(self, context: Any, instance_uuid: str) -> bool:
        """Whether the cell has a row of this instance.

        :param instance_uuid: in lower case, with dashes.
        """
        ...

    def count_after(self, context: Any, marker: str | None) -> int | None:
        """About how many rows there are behind a marker.

        For the estimate of how long it will take.

        :returns: None if it takes long to find out.
        """
        ...
