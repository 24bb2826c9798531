"""What a row of a legacy table means: whether it lives, and its limit."""

from __future__ import annotations

import contextlib
import dataclasses
import decimal
from collections.abc import Iterable
from typing import Any

from cellplug.db import limit_tables
from cellplug.objects import identifiers
from cellplug.objects import quota

LIVE = ('0', 'false', 'f', '')
DELETED = ('1', 'true', 't')
"""How ``deleted`` looks as text, where it looks as in most databases."""

_LIMIT = ('resource', 'hard_limit')


class WrongShapeError(ValueError):
    """The table is another one that has the same name."""

    def __init__(self, table: str) -> None:
        columns = ('id', *limit_tables.OWNERS[table], *_LIMIT)
        super().__init__(
            f'its table {table} is none of limits: one has the columns '
            f'{", ".join(columns)}; rename or drop it'
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A limit as it stands in a cell; nothing of it has been checked.

    :ivar owner: the values of the table's columns that say whose it is.
    """

    id: int
    owner: tuple[Any, ...]
    resource: Any
    hard_limit: Any

    @property
    def key(self) -> tuple[Any, ...]:
        """Whose it is, and what of."""
        return (*self.owner, self.resource)


def rows_that_live(
    name: str, columns: Iterable[str], mappings: Iterable[Any]
) -> list[Row]:
    """The rows that live.

    :raises WrongShapeError: if a column is missing.
    """
    owners = limit_tables.OWNERS[name]
    if not {'id', *owners, *_LIMIT} <= {*columns}:
        raise WrongShapeError(name)
    return [
        Row(
            row['id'],
            tuple(row[column] for column in owners),
            row['resource'],
            row['hard_limit'],
        )
        for row in mappings
        if is_live(row.get('deleted'), row['id'])
    ]


def is_live(deleted: Any, row_id: Any) -> bool:
    """Whether a row lives, by what stands in its column ``deleted``.

    Null, zero and false do, of whichever type; so does what nobody knows the
    meaning of, as a limit must not get lost. A soft delete leaves another
    number, true, a uuid, or the row's own id.
    """
    if deleted is None or isinstance(deleted, bool):
        return not deleted
    if isinstance(deleted, bytes | bytearray | memoryview):
        # BIT of MariaDB, or text in a binary column.
        bits = bytes(deleted)
        if not any(bits):
            return True
        deleted = bits.decode('latin-1')
        if not deleted.isprintable():
            return False
    text = str(deleted).strip().lower()
    if text in LIVE:
        return True
    if text in DELETED or identifiers.is_uuid_like(text):
        return False
    try:
        number = decimal.Decimal(text)
    except ArithmeticError:
        return text != str(row_id).strip().lower()
    return not number.is_finite() or number == 0


def parse(hard_limit: Any) -> int:
    """The limit that a row states; null means unlimited.

    :raises ValueError: if it is none that the API database can hold.
    """
    if hard_limit is None:
        return quota.UNLIMITED
    try:
        limit = int(decimal.Decimal(str(hard_limit)))
        exact = limit == decimal.Decimal(str(hard_limit))
    except (ArithmeticError, ValueError):
        exact, limit = False, 0
    if not exact:
        raise ValueError(f'hard_limit {hard_limit!r} is no integer')
    if not quota.UNLIMITED <= limit <= quota.MAX_LIMIT:
        raise ValueError(
            f'hard_limit {limit} is out of range: {quota.UNLIMITED} to '
            f'{quota.MAX_LIMIT}'
        )
    return limit


def effective(hard_limit: Any) -> int:
    """The limit as the service in the cell takes it, unlimited if negative.

    :raises ValueError: if it is no limit.
    """
    with contextlib.suppress(ArithmeticError, ValueError):
        if decimal.Decimal(str(hard_limit)) < 0:
            return quota.UNLIMITED
    return parse(hard_limit)
