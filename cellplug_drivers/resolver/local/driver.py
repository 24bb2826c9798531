"""The ``local`` resolver: a small memory in front of another resolver."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from cellplug_drivers.resolver.local import memories

_Capability = interfaces.ResolverCapability
_PASSED_ON = frozenset(
    {
        _Capability.INSTANCES,
        _Capability.OWN_CELLS,
        _Capability.OWN_INSTANCES,
    }
)


class LocalResolver(interfaces.Resolver):
    """Remembers in this process, for seconds, what another resolver said.

    *When it is right.* Where one process routes to the same instances again
    and again, and may follow a change made by another process ``ttl`` seconds
    late. What this process itself changes it sees at once. A worker that
    writes is told the route's generation, and can refuse one that is old.

    *The bound.* Nothing is returned that the backend said longer than ``ttl``
    seconds ago, counted from the question; the backend's own bound comes on
    top: none for ``database``. An instance and its cell are remembered apart:
    its cell is the newest version known, whichever answer brought it. That
    one is newer than what the backend says counts for as long, and no longer.
    "There is none" is never remembered, and ``list_cells`` is passed on, so
    that a new cell is in the next listing.

    *What clears it.* Age; ``forget_instance``; ``forget_cell``, which forgets
    all cells, since names may go from one to another; a reload. Questions
    that were under way when something was forgotten still get their answer,
    but it is not kept. Of the last thousand instances forgotten, no version
    below the generation named is kept later either.

    *Who owns it.* The driver, a memory in each process: a child of a fork
    begins with an empty one and a lock of its own.

    *How large it grows.* ``max_entries`` instances of about 0.7 kB, and as
    many cells; beyond that the oldest answer goes first.

    It finds instances if its backend does; else it raises NotSupported too.
    """

    capabilities = _PASSED_ON | {_Capability.CACHES}

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        return [
            cfg.StrOpt(
                'backend',
                default='database',
                help='The resolver that is asked for what is not remembered, '
                'e.g. database or memcached.',
            ),
            cfg.FloatOpt(
                'ttl',
                default=5.0,
                min=0,
                max=3600,
                help='For how many seconds an answer is remembered: so late '
                'may this process notice what another one changed, in '
                'addition to what the backend may be late. Keep it short; '
                'some seconds save nearly all look-ups of a busy instance. '
                '0 remembers nothing.',
            ),
            cfg.IntOpt(
                'max_entries',
                default=10000,
                min=1,
                help='How many instances are remembered at most, at about '
                '0.7 kB each. Raise it where one process uses more instances '
                'than this within ttl seconds.',
            ),
        ]

    def __init__(
        self,
        options: Any,
        host: interfaces.DriverHost,
        *,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        # Not host.clock: the time of day may be set back.
        self._timer = timer
        self._ttl: float = options.ttl
        self._size: int = options.max_entries
        self._backend: interfaces.Resolver = host.load(
            'resolver', options.backend
        )
        theirs = self._backend.capabilities
        if _Capability.BY_PROJECT in theirs:
            raise exception.ConfigurationError(
                f'[resolver_local] backend: {options.backend} finds instances '
                'by the project that asks, so its answers must not be '
                'remembered for others; use it without local'
            )
        self.capabilities = self.capabilities - (_PASSED_ON - theirs)
        self._memories: dict[int, memories.Memory] = {}

    def _memory(self) -> memories.Memory:
        pid = os.getpid()
        try:
            return self._memories[pid]
        except KeyError:
            # setdefault: threads that come here at once must share one.
            memory = self._memories.setdefault(
                pid, memories.Memory(self._size)
            )
            for other in list(self._memories):
                if other != pid:
                    self._memories.pop(other, None)
            return memory

    def get_cell(self, cell: str) -> objects.CellMapping:
        memory, now = self._memory(), self._timer()
        known = memory.cell(cell, now)
        if known is not None:
            return known
        began = memory.epoch
        found = self._backend.get_cell(cell)
        memory.keep_cell(cell, found, began, now + self._ttl, self._timer())
        return found

    def list_cells(self) -> list[objects.CellMapping]:
        return self._backend.list_cells()

    def get_instance(self, instance_uuid: str) -> objects.InstanceMapping:
        memory, now = self._memory(), self._timer()
        known = memory.instance(instance_uuid, now)
        if known is not None:
            return known
        began = memory.epoch
        try:
            found = self._backend.get_instance(instance_uuid)
        except exception.InstanceMappingNotFound:
            memory.drop_instances([instance_uuid])
            raise
        return memory.keep([found], began, now + self._ttl, self._timer())[0]

    def get_instances(
        self, instance_uuids: Iterable[str]
    ) -> dict[str, objects.InstanceMapping]:
        memory, now = self._memory(), self._timer()
        known, missing = {}, []
        for uuid in dict.fromkeys(instance_uuids):
            found = memory.instance(uuid, now)
            if found is None:
                missing.append(uuid)
            else:
                known[uuid] = found
        if missing:
            began = memory.epoch
            answer = self._backend.get_instances(missing)
            kept = memory.keep(
                answer.values(), began, now + self._ttl, self._timer()
            )
            known.update((one.instance_uuid, one) for one in kept)
            memory.drop_instances(set(missing) - answer.keys())
        return known

    # The backend forgets first. Whoever asks it after our own memory forgot
    # must not be told, and keep, what it has yet to forget.

    def forget_cell(self, cell_uuid: str) -> None:
        try:
            self._backend.forget_cell(cell_uuid)
        finally:
            self._memory().forget_cells()

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        try:
            self._backend.forget_instance(instance_uuid, below_generation)
        finally:
            self._memory().forget_instance(instance_uuid, below_generation)

    def forget_instances(self, generations: Mapping[str, int | None]) -> None:
        try:
            self._backend.forget_instances(generations)
        finally:
            memory = self._memory()
            for uuid, generation in generations.items():
                memory.forget_instance(uuid, generation)

    def reload(self) -> None:
        """Forget everything: the backend, reloaded before, may differ."""
        self._memory().forget_all()

    def close(self) -> None:
        self._memories.clear()
