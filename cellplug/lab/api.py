"""The API side of the example service: finds the cell, asks its worker.

What happens in which order decides what a crash can leave: see each method.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import cellplug
from cellplug import exception
from cellplug import rpc
from cellplug.lab import database
from cellplug.lab import errors
from cellplug.lab import flavors
from cellplug.lab import reserving

TOPIC = 'lab'

_FAULT = 255
"""Characters of a fault that are kept."""


class InstanceAPI:
    """What the service offers its users.

    :param router: open, and bound to ``database.db``.
    """

    def __init__(self, router: cellplug.CellRouter) -> None:
        self._router = router
        self._target = rpc.Target(topic=TOPIC)

    def boot(
        self,
        context: cellplug.RequestContext,
        name: str,
        flavor: flavors.Flavor,
    ) -> dict[str, Any]:
        """Place a new instance and have its cell's worker build it.

        Reserve, map, call the worker, commit after its answer. A crash in
        between leaves a reservation, which expires, and perhaps a mapping
        without an instance, which :mod:`.mending` forgets; it never leaves an
        instance that nobody finds, or that no quota counts in the end.

        :returns: the instance; in the state ``error``, and in cell0, if no
            cell can take it. There it uses nothing.
        :raises OverQuota: if it is beyond a limit; nothing was made.
        """
        values = {
            'uuid': str(uuids.uuid4()),
            'name': name,
            'cores': flavor.cores,
            'memory_mb': flavor.memory_mb,
        }
        try:
            with reserving.reserving(self._router, context, flavor.amounts()):
                return self._build(context, values)
        except errors.NoRoom as exc:
            return self._bury(context, values, str(exc))

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
        """Have the worker delete the instance, then forget where it was.

        What it used is given back when the worker has answered, to whom the
        instance belongs. Of two who delete it at once, the worker tells one
        that there is none, and only the other gives back.
        """
        with self._router.target_instance(context, uuid) as cctxt:
            found = database.instance_get(cctxt, uuid)
        deltas = {
            'instances': -1,
            'cores': -found['cores'],
            'memory_mb': -found['memory_mb'],
        }
        with reserving.reserving(
            self._router,
            context,
            deltas,
            project_id=found['project_id'],
            user_id=found['user_id'],
        ):
            self._ask(context, 'delete', uuid, uuid=uuid)
        self._router.instances.unmap(context, uuid)

    def list(self, context: cellplug.RequestContext) -> list[dict[str, Any]]:
        """All instances of the project, of all cells, cell0 included.

        :raises CellsFailed: if a cell does not answer.
        """
        answers = self._router.scatter_gather(context, database.instance_list)
        return _together(answers.complete())

    def list_some(
        self, context: cellplug.RequestContext, timeout: float
    ) -> tuple[Sequence[dict[str, Any]], Sequence[Any]]:
        """The instances of the cells that answer in time.

        :param timeout: seconds.
        :returns: the instances; and the failure of each other cell.
        :raises CellsFailed: if no cell answers.
        """
        answers = self._router.scatter_gather(
            context, database.instance_list, timeout=timeout
        )
        rows = _together(answers.partial())
        return rows, tuple(answers.failed.values())

    def _build(
        self, context: cellplug.RequestContext, values: dict[str, Any]
    ) -> dict[str, Any]:
        """Map it to a cell, and have that cell's worker make it.

        :raises NoRoom: if no cell can take it.
        """
        if values['memory_mb'] > flavors.LARGEST_MB:
            raise errors.NoRoom('no cell has so much memory')
        uuid = values['uuid']
        try:
            self._router.place(context, uuid)
        except exception.NoCellAvailable as exc:
            raise errors.NoRoom(str(exc)) from exc
        return self._ask(context, 'boot', uuid, values=values)

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
                cctxt,
                {**values, 'state': 'error', 'fault': fault[:_FAULT]},
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


def _together(
    answers: Mapping[str, list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """The rows of several cells, each with its cell's uuid."""
    return [
        {**row, 'cell_uuid': cell_uuid}
        for cell_uuid, rows in answers.items()
        for row in rows
    ]
