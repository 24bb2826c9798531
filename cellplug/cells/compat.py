"""Answers of many cells as Nova's code expects them.

For code that is on its way to cellplug: one dict in which a value, a cell's
exception and :data:`did_not_respond_sentinel` look alike until they are asked.
Whoever iterates a sentinel crashes, and whoever returns an exception cannot
be told from a cell that failed. New code uses
:class:`~cellplug.cells.results.ScatterResult` as it is.
"""

from __future__ import annotations

from typing import Any

from cellplug.cells import results


class _DidNotRespond:
    """The type of one object."""

    __slots__ = ()

    def __repr__(self) -> str:
        return '<the cell did not respond>'


did_not_respond_sentinel = _DidNotRespond()
"""Stands for a cell that gave no answer in time, or was not asked."""


def view(result: results.ScatterResult[Any]) -> dict[str, Any]:
    """By cell uuid: what the function returned, or why it did not.

    An exception, if one was raised in the cell or by targeting it, or if the
    cell's state forbids asking it; else :data:`did_not_respond_sentinel`.
    """
    found: dict[str, Any] = {}
    for outcome in result.outcomes:
        value: Any = outcome.value
        if outcome.failure is not None:
            error = outcome.failure.error
            value = did_not_respond_sentinel if error is None else error
        found[outcome.cell.uuid] = value
    return found


def is_cell_failure_sentinel(value: object) -> bool:
    """Whether a value of :func:`view` stands for a cell that failed."""
    return value is did_not_respond_sentinel or isinstance(
        value, BaseException
    )
