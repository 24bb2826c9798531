"""Where databases are, and what they are called in messages."""

from __future__ import annotations

import dataclasses

from cellplug import exception
from cellplug.db import connecting


@dataclasses.dataclass(frozen=True, slots=True)
class Label:
    """What a database is called in messages.

    :ivar cell_uuid: the cell's, or None for the API database and the
        process's own.
    """

    name: str
    cell_uuid: str | None = None

    def argument(self, name: str) -> str:
        """What a URL of this database is called in messages."""
        if self.cell_uuid is None:
            return f'{name} of the {self.name}'
        return f'{name} of cell {self.name!r} ({self.cell_uuid})'

    def unavailable(
        self, reason: str, *, before_first_statement: bool = False
    ) -> exception.DatabaseUnavailable:
        """The exception that says this database does not answer."""
        if self.cell_uuid is None:
            return exception.DatabaseUnavailable(
                f'the {self.name}',
                reason,
                before_first_statement=before_first_statement,
            )
        return exception.CellUnavailable(
            self.cell_uuid,
            self.name,
            reason,
            before_first_statement=before_first_statement,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a database is, and how to tell that it is the right one.

    :ivar hooks: run on each new connection; see :mod:`.connecting`.
    :ivar may_create: where it is a file that is missing, it is made.
    """

    label: Label
    connection: str = dataclasses.field(repr=False)
    slave_connection: str | None = dataclasses.field(default=None, repr=False)
    hooks: tuple[connecting.ConnectionHook, ...] = ()
    may_create: bool = False
