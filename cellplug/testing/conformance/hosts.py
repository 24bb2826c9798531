"""What a suite's drivers are built with: a host that can be looked into."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from oslo_config import cfg

import cellplug
from cellplug import exception
from cellplug import interfaces
from cellplug import loader
from cellplug import objects
from cellplug.testing.conformance import harnesses

BAD_URL = 'no-queue-at-all'
"""What no transport can be opened for."""


class Clock:
    """Seconds since the epoch, which a check can advance."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Go on by so much at once."""
        self._ahead += seconds


class CountedTransport:
    """A transport that connects to nothing and notes what becomes of it.

    :ivar pid: the process that opened it.
    :ivar closed: how often it was closed, in this process.
    :ivar closed_in_use: whether it was closed while somebody used it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.pid = os.getpid()
        self.broken = False
        self.closed = 0
        self.closed_in_use = False
        self._users: list[bool] = []

    def enter(self) -> None:
        """Somebody uses it."""
        self._users.append(True)

    def leave(self) -> None:
        """And does so no more."""
        self._users.pop()

    def close(self) -> None:
        """Note that it was closed, and whether it may have been."""
        self.closed += 1
        # A child inherits the parent's users, who are none of its own.
        if self._users and self.pid == os.getpid():
            self.closed_in_use = True


class Gate(interfaces.Resolver):
    """Stands between a driver and the resolver it loaded.

    :ivar broken: whether look-ups fail, as if the source were down.
    :ivar hold: where the next look-up stands still with its answer.
    :ivar pretended: capabilities that it claims beside those behind it.
    :ivar one_at_a_time: held while somebody is behind the gate, if set.
    """

    def __init__(self, behind: Any) -> None:
        self._behind = behind
        self.broken = False
        self.one_at_a_time: threading.Lock | None = None
        self.pretended: frozenset[interfaces.ResolverCapability] = frozenset()
        self.hold: harnesses.Hold | None = None

    @property
    def capabilities(self) -> Any:  # type: ignore[override]
        """Those of the resolver behind, and what it is said to have."""
        return self._behind.capabilities | self.pretended

    def _answer(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self.broken:
            raise exception.DatabaseUnavailable('the source', 'it is broken')
        hold = self.hold
        try:
            with self.one_at_a_time or contextlib.nullcontext():
                return getattr(self._behind, method)(*args, **kwargs)
        finally:
            if hold is not None:
                hold.stop_here()

    def get_cell(self, cell: str, **hints: Any) -> objects.CellMapping:
        found: objects.CellMapping = self._answer('get_cell', cell, **hints)
        return found

    def list_cells(self) -> list[objects.CellMapping]:
        found: list[objects.CellMapping] = self._answer('list_cells')
        return found

    def get_instance(
        self, instance_uuid: str, **hints: Any
    ) -> objects.InstanceMapping:
        found: objects.InstanceMapping = self._answer(
            'get_instance', instance_uuid, **hints
        )
        return found

    def get_instances(
        self, instance_uuids: Iterable[str], **hints: Any
    ) -> dict[str, objects.InstanceMapping]:
        found: dict[str, objects.InstanceMapping] = self._answer(
            'get_instances', instance_uuids, **hints
        )
        return found

    def forget_cell(self, cell_uuid: str) -> None:
        self._behind.forget_cell(cell_uuid)

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        self._behind.forget_instance(instance_uuid, below_generation)

    def reload(self) -> None:
        self._behind.reload()

    def close(self) -> None:
        """The loader closes what is behind."""


class SuiteHost:
    """The :class:`cellplug.interfaces.DriverHost` of one check.

    :ivar opened: the transports that were opened, in order.
    :ivar refuse: what opening one raises, if set.
    :ivar gates: what stands before the resolvers that drivers loaded.
    :ivar pretended: capabilities that these claim beside their own.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, harness: harnesses.Harness
    ) -> None:
        self._conf = conf
        self._harness = harness
        self._loader = loader.Loader(conf, self)
        self._built: list[Any] = []
        self.clock: Callable[[], float] = Clock()
        self.database: cellplug.Database = harness.database
        self.opened: list[CountedTransport] = []
        self.refuse: Exception | None = None
        self.gates: dict[tuple[str, str], Any] = {}
        self.pretended: frozenset[interfaces.ResolverCapability] = frozenset()

    def build(self, interface: str, driver: str | type[Any]) -> Any:
        """The driver under test, built as a router builds it."""
        if isinstance(driver, str):
            made = self._loader.load(interface, driver)
        else:
            group = group_of(interface, driver)
            made = driver(getattr(self._conf, group, None), self)
            self._built.append(made)
        self._harness.attach(made)
        return made

    def load(self, interface: str, name: str) -> Any:
        """Another driver, for the one under test; a resolver is gated."""
        made = self._loader.load(interface, name)
        if interface != 'resolver':
            return made
        self._harness.attach(made)
        gate = self.gates.setdefault((interface, name), Gate(made))
        gate.pretended = self.pretended
        return gate

    def read_config(self) -> cfg.ConfigOpts:
        """The files of the configuration and the harness, parsed afresh."""
        return parse(_files(self._conf))

    def open_transport(self, url: str) -> CountedTransport:
        """A transport that is counted."""
        if url == BAD_URL:
            raise exception.InvalidURL('transport_url', 'names no queue')
        if self.refuse is not None:
            raise self.refuse
        made = CountedTransport(url)
        self.opened.append(made)
        return made

    def target_cell(
        self, context: cellplug.RequestContext, cell_uuid: str
    ) -> AbstractContextManager[Any]:
        """Not to be had in a suite, whose cells have no databases."""
        raise exception.NotSupported('a suite has no cells to target')

    def secrets(self, interface: str, driver: str | type[Any]) -> list[str]:
        """The values of the driver's options that are declared secret."""
        found: list[str] = []
        for opt in driver_class(interface, driver).options():
            if opt.secret:
                value = self._conf[group_of(interface, driver)][opt.dest]
                many = value if isinstance(value, list | tuple) else [value]
                found += [one for one in many if isinstance(one, str) and one]
        return found

    def close(self) -> None:
        """Close what was built, the last one first."""
        for made in reversed(self._built):
            made.close()
        self._loader.close()


UNNAMED = 'conformance'
"""What a driver is called that is given as a class."""


def driver_class(interface: str, driver: str | type[Any]) -> type[Any]:
    """The class; an installed one is found by its name.

    :raises DriverError: if it cannot be loaded.
    """
    if isinstance(driver, str):
        return loader.load_class(interface, driver)
    return driver


def group_of(interface: str, driver: str | type[Any]) -> str:
    """The group of the driver's own options."""
    name = driver if isinstance(driver, str) else UNNAMED
    return f'{interface}_{name}'


def parse(files: list[str]) -> cfg.ConfigOpts:
    """A configuration of these files, with no options registered."""
    conf = cfg.ConfigOpts()
    conf(
        [],
        project='cellplug',
        default_config_files=files,
        default_config_dirs=[],
    )
    return conf


def configure(
    interface: str,
    driver: str | type[Any],
    harness: harnesses.Harness,
    given: cfg.ConfigOpts | None,
    options: Mapping[str, Any],
) -> cfg.ConfigOpts:
    """The configuration of one check.

    Later ones win: files and values of ``given``, the harness's, ``options``.
    """
    files = [*_files(given), *harness.config_files]
    conf = parse(files)
    cellplug.register_opts(conf)
    group = group_of(interface, driver)
    known = list(driver_class(interface, driver).options())
    conf.register_opts(known, group)
    values = dict(_values(given, known, group))
    for key, value in {**values, **harness.options, **options}.items():
        conf.set_override(key, value, group)
    return conf


def _files(conf: cfg.ConfigOpts | None) -> list[str]:
    return [] if conf is None else list(conf.config_file or [])


def _values(
    given: cfg.ConfigOpts | None, known: list[cfg.Opt], group: str
) -> Iterable[tuple[str, Any]]:
    """What a program had set in the driver's group."""
    if given is None:
        return
    given.register_opts(known, group)
    for opt in known:
        value = given[group][opt.dest]
        if value != opt.default:
            yield opt.dest, value
