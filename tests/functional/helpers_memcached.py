"""A source of mappings in memory, and resolvers in front of it.

The memcached in these tests is real; the source is what a test can hold, break
and count. Two resolvers are to memcached what two processes are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import threading
import time
import types
import uuid
from typing import Any

import fixtures
import testtools
from pymemcache.client import base as pymemcache

from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug import objects
from cellplug.testing import deployment
from cellplug_drivers.resolver.memcached import flights

PATIENCE = 30.0
"""Seconds after which whoever waits has failed: "does not hang"."""

KEY = '5d' * 32
PASSWORD = 'sesame-open'
LOGGER = 'cellplug_drivers.resolver.memcached'

_generations = itertools.count(1_700_000_000_000_000)


class Clock:
    """Epoch seconds that a test can advance."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Hold:
    """Where one look-up stands still, with its answer in its hands.

    :ivar fails: whether it fails after that.
    :ivar results: of the thread that stands here: what it returned or raised.
    """

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.results: list[Any] = []
        self.entered = threading.Event()
        self.go = threading.Event()

    def stop_here(self) -> None:
        self.entered.set()
        if not self.go.wait(PATIENCE):
            raise AssertionError('nobody let the look-up go on')


class Source(interfaces.Resolver):
    """The truth: cells and mappings in dictionaries.

    :ivar asked: what was asked for, in order.
    :ivar holds: taken by the next look-ups, one each.
    """

    capabilities = frozenset({interfaces.ResolverCapability.INSTANCES})

    def __init__(self, options: Any = None, host: Any = None) -> None:
        self.cells: dict[str, objects.CellMapping] = {}
        self.instances: dict[str, objects.InstanceMapping] = {}
        self.asked: list[Any] = []
        self.holds: list[Hold] = []
        self.broken = False
        self.lock = threading.Lock()

    # -- what an operator does ---------------------------------------------

    def add_cell(self, name: str) -> objects.CellMapping:
        cell = objects.CellMapping(
            uuid=str(uuid.uuid4()),
            name=name,
            database_connection=f'mysql+pymysql://u:{PASSWORD}@h/{name}',
            transport_url=f'rabbit://u:{PASSWORD}@h/{name}',
            generation=next(_generations),
        )
        self.cells[cell.uuid] = cell
        return cell

    def edit_cell(self, cell: objects.CellMapping, name: str) -> None:
        self.cells[cell.uuid] = dataclasses.replace(
            cell, name=name, generation=next(_generations)
        )

    def map(
        self, cell: objects.CellMapping, instance: str | None = None
    ) -> objects.InstanceMapping:
        made = objects.InstanceMapping(
            instance_uuid=instance or str(uuid.uuid4()),
            cell_uuid=cell.uuid,
            project_id='p',
            user_id='u',
            generation=next(_generations),
        )
        self.instances[made.instance_uuid] = made
        return made

    # -- the contract ------------------------------------------------------

    def _answer(self, asked: Any, find: Any) -> Any:
        with self.lock:
            self.asked.append(asked)
            hold = self.holds.pop(0) if self.holds else None
            found = find()
        if hold is not None:
            hold.stop_here()
        if self.broken or (hold is not None and hold.fails):
            raise exception.DatabaseUnavailable('the source', 'it is broken')
        return found

    def _instance(self, wanted: str) -> objects.InstanceMapping | None:
        found = self.instances.get(wanted)
        if found is None:
            return None
        return dataclasses.replace(found, cell=self.cells[found.cell_uuid])

    def get_cell(self, cell: str) -> objects.CellMapping:
        found = self._answer(
            cell,
            lambda: next(
                (c for c in self.cells.values() if cell in (c.uuid, c.name)),
                None,
            ),
        )
        if found is None:
            raise exception.CellMappingNotFound(cell)
        return found

    def list_cells(self) -> list[objects.CellMapping]:
        return self._answer('all', lambda: list(self.cells.values()))

    def get_instance(self, instance_uuid: str) -> objects.InstanceMapping:
        found = self._answer(
            instance_uuid, lambda: self._instance(instance_uuid)
        )
        if found is None:
            raise exception.InstanceMappingNotFound(instance_uuid)
        return found

    def get_instances(
        self, instance_uuids: Any
    ) -> dict[str, objects.InstanceMapping]:
        wanted = list(instance_uuids)
        found = self._answer(
            sorted(wanted), lambda: {u: self._instance(u) for u in wanted}
        )
        return {u: one for u, one in found.items() if one is not None}

    def forget_cell(self, cell_uuid: str) -> None:
        pass

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        pass

    def close(self) -> None:
        pass


class LogFixture(fixtures.Fixture):
    """What the driver says. :ivar records: in order."""

    def _setUp(self) -> None:
        self.records: list[logging.LogRecord] = []
        handler = logging.Handler(logging.DEBUG)
        handler.emit = self.records.append  # type: ignore[method-assign]
        log = logging.getLogger(LOGGER)
        level = log.level
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        self.addCleanup(log.setLevel, level)
        self.addCleanup(log.removeHandler, handler)

    def said(self, level: int) -> list[str]:
        return [
            one.getMessage() for one in self.records if one.levelno == level
        ]


class MemcachedTestCase(testtools.TestCase):
    """A source, a clock, and resolvers as :meth:`open` makes them."""

    def setUp(self) -> None:
        super().setUp()
        self.source = Source()
        self.clock = Clock()
        self.log = self.useFixture(LogFixture())
        self.addresses = self.serve()
        self.prefix = f'test{uuid.uuid4().hex}'
        self.cell1 = self.source.add_cell('cell1')
        self.cell2 = self.source.add_cell('cell2')

    def serve(self) -> list[str]:
        """The addresses of the servers."""
        raise NotImplementedError

    def open(self, *, source: Any = None, **options: Any) -> Any:
        """A resolver, as a process of its own would have it."""
        wanted = {
            'servers': self.addresses,
            'encryption_keys': [KEY],
            'prefix': self.prefix,
            # A busy machine is no dead server.
            'timeout': 10.0,
            'connect_timeout': 10.0,
            **options,
        }
        conf = self.useFixture(
            deployment.ConfFixture(
                {f'resolver_memcached.{k}': v for k, v in wanted.items()}
            )
        ).conf
        behind = source or self.source
        host = types.SimpleNamespace(
            load=lambda interface, name: behind, clock=self.clock
        )
        made = loader.load_class('resolver', 'memcached')(
            conf.resolver_memcached, host
        )
        self.addCleanup(made.close)
        return made

    def client(self, address: str | None = None) -> Any:
        """Somebody else's client on the same memcached."""
        host, _, port = (address or self.addresses[0]).rpartition(':')
        client = pymemcache.Client((host, int(port)), timeout=PATIENCE)
        self.addCleanup(client.close)
        return client

    def move(self, mapping: Any, cell: Any, *tell: Any) -> Any:
        """Move an instance, and tell the resolvers, as the router does."""
        moved = self.source.map(cell, mapping.instance_uuid)
        for one in tell:
            one.forget_instance(moved.instance_uuid, moved.generation)
        return moved

    def unmap(self, mapping: Any, *tell: Any) -> None:
        del self.source.instances[mapping.instance_uuid]
        for one in tell:
            one.forget_instance(mapping.instance_uuid)

    def asked(self) -> list[Any]:
        """What the source was asked since the last time."""
        asked, self.source.asked = self.source.asked, []
        return asked

    @contextlib.contextmanager
    def background(self, work: Any) -> Any:
        """Run it in a thread for the block, and wait for it."""
        results: list[Any] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as exc:
                results.append(exc)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield results
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive(), 'it hangs')

    @contextlib.contextmanager
    def held(self, work: Any, fails: bool = False) -> Any:
        """A look-up that has the answer; it ends with the block at last."""
        hold = Hold(fails)
        self.source.holds.append(hold)
        with self.background(work) as hold.results:
            self.assertTrue(hold.entered.wait(PATIENCE))
            try:
                yield hold
            finally:
                hold.go.set()

    def joined(self) -> threading.Event:
        """Set as soon as a thread waits for another one's look-up."""
        event = threading.Event()
        wait = flights.Flight.wait

        def observed(flight: Any, seconds: float) -> bool:
            event.set()
            return wait(flight, seconds)

        self.useFixture(
            fixtures.MonkeyPatch(
                'cellplug_drivers.resolver.memcached.flights.Flight.wait',
                observed,
            )
        )
        return event

    def at_once(self, count: int, work: Any) -> list[Any]:
        """The results of so many threads that begin together."""
        barrier = threading.Barrier(count)
        results: list[Any] = [None] * count

        def run(number: int) -> None:
            barrier.wait(PATIENCE)
            try:
                results[number] = work()
            except BaseException as exc:
                results[number] = exc

        threads = [
            threading.Thread(target=run, args=(n,), daemon=True)
            for n in range(count)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join(PATIENCE)
            self.assertFalse(one.is_alive(), 'it hangs')
        return results
