"""Counting what exists, by the functions that services register."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Protocol

from cellplug import context as cellplug_context
from cellplug import exception
from cellplug.objects import quota
from cellplug.quota import amounts
from cellplug.quota import resources

Context = cellplug_context.RequestContext


class Outcome(Protocol):
    """One cell's part of a scatter."""

    @property
    def cell_name(self) -> str:
        """The cell's name."""
        ...

    @property
    def value(self) -> Any:
        """What the function returned; None where ``reason`` is set."""
        ...

    @property
    def reason(self) -> str | None:
        """Why there is no value; None where there is one."""
        ...

    @property
    def raised(self) -> BaseException | None:
        """What the function raised in the cell; None if it did not."""
        ...


Scatter = Callable[..., Iterable[Outcome]]
"""``scatter(context, fn, *args, timeout=, skip_cell0=)``: in each cell.

As ``context.apart`` looks at it: readers go to primaries.
"""

_UNANSWERED = (
    exception.CellIdentityMismatch,
    exception.CellIdentityMissing,
    exception.CellStateForbids,
    exception.DatabaseUnavailable,
    exception.QueueUnavailable,
    exception.RPCTimeout,
)
"""What a function raises where its cell does not answer.

A database that is not the cell's is none that answers for it. SchemaMissing
is not among them: who says so has answered, and what lacks is not the cell.
"""


class Counter:
    """Counts resources of a project: the ``count`` that drivers call."""

    def __init__(
        self,
        known: Mapping[str, resources.Resource],
        context: Context,
        project_id: str,
    ) -> None:
        self._known = known
        self._context = context
        self._project_id = project_id

    def __call__(
        self, names: Collection[str], user_id: str | None, /
    ) -> quota.Counts:
        """See :class:`cellplug.interfaces.quota.Count`.

        :raises InvalidInput: if a function returned what is no count.
        """
        # What is counted must not depend on where the caller is aimed, nor
        # hold what the caller has not committed yet.
        context = cellplug_context.apart(self._context.untargeted())
        values: dict[str, int] = {}
        missing: dict[str, str] = {}
        for function, together in self._by_function(names).items():
            found = function(context, self._project_id, user_id)
            counts = _checked(together, found)
            values.update(counts.values)
            missing.update(counts.missing)
        return quota.Counts(values, missing)

    def _by_function(
        self, names: Collection[str]
    ) -> dict[resources.Sync, list[str]]:
        """Each function once, in a fixed order."""
        found: dict[resources.Sync, list[str]] = {}
        for name in sorted(names):
            function = resources.counter_of(self._known[name])
            if function is not None:
                found.setdefault(function, []).append(name)
        return found


def _checked(names: list[str], found: Any) -> quota.Counts:
    """The counts of these resources, from what a function returned."""
    if isinstance(found, Mapping):
        found = quota.Counts(found)
    if not isinstance(found, quota.Counts):
        raise exception.InvalidInput(
            'sync',
            f'what counts {", ".join(names)} returned '
            f'{type(found).__name__}, no mapping and no Counts',
        )
    values = found.values
    if not values and found.missing:
        values = dict.fromkeys(names, 0)
    absent = [name for name in names if name not in values]
    if absent:
        # Not zero: a misspelt name would admit everything.
        raise exception.InvalidInput(
            'sync', f'what counts {", ".join(absent)} did not name it'
        )
    return quota.Counts(
        {n: amounts.check_count(f'count of {n}', values[n]) for n in names},
        found.missing,
    )


def complete(
    count: Counter, names: Collection[str], user_id: str | None
) -> Mapping[str, int]:
    """What exists, for a check that must not pass by what is not seen.

    :raises CountIncomplete: if a cell did not answer.
    """
    counts = count(names, user_id)
    if counts.missing:
        raise exception.CountIncomplete(names, counts.missing)
    return counts.values


def summed(outcomes: Iterable[Outcome]) -> quota.Counts:
    """The cells' counts added up, and the cells that did not answer.

    A cell that cannot be targeted, or not in time, has not answered. What
    else the function raises is its own, and never taken for a cell's silence:
    under ``unanswered_cells = accept`` a bug in it would count as nothing.

    :raises InvalidInput: if a cell's value is no mapping of counts.
    :raises Exception: what the function raised in the first cell in which it
        failed; its note names the cell.
    """
    total: dict[str, int] = {}
    missing: dict[str, str] = {}
    for outcome in outcomes:
        if outcome.reason is not None:
            _check_silent(outcome)
            missing[outcome.cell_name] = outcome.reason
            continue
        where = f'count in cell {outcome.cell_name}'
        if not isinstance(outcome.value, Mapping):
            raise exception.InvalidInput(
                where, f'{type(outcome.value).__name__} is no mapping'
            )
        for name, value in outcome.value.items():
            more = amounts.check_count(f'{where}: {name}', value)
            total[name] = total.get(name, 0) + more
    return quota.Counts(total, missing)


def _check_silent(outcome: Outcome) -> None:
    """Raise what the function raised, unless its cell did not answer."""
    error = outcome.raised
    if error is None or isinstance(error, _UNANSWERED):
        return
    error.add_note(f'while cell {outcome.cell_name} was counted')
    raise error
