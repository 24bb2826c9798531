"""The API side of the example service: finds the cell, asks its worker."""

from __future__ import annotations

import itertools
import uuid as uuids
from typing import Any

import cellplug
from cellplug import rpc
from cellplug.lab import database

TOPIC = 'lab'
LARGEST_MB = 65536
"""No host of any cell has more memory than this."""


class InstanceAPI:
    """What the service offers its users.

    :param router: open, and bound to ``database.db``.
    """

    def __init__(self, router: cellplug.CellRouter) -> None:
        self._router = router
        self._target = rpc.Target(topic=TOPIC)
        self._turns = itertools.count()

    def boot(
        self, context: cellplug.RequestContext, name: str, memory_mb: int
    ) -> dict[str, Any]:
        """Place a new instance and have its cell's worker build it.

        The mapping comes first: a crash in between leaves a mapping without
        an instance, and never an instance that nobody finds.

        :returns: the instance; in the state ``error``, and in cell0, if no
            cell can take it.
        """
        uuid = str(uuids.uuid4())
        values = {'uuid': uuid, 'name': name, 'memory_mb': memory_mb}
        cell = self._place(memory_mb)
        if cell is None:
            return self._bury(context, values, 'no cell has so much memory')
        self._router.instances.map(context, uuid, cell)
        return self._ask(context, 'boot', uuid, values=values)

    def show(
        self, context: cellplug.RequestContext, uuid: str
    ) -> dict[str, Any]:
        """The instance as its cell's database has it, and its cell.

        :raises InstanceMappingNotFound: if there is no such instance.
        """
        with self._router.target_instance(context, uuid) as cctxt:
            found = database.instance_get(cctxt, uuid)
            return {**found, 'cell_uuid': cctxt.cell_uuid}

    def reboot(
        self, context: cellplug.RequestContext, uuid: str
    ) -> dict[str, Any]:
        """Have the instance's worker reboot it."""
        return self._ask(context, 'reboot', uuid, uuid=uuid)

    def delete(self, context: cellplug.RequestContext, uuid: str) -> None:
        """Have the worker delete the instance, then forget where it was."""
        self._ask(context, 'delete', uuid, uuid=uuid)
        self._router.instances.unmap(context, uuid)

    def list(self, context: cellplug.RequestContext) -> list[dict[str, Any]]:
        """All instances of the project, cell by cell, cell0 included."""
        rows = []
        for cell in self._router.cells.list():
            with self._router.target_cell(context, cell) as cctxt:
                rows += [
                    {**row, 'cell_uuid': cell.uuid}
                    for row in database.instance_list(cctxt)
                ]
        return rows

    def _place(self, memory_mb: int) -> cellplug.CellMapping | None:
        """The next cell in turn that takes new instances, None if none."""
        cells = [
            cell
            for cell in self._router.cells.list()
            if cell.has_queue and cell.state == cellplug.CellState.ENABLED
        ]
        if memory_mb > LARGEST_MB or not cells:
            return None
        return cells[next(self._turns) % len(cells)]

    def _bury(
        self,
        context: cellplug.RequestContext,
        values: dict[str, Any],
        fault: str,
    ) -> dict[str, Any]:
        """Keep in cell0 what could not be placed, so that it can be shown."""
        uuid = values['uuid']
        self._router.instances.map(context, uuid, cellplug.CELL0_UUID)
        with self._router.target_instance(context, uuid) as cctxt:
            made = database.instance_create(
                cctxt, {**values, 'state': 'error', 'fault': fault}
            )
            return {**made, 'cell_uuid': cctxt.cell_uuid}

    def _ask(
        self,
        context: cellplug.RequestContext,
        method: str,
        instance_uuid: str,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Call the worker of the instance's cell."""
        with self._router.target_instance(context, instance_uuid) as cctxt:
            client = self._router.rpc_client(cctxt, self._target)
            answer = client.call(cctxt, method, **arguments) or {}
            return {**answer, 'cell_uuid': cctxt.cell_uuid}
