"""``cell ensure``: for deployment tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import cell
from cellplug.cmd import cell_write
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from cellplug import CellMapping
    from cellplug import CellRouter

_ATTEMPTS = 3
_TAKEN = (
    exception.CellMappingExists,
    exception.CellIdentityMismatch,
    outcome.RefusedError,
)


def _was_taken(error: BaseException) -> bool:
    """Whether another host may have made the cell since we looked."""
    if isinstance(error, outcome.RefusedError):
        return isinstance(error.__cause__, exception.CellIdentityMismatch)
    return True


class Ensure(cell_write.Whole):
    """Create a cell, or update it to what is passed, or do nothing.

    For deployment tools: may be repeated, by several hosts at once. The cell
    is found by --uuid, or without it by --name. What is not passed stays as
    it is. The field "result" says what was done: created, updated or
    unchanged.
    """

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Do what there is to do."""
        values = self.whole(parsed_args)
        with self.router() as router:
            for _ in range(_ATTEMPTS - 1):
                try:
                    made, result = self._once(router, values, parsed_args)
                    break
                except _TAKEN as exc:
                    if not _was_taken(exc):
                        raise
            else:
                made, result = self._once(router, values, parsed_args)
        return base.shown({'result': result, **cell.fields(made)})

    def _once(
        self,
        router: CellRouter,
        values: dict[str, Any],
        parsed_args: argparse.Namespace,
    ) -> tuple[CellMapping, str]:
        skip = parsed_args.no_verify
        try:
            known = router.cells.get(values.get('uuid') or values['name'])
        except exception.CellMappingNotFound:
            return self.create(router, values, no_verify=skip), 'created'
        changed = {
            name: value
            for name, value in values.items()
            if getattr(known, name) != value
        }
        if not changed:
            return known, 'unchanged'
        known = self.known(known)
        return self.change(router, known, changed, no_verify=skip), 'updated'
