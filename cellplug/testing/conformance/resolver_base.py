"""What the checks of resolvers share: a truth that they change."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
import unittest
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from cellplug.objects import identifiers
from cellplug.testing.conformance import base
from cellplug.testing.conformance import common
from cellplug.testing.conformance import harnesses

PROJECT = 'suite-project'
NOT_FOUND = (
    exception.CellMappingNotFound,
    exception.InstanceMappingNotFound,
)

Cell = objects.CellMapping
Instance = objects.InstanceMapping
Capability = interfaces.ResolverCapability


class ResolverCase(common.DriverChecks):
    """A resolver, and a source that holds what a check put there."""

    interface = 'resolver'
    capability_enum = Capability

    def setUp(self) -> None:
        super().setUp()
        self._generations = itertools.count(time.time_ns() // 1000)
        self._used: tuple[Cell, Instance | None] | None = None

    # -- the truth ---------------------------------------------------------

    def new_cell(self, name: str | None = None, **values: Any) -> Cell:
        """A cell that is nowhere yet; its URLs hold a password."""
        uuid = identifiers.new_uuid()
        secret = f'suite:{base.CANARY}@nowhere.invalid'
        cell = Cell(
            uuid=uuid,
            name=name or f'suite-{uuid[:8]}',
            database_connection=f'mysql+pymysql://{secret}/c_{uuid[:8]}',
            transport_url=f'rabbit://{secret}/c_{uuid[:8]}',
        )
        return dataclasses.replace(cell, **values)

    def put_cell(self, cell: Cell | None = None) -> Cell:
        """Put it into the source, new or changed; nobody is told."""
        wanted = cell or self.new_cell()
        numbered = dataclasses.replace(
            wanted, generation=next(self._generations)
        )
        stored: Cell = self.ask(self.source.put_cell, numbered)
        return stored

    def change_cell(self, cell: Cell, **values: Any) -> Cell:
        """Change it in the source, and tell the driver, as a router does."""
        stored = self.put_cell(dataclasses.replace(cell, **values))
        self.subject.forget_cell(cell.uuid)
        return stored

    def remove_cell(self, cell: Cell) -> None:
        """Remove it from the source, and tell the driver."""
        self.ask(self.source.remove_cell, cell.uuid)
        self.subject.forget_cell(cell.uuid)

    def put_instance(self, cell: Cell, uuid: str | None = None) -> Instance:
        """Map an instance, or move it; nobody is told."""
        if not self.can(Capability.INSTANCES):
            self.not_applicable('it does not declare INSTANCES')
        wanted = Instance(
            instance_uuid=uuid or identifiers.new_uuid(),
            cell_uuid=cell.uuid,
            project_id=PROJECT,
            user_id='suite-user',
            generation=next(self._generations),
        )
        stored: Instance = self.ask(self.source.put_instance, wanted)
        return stored

    def move(self, instance: Instance, cell: Cell) -> Instance:
        """Move it, and tell the driver, as a router does."""
        stored = self.put_instance(cell, instance.instance_uuid)
        self.subject.forget_instance(instance.instance_uuid, stored.generation)
        return stored

    def unmap(self, instance: Instance) -> None:
        """Unmap it, and tell the driver."""
        self.ask(self.source.remove_instance, instance.instance_uuid)
        self.subject.forget_instance(instance.instance_uuid)

    # -- looking up --------------------------------------------------------

    def find(self, uuid: str, driver: Any = None) -> Instance:
        """``get_instance``, with the project where the driver asks for it."""
        found: Instance = (driver or self.subject).get_instance(
            uuid, **self._hint()
        )
        return found

    def find_many(
        self, uuids: Iterable[str], driver: Any = None
    ) -> dict[str, Instance]:
        """``get_instances``, likewise."""
        found: dict[str, Instance] = (driver or self.subject).get_instances(
            uuids, **self._hint()
        )
        return found

    def _hint(self) -> dict[str, Any]:
        by_project = self.can(Capability.BY_PROJECT)
        return {'project_id': PROJECT} if by_project else {}

    def exercise(self, driver: Any) -> None:
        """Look up a cell and, if there can be one, an instance in it."""
        if self._used is None:
            self._used = self._put_used()
        cell, instance = self._used
        if driver is not self.subject:
            # It may make generations of its own.
            number = driver.get_cell(cell.uuid).generation
            cell = dataclasses.replace(cell, generation=number)
        self.assertEqual(cell, driver.get_cell(cell.uuid))
        self.assertIn(cell, driver.list_cells())
        if instance is not None:
            uuid = instance.instance_uuid
            self.assertEqual(instance, self.find(uuid, driver))
            self.assertEqual({uuid: instance}, self.find_many([uuid], driver))

    def _put_used(self) -> tuple[Cell, Instance | None]:
        cell = self.put_cell()
        if not self.can(Capability.INSTANCES):
            return cell, None
        try:
            return cell, self.put_instance(cell)
        except unittest.SkipTest:
            return cell, None

    # -- trouble -----------------------------------------------------------

    @contextlib.contextmanager
    def broken(self) -> Iterator[None]:
        """A block in which the source is down, and mended behind it."""
        self.break_source()
        try:
            yield
        finally:
            self.mend_source()

    def break_source(self) -> None:
        """The harness breaks it, or else what the driver loaded."""
        try:
            self.source.break_source()
        except exception.NotSupported:
            if not self.host.gates:
                self.ask(self.source.break_source)
            for gate in self.host.gates.values():
                gate.broken = True

    def mend_source(self) -> None:
        """Undo :meth:`break_source`."""
        if any(gate.broken for gate in self.host.gates.values()):
            for gate in self.host.gates.values():
                gate.broken = False
        else:
            self.source.mend_source()

    @contextlib.contextmanager
    def held(self) -> Iterator[harnesses.Hold]:
        """A block in which the first look-up stands still with its answer."""
        if not self.host.gates:
            if not self.can(Capability.CACHES):
                self.not_applicable('it does not declare CACHES')
            block = self.ask(self.source.hold_source)
            with block as hold:
                try:
                    yield hold
                finally:
                    hold.release()
            return
        hold = harnesses.Hold()
        for gate in self.host.gates.values():
            gate.hold = hold
        try:
            yield hold
        finally:
            hold.release()
            for gate in self.host.gates.values():
                gate.hold = None
