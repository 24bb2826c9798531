"""The health check ``cellplug_cells`` for oslo.middleware.

A service is ready while it can find out where things are: while the API
database answers. That a cell is down is no reason to take the service away
from its users: it works for all other cells, and for the one that is down no
other process would do any better. So the cells count only where
``[healthcheck] cellplug_min_cells`` says so.

The service hands over its router, and the check reads what that has seen of
the cells, which costs nothing::

    from oslo_middleware import healthcheck

    app = healthcheck.Healthcheck(
        app,
        {
            'backends': 'cellplug_cells',
            'path': '/healthcheck',
            'cellplug_router': router,
        },
    )

Without ``cellplug_router``, as from a paste file, the check opens a router of
its own from the configuration that oslo.middleware has. That one has seen
nothing, so that it asks the cells each time, if they count.

What anybody may see names no cell. With ``detailed = True``, the details name
each cell and its state; they hold no URL and no error of a server.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_middleware.healthcheck import pluginbase

from cellplug import conf as cellplug_conf
from cellplug import context as cellplug_context
from cellplug import exception
from cellplug import objects
from cellplug.cells import router as cells_router
from cellplug.rpc import bounded

_OK = 'OK'


class CellsHealthcheck(pluginbase.HealthcheckBaseExtension):
    """Says whether the service can work; see the module.

    It answers within ``[healthcheck] cellplug_timeout``, and a check that
    hangs is not repeated beside itself.
    """

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._given = conf.get('cellplug_router')
        if self._given is not None:
            self.oslo_conf = self._given.conf
        cellplug_conf.register_opts(self.oslo_conf)
        self._timeout: float = self._conf_get('cellplug_timeout')
        self._min_cells: int = self._conf_get('cellplug_min_cells')
        self._own: cells_router.CellRouter | None = None
        self._lock = threading.Lock()
        self._task: bounded.Task | None = None

    def healthcheck(self, server_port: int) -> pluginbase.HealthcheckResult:
        """Whether the service is ready.

        :param server_port: is of no interest: all ports share the databases.
        """
        try:
            found: pluginbase.HealthcheckResult = self._ask().wait(
                self._timeout
            )
        except bounded.OverdueError:
            return _not_ready(f'no answer within {self._timeout:g} s')
        except exception.DatabaseUnavailable:
            return _not_ready('the API database is unavailable')
        except exception.CellplugError as exc:
            return _not_ready('cellplug cannot work', type(exc).__name__)
        return found

    def _ask(self) -> bounded.Task:
        """The check that is under way, or a new one."""
        with self._lock:
            if self._task is None or self._task.ended:
                self._task = bounded.Task(self._check)
            return self._task

    def _check(self) -> pluginbase.HealthcheckResult:
        router = self._router()
        if self.oslo_conf.api_database.connection:
            context = cellplug_context.RequestContext()
            with router.database.api.reader.primary.using(context) as session:
                session.execute(sa.select(sa.literal(1)))
        cells = self._cells(router)
        answering = sum(_answers(one) for one in cells)
        details = '; '.join(map(_describe, cells))
        if answering < self._min_cells:
            return _not_ready(
                f'{answering} of {len(cells)} cells answer, '
                f'{self._min_cells} are needed',
                details,
            )
        return pluginbase.HealthcheckResult(True, _OK, details)

    def _cells(
        self, router: cells_router.CellRouter
    ) -> list[objects.CellHealth]:
        """The cells that take instances, by name."""
        found: Mapping[str, objects.CellHealth]
        if self._given is None and self._min_cells:
            # Well before the time is over for the whole of it.
            found = router.health(probe=True, timeout=self._timeout * 0.8)
        else:
            found = router.health()
        return sorted(
            (one for one in found.values() if not one.cell.is_cell0),
            key=lambda one: one.cell.name,
        )

    def _router(self) -> cells_router.CellRouter:
        if self._given is not None:
            given: cells_router.CellRouter = self._given
            return given
        if self._own is None:
            self._own = cells_router.CellRouter.from_conf(self.oslo_conf)
            # oslo.middleware ends nothing: at the latest with the process.
            close: Callable[[], None] = self._own.close
            weakref.finalize(self, close)
        return self._own


def _answers(cell: objects.CellHealth) -> bool:
    asked = cell.state is not objects.CellState.DISABLED
    return asked and cell.database.healthy


def _describe(cell: objects.CellHealth) -> str:
    words = [f'cell {cell.cell.name}: {cell.state}']
    for part, circuit in (('database', cell.database), ('queue', cell.queue)):
        if circuit is not None and not circuit.healthy:
            closed = circuit.state is objects.CircuitState.CLOSED
            words.append(f'{part} {"failing" if closed else circuit.state}')
    return ', '.join(words)


def _not_ready(
    reason: str, details: str | None = None
) -> pluginbase.HealthcheckResult:
    return pluginbase.HealthcheckResult(False, reason, details)
