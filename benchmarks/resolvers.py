"""What finding an instance's cell costs with each resolver.

Look-ups alone: ``memcached`` beside a bare pymemcache client that reads as
many bytes of JSON, ``local``, and ``database``. An instance that this process
has *seen* is one whose entry it decrypted before; the *unseen* are so many
that each one has to be decrypted again.

Then whole reads of one row by instance uuid, as in ``routed_read.py``, beside
oslo.db's enginefacade with its defaults on one database. Every look-up is a
hit: the entries live longer than the benchmark, and were all looked up before.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import secrets
import sys
import uuid
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import measuring
import routed_read
from pymemcache.client import base as pymemcache
from pymemcache.client import hash as pymemcache_hash

import cellplug
from cellplug.testing import deployment
from cellplug.testing import fixtures

UNSEEN = 8000
BULK = 100
LONG = 3600.0
CROWDED = 'memcached, crowded'
BARE = 'pymemcache get + json'
BARE_BULK = 'pymemcache get_many'


class Resolving:
    """A router with one of the resolvers, and a Database of its own."""

    def __init__(
        self,
        name: str,
        setting: routed_read.Setting,
        options: dict[str, Any],
        stack: contextlib.ExitStack,
    ) -> None:
        conf = stack.enter_context(
            deployment.ConfFixture(
                {
                    'api_database.connection': setting.deployed.api_url,
                    'resolver.driver': name,
                    **options,
                }
            )
        ).conf
        database = cellplug.Database()
        self.router: Any = stack.enter_context(
            contextlib.closing(
                cellplug.CellRouter.from_conf(conf, database=database)
            )
        )
        self.resolver = self.router.drivers.load('resolver', name)
        self.read = database.reader.single(
            lambda context, key: routed_read.by_orm(context.session, key)
        )


class Setting:
    """The deployment of ``routed_read``, with a router for each resolver."""

    def __init__(self, backend: str, stack: contextlib.ExitStack) -> None:
        self.routed = routed_read.Setting(backend, stack)
        memcached = stack.enter_context(fixtures.MemcachedFixture())
        self.address: str = memcached.address
        self.prefix: str = memcached.prefix
        cached = {
            'resolver_memcached.servers': [self.address],
            'resolver_memcached.prefix': self.prefix,
            'resolver_memcached.encryption_keys': [secrets.token_hex(32)],
            'resolver_memcached.ttl': LONG,
        }
        self.resolving = {
            name: Resolving(driver, self.routed, options, stack)
            for name, driver, options in (
                ('database', 'database', {}),
                ('memcached', 'memcached', cached),
                # Has seen so many that it remembers none for long.
                (CROWDED, 'memcached', cached),
                ('local', 'local', {'resolver_local.ttl': LONG}),
            )
        }
        self.seen = [key for _, key in self.routed.rows]
        self.unseen = [str(uuid.uuid4()) for _ in range(UNSEEN)]
        cells = itertools.cycle(self.routed.cells)
        self.routed.router.instances.map_many(
            self.routed.context, dict(zip(self.unseen, cells, strict=False))
        )
        for name, one in self.resolving.items():
            keys = self.unseen if name == CROWDED else self.seen
            for some in in_bulks(keys):
                one.resolver.get_instances(some)


def in_bulks(keys: Sequence[str]) -> list[list[str]]:
    return [
        list(keys[first : first + BULK]) for first in range(0, len(keys), BULK)
    ]


class Bare:
    """pymemcache by itself, with JSON of the same length as the entries.

    A Client, which no two threads may share: the least that a look-up costs.
    """

    def __init__(
        self, setting: Setting, stack: contextlib.ExitStack, **options: Any
    ) -> None:
        host, _, port = setting.address.rpartition(':')
        server = (host, int(port))
        self.client = stack.enter_context(
            contextlib.closing(pymemcache.Client(server, **options))
        )
        self.pooled = stack.enter_context(
            contextlib.closing(
                pymemcache_hash.HashClient(
                    [server], use_pooling=True, **options
                )
            )
        )
        self.keys = [
            self._store(setting, number, key)
            for number, key in enumerate(setting.seen)
        ]

    def _store(self, setting: Setting, number: int, instance: str) -> bytes:
        """The entry's fields in plain JSON, as long as the entry."""
        resolver = setting.resolving['memcached'].resolver
        sealed = self.client.get(resolver._keys.instance(instance))
        found = resolver.get_instance(instance)
        text = json.dumps(
            [
                'i',
                1.5e9,
                found.generation,
                found.cell_uuid,
                found.cell.generation,
                found.project_id,
                found.user_id,
            ]
        )
        key = f'{setting.prefix}:bare:{number:032}'.encode()
        self.client.set(key, text.ljust(len(sealed)).encode(), noreply=False)
        return key


def one_by_one(
    setting: Setting, bare: Bare
) -> dict[str, Callable[[], object]]:
    """The cases of a single look-up, by name."""
    bare_keys = itertools.cycle(bare.keys)
    seen, unseen = (
        itertools.cycle(keys) for keys in (setting.seen, setting.unseen)
    )
    local, memcached, crowded, database = (
        setting.resolving[name].resolver
        for name in ('local', 'memcached', CROWDED, 'database')
    )
    return {
        BARE: lambda: json.loads(bare.client.get(next(bare_keys))),
        'pymemcache, pooled HashClient': lambda: json.loads(
            bare.pooled.get(next(bare_keys))
        ),
        'memcached, seen': lambda: memcached.get_instance(next(seen)),
        'memcached, unseen': lambda: crowded.get_instance(next(unseen)),
        'local': lambda: local.get_instance(next(seen)),
        'database': lambda: database.get_instance(next(seen)),
    }


def in_bulk(setting: Setting, bare: Bare) -> dict[str, Callable[[], object]]:
    """The cases of a look-up of many, by name."""
    bare_keys = itertools.cycle(
        bare.keys[first : first + BULK]
        for first in range(0, len(bare.keys), BULK)
    )
    seen, unseen = (
        itertools.cycle(in_bulks(keys))
        for keys in (setting.seen, setting.unseen)
    )
    local, memcached, crowded, database = (
        setting.resolving[name].resolver
        for name in ('local', 'memcached', CROWDED, 'database')
    )

    def bare_and_json() -> object:
        found = bare.client.get_many(next(bare_keys))
        return [json.loads(value) for value in found.values()]

    return {
        BARE_BULK: lambda: bare.client.get_many(next(bare_keys)),
        'pymemcache get_many, pooled HashClient': lambda: bare.pooled.get_many(
            next(bare_keys)
        ),
        'pymemcache get_many + json': bare_and_json,
        'memcached, seen': lambda: memcached.get_instances(next(seen)),
        'memcached, unseen': lambda: crowded.get_instances(next(unseen)),
        'local': lambda: local.get_instances(next(seen)),
        'database': lambda: database.get_instances(next(seen)),
    }


def reads(
    setting: Setting, stack: contextlib.ExitStack
) -> dict[str, Callable[[], object]]:
    """The cases of a read by instance uuid, by name."""
    routed = setting.routed
    keys = itertools.cycle(routed.keys)
    plain = stack.enter_context(
        contextlib.closing(routed_read.Plain(routed.url))
    )
    plain_context = routed_read.PlainContext()

    local = setting.resolving['local']
    rows = itertools.cycle(routed.rows)

    def without_look_up() -> None:
        cell, key = next(rows)
        with local.router.target_cell(routed.context, cell) as cctxt:
            local.read(cctxt, key)

    def routed_by(name: str) -> Callable[[], object]:
        keys = itertools.cycle(setting.seen)
        resolving = setting.resolving[name]
        target, read = resolving.router.target_instance, resolving.read

        def case() -> None:
            key = next(keys)
            with target(routed.context, key) as cctxt:
                read(cctxt, key)

        return case

    return {
        routed_read.BASELINE: lambda: plain.read(plain_context, next(keys)),
        'target_cell, single': without_look_up,
        **{
            f'target_instance, single, {name}': routed_by(name)
            for name in ('local', 'memcached', 'database')
        },
    }


def main() -> int:
    """Measure; the exit code."""
    arguments = parse()
    measuring.use_server(arguments)
    report = measuring.Report(f'Resolvers, {arguments.backend}', arguments)
    with contextlib.ExitStack() as stack:
        setting = Setting(arguments.backend, stack)
        bare = Bare(setting, stack)
        alone = measuring.take_turns(
            one_by_one(setting, bare),
            rounds=arguments.rounds,
            calls=arguments.calls,
            baseline=BARE,
        )
        report.table('One instance, us per look-up', alone)
        bulk = measuring.take_turns(
            in_bulk(setting, bare),
            rounds=arguments.rounds,
            calls=max(1, arguments.calls // 10),
            baseline=BARE_BULK,
        )
        report.table(f'{BULK} instances, us per look-up of them all', bulk)
        whole = measuring.take_turns(
            reads(setting, stack),
            rounds=arguments.rounds,
            calls=arguments.calls,
            baseline=routed_read.BASELINE,
        )
        report.table(
            f'One row by instance uuid, {routed_read.CELLS} cells, us per '
            'read',
            whole,
        )
    set_targets(report, arguments.backend, alone, bulk, whole)
    return report.finish()


def parse() -> argparse.Namespace:
    parser = measuring.parser(__doc__)
    measuring.add_database(parser)
    parser.add_argument(
        '--calls',
        type=int,
        default=240,
        help='look-ups or reads of each case in each round, a tenth of it in '
        'bulk (default: %(default)s)',
    )
    parser.set_defaults(rounds=25)
    return parser.parse_args()


def set_targets(
    report: measuring.Report,
    backend: str,
    alone: dict[str, measuring.Samples],
    bulk: dict[str, measuring.Samples],
    whole: dict[str, measuring.Samples],
) -> None:
    for which in ('seen', 'unseen'):
        name = f'memcached, {which}'
        report.target(name, alone[name].ratio, 1.6, f'x {BARE}')
    report.target('local', alone['local'].median, 5, 'us')
    # Decrypting a hundred entries takes longer than fetching them.
    name = 'memcached, seen'
    report.target(f'{BULK} by {name}', bulk[name].ratio, 1.5, f'x {BARE_BULK}')
    if backend == 'mariadb':
        for name, limit in (('local', 0.87), ('memcached', 0.95)):
            case = f'target_instance, single, {name}'
            report.target(
                case, whole[case].ratio, limit, f'x {routed_read.BASELINE}'
            )


if __name__ == '__main__':
    sys.exit(main())
