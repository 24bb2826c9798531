"""The ``memcached`` resolver: mappings that all processes share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cellplug import exception
from cellplug import interfaces
from cellplug import objects
from cellplug_drivers.resolver.memcached import cache as caching
from cellplug_drivers.resolver.memcached import cluster
from cellplug_drivers.resolver.memcached import codec
from cellplug_drivers.resolver.memcached import mappings
from cellplug_drivers.resolver.memcached import options as all_options

_Capability = interfaces.ResolverCapability
_PASSED_ON = frozenset(
    {
        _Capability.INSTANCES,
        _Capability.OWN_CELLS,
        _Capability.OWN_INSTANCES,
    }
)
_UUID = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


class _Process:
    """What the driver has in one process."""

    def __init__(
        self,
        cache: caching.Cache,
        keys: codec.Keys,
        backend: interfaces.Resolver,
        patience: float,
    ) -> None:
        self.pid = os.getpid()
        self.cache = cache
        self.instances = mappings.InstanceLookUp(
            cache, keys, backend, patience
        )
        self.cells = mappings.CellLookUp(cache, keys, backend, patience)


class MemcachedResolver(interfaces.Resolver):
    """Shares, through memcached, what another resolver said.

    *When it is right.* Where many processes look up more instances than each
    could remember, and the API database should be spared. A look-up that
    hits is one round trip to memcached, a bulk one a round trip to each
    server. Names of cells and ``list_cells`` are passed on to the backend,
    and so are all questions for cells where the backend has its own, as
    ``static`` does: then every process knows them without memcached.
    The times of an instance's mapping are not kept: a hit has None.

    *Needs* the extra ``cellplug[memcached]``, and a key of its own in
    ``encryption_keys``: without one it refuses to start.

    *The bound.* What another process changed is seen ``ttl`` seconds later
    at most (by the clocks of the hosts, which may differ by ``clock_skew``).
    A moved, mapped or unmapped instance is usually seen at once: whoever
    changed it leaves a mark in memcached. Where memcached could not be
    reached then, or lost the mark, and for a changed cell, ``ttl`` is the
    bound. "There is none" is believed for ``negative_ttl`` seconds. What this
    process itself changed it sees at once, whatever memcached does.

    *What clears it.* Age; ``forget_instance`` and ``forget_cell``, in this
    process even if memcached is down; a reload, for this process. Flushing or
    restarting memcached is safe at any time.

    *When memcached fails.* Look-ups go on at the backend's speed: a server
    that did not answer within ``timeout`` is left out for ``retry_after``
    seconds, with one warning, and one line when it is back. So does what
    cannot be decrypted. Of the threads that miss one key at once, one asks
    the backend.

    *Secrets.* Entries are JSON, encrypted and authenticated with
    ``encryption_keys``, each for its own key. Who can write to memcached can
    make look-ups miss, but never bring them to another cell. A change made
    less than ``ttl`` seconds ago in another process is the exception that
    the bound allows: its old entry can be put back until it is that old.

    *How large it grows.* In memcached: about 300 bytes for an instance, a
    kilobyte for a cell, for ``ttl`` seconds. In each process: the newest
    version of each cell, the 5000 entries opened last (about a kilobyte
    each; they save decrypting the same bytes again, and answer nothing by
    themselves), and a note for each of the 10000 mappings forgotten last. In
    a child of a fork all but these notes begins anew, with connections and
    locks of its own.

    It finds instances if its backend does; else it raises NotSupported too.
    """

    capabilities = _PASSED_ON | {_Capability.CACHES}

    @classmethod
    def options(cls) -> Sequence[cfg.Opt]:
        return all_options.all_options()

    @classmethod
    def check_config(cls, conf: cfg.ConfigOpts) -> Sequence[str]:
        """Servers, prefix and keys, each by itself."""
        conf.register_opts(cls.options(), 'resolver_memcached')
        group = conf.resolver_memcached
        found = []
        for check, value in (
            (cluster.parse_servers, group.servers),
            (codec.check_prefix, group.prefix),
            (codec.parse_keys, group.encryption_keys),
        ):
            try:
                check(value)
            except exception.ConfigurationError as exc:
                found.append(str(exc))
        return found

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        self._options = options
        self._servers = cluster.parse_servers(options.servers)
        self._codec = codec.Codec(codec.parse_keys(options.encryption_keys))
        self._keys = codec.Keys(codec.check_prefix(options.prefix))
        self._clock = host.clock
        self._backend: interfaces.Resolver = host.load(
            'resolver', options.backend
        )
        theirs = self._backend.capabilities
        if _Capability.BY_PROJECT in theirs:
            raise exception.ConfigurationError(
                f'[resolver_memcached] backend: {options.backend} finds '
                'instances by the project that asks, so its answers must not '
                'be given to others; use it without memcached'
            )
        self.capabilities = self.capabilities - (_PASSED_ON - theirs)
        self._finds_instances = _Capability.INSTANCES in theirs
        self._processes: dict[int, _Process] = {}
        self._process = self._make(None)

    def __repr__(self) -> str:
        servers = ', '.join(self._process.cache.cluster.clients)
        return (
            f'<MemcachedResolver on {servers} in front of '
            f'{self._options.backend}>'
        )

    def _make(self, former: caching.Cache | None) -> _Process:
        cache = caching.Cache(
            self._options, self._servers, self._codec, self._clock, former
        )
        made = _Process(
            cache, self._keys, self._backend, self._options.leader_timeout
        )
        # The parent's stays referred to: its sockets are not ours to close.
        # setdefault: threads that come here at once must share one.
        return self._processes.setdefault(made.pid, made)

    def _here(self) -> _Process:
        process = self._process
        if process.pid != os.getpid():
            process = self._process = self._make(process.cache)
        return process

    def get_cell(self, cell: str) -> objects.CellMapping:
        """By uuid: one round trip to memcached. By name: the backend's."""
        process = self._here()
        if not _UUID.fullmatch(cell):
            return self._backend.get_cell(cell)
        found = process.cells.get(cell)
        if found is None:
            raise exception.CellMappingNotFound(cell)
        return found

    def list_cells(self) -> list[objects.CellMapping]:
        """The backend's."""
        return self._backend.list_cells()

    def get_instance(self, instance_uuid: str) -> objects.InstanceMapping:
        """One round trip to memcached."""
        if not self._finds_instances:
            return self._backend.get_instance(instance_uuid)
        return self._here().instances.get(instance_uuid)

    def get_instances(
        self, instance_uuids: Iterable[str]
    ) -> dict[str, objects.InstanceMapping]:
        """One round trip to each memcached; the backend once, for the rest."""
        if not self._finds_instances:
            return self._backend.get_instances(instance_uuids)
        return self._here().instances.get_many(instance_uuids)

    def forget_cell(self, cell_uuid: str) -> None:
        # The backend first: a look-up that begins when this returns, or when
        # the fence stands, must not be told the old by its memory.
        self._backend.forget_cell(cell_uuid)
        self._here().cache.forget_cell(cell_uuid, self._keys.cell(cell_uuid))

    def forget_instance(
        self, instance_uuid: str, below_generation: int | None = None
    ) -> None:
        self._backend.forget_instance(instance_uuid, below_generation)
        self._here().cache.forget(
            {self._keys.instance(instance_uuid): below_generation}
        )

    def forget_instances(self, generations: Mapping[str, int | None]) -> None:
        """One round trip to each memcached for some hundred."""
        self._backend.forget_instances(generations)
        of = self._keys.instance
        self._here().cache.forget(
            {of(uuid): lowest for uuid, lowest in generations.items()}
        )

    def reload(self) -> None:
        """The backend may say something else now: believe nothing older."""
        self._here().cache.forget_all()

    def close(self) -> None:
        """Close this process's connections; look-ups go to the backend."""
        self._here().cache.cluster.close()
