"""The options of the ``memcached`` resolver, and what they are checked for."""

from __future__ import annotations

from oslo_config import cfg


def all_options() -> list[cfg.Opt]:
    """Where, how long, how secret, how patient."""
    return [
        *_places(),
        *_times(),
        *_patience(),
    ]


def _places() -> list[cfg.Opt]:
    return [
        cfg.StrOpt(
            'backend',
            default='database',
            help='The resolver that is asked for what memcached does not '
            'hold, e.g. database or static.',
        ),
        cfg.ListOpt(
            'servers',
            default=['127.0.0.1:11211'],
            help='The memcached servers: host:port, [IPv6 address]:port or '
            'unix:/path, separated by commas. All processes of a deployment '
            'must name the same ones, in any order, spelt the same. Prefer '
            'addresses: looking up a name has no timeout here.',
        ),
        cfg.StrOpt(
            'prefix',
            default='cellplug',
            help='What the keys in memcached begin with: 1 to 100 printable '
            'ASCII characters. The same in all processes of a deployment; '
            'give each of two deployments that share a memcached its own.',
        ),
        cfg.ListOpt(
            'encryption_keys',
            default=[],
            secret=True,
            help='Required: the keys that entries are encrypted and '
            'authenticated with (AES-GCM), since they hold the passwords of '
            'the cells. Each is 16 or 32 bytes in hex or base64; make one '
            'with: openssl rand -hex 32. The first one encrypts, every one '
            'decrypts. To rotate, add the new key at the end everywhere, '
            'then move it to the front everywhere, and remove the old one '
            'after ttl seconds.',
        ),
    ]


def _times() -> list[cfg.Opt]:
    return [
        cfg.FloatOpt(
            'ttl',
            default=60.0,
            min=1,
            max=86400,
            help='For how many seconds an entry is believed, counted from '
            'the question to the backend. It bounds how long one process may '
            'not see what another one changed, where memcached did not get '
            'to know of the change. Longer saves look-ups.',
        ),
        cfg.FloatOpt(
            'negative_ttl',
            default=2.0,
            min=0,
            max=3600,
            help='For how many seconds "there is no such instance or cell" '
            'is believed; 0 does not store it. Keeps those who ask again and '
            'again for what does not exist away from the database.',
        ),
        cfg.FloatOpt(
            'clock_skew',
            default=5.0,
            min=0,
            max=600,
            help='By how many seconds the clocks of the hosts may differ. '
            'Entries from further ahead are ignored.',
        ),
    ]


def _patience() -> list[cfg.Opt]:
    return [
        cfg.FloatOpt(
            'connect_timeout',
            default=0.25,
            min=0.001,
            help='Seconds to wait for a connection to a memcached. One that '
            'takes longer is not worth waiting for.',
        ),
        cfg.FloatOpt(
            'timeout',
            default=0.25,
            min=0.001,
            help='Seconds to wait for each answer of a memcached, and for a '
            'free connection to it. Then the backend is asked.',
        ),
        cfg.FloatOpt(
            'retry_after',
            default=2.0,
            min=0.01,
            help='Seconds for which a memcached that did not answer is left '
            'out. Then one thread tries it again, which costs that one up to '
            'connect_timeout or timeout while the server is frozen.',
        ),
        cfg.IntOpt(
            'max_pool_size',
            default=100,
            min=1,
            help='Connections that a process opens to one memcached at most; '
            'they are opened as needed and stay open. Give it as many as the '
            'process has threads: further ones wait for up to timeout '
            'seconds, then ask the backend.',
        ),
        cfg.FloatOpt(
            'leader_timeout',
            default=1.0,
            min=0,
            help='Threads that miss the same key at once make one look-up in '
            'the backend. For so many seconds the others wait for it before '
            'they make their own.',
        ),
    ]
