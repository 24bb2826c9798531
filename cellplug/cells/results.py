"""What came of asking many cells: one outcome each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from typing import Generic
from typing import NoReturn
from typing import TypeVar

from cellplug import exception
from cellplug.objects import mappings

R = TypeVar('R')


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why there is nothing from a cell.

    :ivar reason: one line for people.
    :ivar error: what was raised, or would have been where the cell's state
        forbids asking it; None where the time was over.
    :ivar targeted: whether it was the function that raised; False where the
        cell could not be targeted, was not asked, or its time was over.
    """

    cell_uuid: str
    cell_name: str
    reason: str
    # What others say may quote a connection URL.
    error: BaseException | None = dataclasses.field(default=None, repr=False)
    targeted: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What came of one cell: a value, or a failure.

    :ivar value: what the function returned, an exception object it may be.
    :ivar failure: None where there is a value.
    """

    cell: mappings.CellMapping
    value: R | None = None
    failure: Failure | None = None

    @property
    def cell_name(self) -> str:
        """The cell's name."""
        return self.cell.name

    @property
    def reason(self) -> str | None:
        """Why there is no value; None where there is one."""
        return None if self.failure is None else self.failure.reason

    @property
    def raised(self) -> BaseException | None:
        """What the function raised; None if it did not."""
        if self.failure is None or not self.failure.targeted:
            return None
        return self.failure.error


class ScatterResult(Generic[R]):
    """What the cells answered, and which did not.

    It cannot be iterated: whoever asks many cells has to say what a missing
    one means, by calling :meth:`complete` or :meth:`partial`.

    :ivar outcomes: one for each cell that was asked, in that order.
    """

    def __init__(self, outcomes: Sequence[Outcome[R]]) -> None:
        self.outcomes = tuple(outcomes)

    @property
    def failed(self) -> dict[str, Failure]:
        """The cells that did not answer, by uuid, and why."""
        return {
            outcome.cell.uuid: outcome.failure
            for outcome in self.outcomes
            if outcome.failure is not None
        }

    def complete(self) -> dict[str, R]:
        """The values by cell uuid, if every cell answered.

        :raises CellsFailed: names each cell that did not, and why.
        """
        if self.failed:
            self._fail()
        return self._values()

    def partial(self, min_cells: int = 1) -> dict[str, R]:
        """The values of those cells that answered, by cell uuid.

        :param min_cells: how many must have, where any failed; that none
            answered is never taken for an answer.
        :raises CellsFailed: if a cell failed and fewer answered, or none.
        """
        values = self._values()
        if self.failed and len(values) < max(1, min_cells):
            self._fail()
        return values

    def _values(self) -> dict[str, R]:
        return {
            outcome.cell.uuid: outcome.value  # type: ignore[misc]
            for outcome in self.outcomes
            if outcome.failure is None
        }

    def _fail(self) -> NoReturn:
        failed = self.failed
        errors = [one.error for one in failed.values() if one.error]
        raise exception.CellsFailed(
            {u: (one.cell_name, one.reason) for u, one in failed.items()},
            len(self.outcomes) - len(failed),
        ) from (errors[0] if errors else None)

    def __iter__(self) -> NoReturn:
        raise TypeError(
            'some cells may be missing: call complete(), or partial() where '
            'that is no harm'
        )

    def __repr__(self) -> str:
        failed = len(self.failed)
        return (
            f'<ScatterResult: {len(self.outcomes) - failed} cells answered, '
            f'{failed} failed>'
        )


def failed(
    cell: mappings.CellMapping,
    reason: str,
    error: BaseException | None = None,
    *,
    targeted: bool = False,
) -> Outcome[Any]:
    """The outcome of a cell from which there is nothing."""
    return Outcome(
        cell,
        failure=Failure(cell.uuid, cell.name, reason, error, targeted),
    )


def raised(
    cell: mappings.CellMapping, error: BaseException, *, targeted: bool
) -> Outcome[Any]:
    """The outcome of a cell in which something was raised."""
    return failed(cell, why(error), error, targeted=targeted)


def why(error: BaseException) -> str:
    """One line; of cellplug's own errors their message, which is for people.

    What others say may quote a connection URL.
    """
    if isinstance(error, exception.CellplugError):
        return ' '.join(str(error).split())
    return type(error).__name__
