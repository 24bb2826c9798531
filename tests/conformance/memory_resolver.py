"""A correct resolver in memory: what the suite of resolvers is proved on."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from typing import Any

from cellplug import exception
from cellplug import interfaces


def nothing() -> None:
    pass


class Records:
    """What stands behind the drivers of a check."""

    def __init__(self) -> None:
        self.cells: dict[str, Any] = {}
        self.instances: dict[str, Any] = {}
        self.reachable = True
        self.answered: Callable[[], None] = nothing

    def read(self, look: Callable[[Records], Any]) -> Any:
        if not self.reachable:
            raise exception.DatabaseUnavailable('the records', 'are away')
        try:
            return look(self)
        finally:
            self.answered()


class Memory:
    """What a process remembers."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.answers: dict[Any, Any] = {}
        self.epoch = 0


class MemoryResolver(interfaces.Resolver):
    """Remembers answers until anything is forgotten, and then none."""

    capabilities = frozenset(
        {
            interfaces.ResolverCapability.INSTANCES,
            interfaces.ResolverCapability.CACHES,
        }
    )

    def __init__(self, options: Any, host: Any) -> None:
        self.records = Records()
        self.known = Memory()

    def close(self) -> None:
        pass

    def memory(self) -> Memory:
        if self.known.pid != os.getpid():
            self.known = Memory()
        return self.known

    def ask(self, key: Any, look: Callable[[Records], Any]) -> Any:
        memory = self.memory()
        with memory.lock:
            if key in memory.answers:
                return memory.answers[key]
            epoch = memory.epoch
        answer = self.records.read(look)
        self.keep(memory, key, answer, epoch)
        return answer

    def keep(self, memory: Memory, key: Any, answer: Any, epoch: int) -> None:
        with memory.lock:
            if memory.epoch == epoch:
                memory.answers[key] = answer

    def matches(self, cell: Any, wanted: str) -> bool:
        return wanted in (cell.uuid, cell.name)

    def get_cell(self, cell: str) -> Any:
        def look(records: Records) -> Any:
            for one in list(records.cells.values()):
                if self.matches(one, cell):
                    return one
            raise exception.CellMappingNotFound(cell)

        return self.ask(('cell', cell), look)

    def list_cells(self) -> Any:
        return list(
            self.ask('cells', lambda records: list(records.cells.values()))
        )

    def whole(self, records: Records, mapping: Any) -> Any:
        cell = records.cells[mapping.cell_uuid]
        return dataclasses.replace(mapping, cell=cell)

    def get_instance(self, instance_uuid: str) -> Any:
        def look(records: Records) -> Any:
            found = records.instances.get(instance_uuid)
            if found is None:
                raise exception.InstanceMappingNotFound(instance_uuid)
            return self.whole(records, found)

        return self.ask(('instance', instance_uuid), look)

    def get_instances(self, instance_uuids: Any) -> Any:
        uuids = tuple(dict.fromkeys(instance_uuids))

        def look(records: Records) -> Any:
            return {
                uuid: self.whole(records, records.instances[uuid])
                for uuid in uuids
                if uuid in records.instances
            }

        return dict(self.ask(('instances', uuids), look))

    def forget(self) -> None:
        memory = self.memory()
        with memory.lock:
            memory.answers.clear()
            memory.epoch += 1

    def forget_cell(self, cell_uuid: str) -> None:
        self.forget()

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        self.forget()
