"""Databases and transactions."""

from __future__ import annotations

from cellplug.exception.root import CellplugError


class DatabaseNotBound(CellplugError):
    """The Database object has no open router behind it."""


class DatabaseAlreadyBound(CellplugError):
    """The Database object is bound to another router that is still open."""


class DatabaseUnavailable(CellplugError):
    """A database cannot be reached, or does not answer in time.

    :ivar database: which one, as people read it.
    :ivar before_first_statement: True where the connection failed before any
        statement of the transaction had been answered, so that the
        transaction may be repeated without doing anything twice.
    """

    def __init__(
        self,
        database: str,
        reason: str,
        *,
        before_first_statement: bool = False,
    ) -> None:
        super().__init__(f'{database} is unavailable: {reason}')
        self.database = database
        self.reason = reason
        self.before_first_statement = before_first_statement


class CellUnavailable(DatabaseUnavailable):
    """A cell's database or message queue does not answer.

    :ivar cell_uuid: the cell's uuid.
    :ivar cell_name: the cell's name.
    :ivar part: ``database`` or ``message queue``.
    :ivar refused: True where it was not asked, as it failed too often of
        late; it is asked again in the background.
    """

    def __init__(
        self,
        cell_uuid: str,
        cell_name: str,
        reason: str,
        *,
        part: str = 'database',
        before_first_statement: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(
            f'the {part} of cell {cell_name!r} ({cell_uuid})',
            reason,
            before_first_statement=before_first_statement,
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.part = part
        self.refused = refused


class CellIdentityMismatch(CellplugError):
    """A database says that it belongs to another cell.

    :ivar cell_uuid: the cell whose connection led to the database.
    :ivar found: the uuid written in the database.
    """

    def __init__(self, cell_uuid: str, found: str, hint: str = '') -> None:
        super().__init__(
            f'the database of cell {cell_uuid} belongs to cell {found}; '
            + (hint or 'correct the database_connection of one of them')
        )
        self.cell_uuid = cell_uuid
        self.found = found


class CellIdentityMissing(CellplugError):
    """A cell's database was claimed by no cell, or lacks cellplug's tables.

    :ivar cell_uuid: the cell whose connection led to the database.
    """

    def __init__(self, cell_uuid: str, cell_name: str = '') -> None:
        super().__init__(
            f'the database of cell {cell_name or cell_uuid} was never claimed '
            'by a cell; claim it with: cellplug-manage db sync --cell '
            f'{cell_name or cell_uuid} --claim'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name


class SchemaMissing(CellplugError):
    """A database lacks cellplug's tables, or is at another revision.

    :ivar database: which one, for people.
    :ivar found: the revision found, None if there is none.
    """

    def __init__(
        self, database: str, found: str | None = None, hint: str = ''
    ) -> None:
        at = f'is at revision {found}' if found else 'has no cellplug schema'
        super().__init__(
            f'{database} {at}; {hint}' if hint else f'{database} {at}'
        )
        self.database = database
        self.found = found


class TransactionInProgress(CellplugError):
    """What was called must be outermost, and a transaction is open."""


class TransactionAborted(CellplugError):
    """An error inside was swallowed; the database would keep nothing."""


class TransactionConflict(CellplugError):
    """A transaction lost to others each time it was repeated.

    It was rolled back where it lost. What its function had committed by then,
    to another database or independently, stays. ``__cause__`` is what the
    database said last.

    :ivar name: the function that made it.
    :ivar tries: how often it was tried.
    :ivar seconds: for how long.
    """

    def __init__(self, name: str, tries: int, seconds: float) -> None:
        super().__init__(
            f'a transaction lost a conflict {tries} times in {seconds:.0f} s, '
            'and was given up; it was rolled back where it lost'
        )
        self.name = name
        self.tries = tries
        self.seconds = seconds


class ReadOnlyTransaction(CellplugError):
    """A writer was opened inside a reader of the same database."""


class TransactionForked(CellplugError):
    """A transaction that was open at fork was used in the child process."""
