"""The servers as one: pymemcache's HashClient over nodes of our own.

Every key has one home. While its server is left out, a key is unavailable; it
does not move to another server, which would leave old entries behind when
the first one is back.
"""

from __future__ import annotations

import collections
import hashlib
import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from pymemcache.client import base
from pymemcache.client import hash as hashing

from cellplug import exception
from cellplug_drivers.resolver.memcached import nodes
from cellplug_drivers.resolver.memcached import notices

_ADDRESS = re.compile(
    r'(?:\[[0-9A-Za-z:.%]+\]|[^\s\x00-\x1f:/@\[\]]+)(?::[0-9]{1,5})?'
)
_BULK = 500
"""Values sent before their answers are read: not more than buffers hold."""


class _Ring:
    """Which server is a key's home: rendezvous hashing.

    Two processes with the same servers, in whatever order, agree. Keys are
    hashes already; pymemcache's own takes 10 us for each key.
    """

    def __init__(self) -> None:
        self.salts: dict[str, bytes] = {}
        self._only: str | None = None

    def add_node(self, node: str) -> None:
        """One server more."""
        self.salts[node] = hashlib.sha256(node.encode()).digest()[:16]
        self._only = node if len(self.salts) == 1 else None

    def get_node(self, key: bytes) -> str:
        """The key's home."""
        if self._only is not None:
            return self._only
        return max(
            (hashlib.blake2b(key, digest_size=8, salt=salt).digest(), node)
            for node, salt in self.salts.items()
        )[1]


class Cluster(hashing.HashClient):  # type: ignore[misc]
    """The servers as one.

    A method returns what the key's server says, or UNAVAILABLE; of several
    keys, UNAVAILABLE for those whose server does not answer. Nothing raises.
    """

    def __init__(
        self,
        servers: Iterable[Any],
        *,
        connect_timeout: float,
        timeout: float,
        max_pool_size: int,
        retry_after: float,
        told: notices.Notices,
    ) -> None:
        self._node_options: dict[str, Any] = {
            'retry_after': retry_after,
            'told': told,
        }
        super().__init__(
            servers,
            hasher=_Ring,
            connect_timeout=connect_timeout,
            timeout=timeout,
            max_pool_size=max_pool_size,
            no_delay=True,
            use_pooling=True,
        )

    def add_server(self, server: Any, port: Any = None) -> None:
        """One server more."""
        node = nodes.Node(server, **self._node_options, **self.default_kwargs)
        self.clients[node.name] = node
        self.hasher.add_node(node.name)

    def ask(self, command: str, key: bytes, *args: Any) -> Any:
        """A command about one key, put to its home."""
        node = self.clients[self.hasher.get_node(key)]
        return node.ask(command, key, *args)

    def ask_many(self, command: str, keys: Sequence[bytes]) -> dict[Any, Any]:
        """``get_many`` or ``gets_many``: a round trip for each server."""
        found: dict[Any, Any] = {}
        for node, some in self._homes(keys):
            answer = node.ask(command, some)
            if answer is nodes.UNAVAILABLE:
                answer = dict.fromkeys(some, nodes.UNAVAILABLE)
            found.update(answer)
        return found

    def store_many(
        self, command: str, values: Mapping[bytes, bytes | None], expire: int
    ) -> None:
        """``add_many`` or ``set_many``: some hundred in each round trip.

        :param values: None is not stored.
        """
        wanted = [key for key, value in values.items() if value is not None]
        for start in range(0, len(wanted), _BULK):
            some = wanted[start : start + _BULK]
            for node, keys in self._homes(some):
                node.ask(command, {key: values[key] for key in keys}, expire)

    def _homes(
        self, keys: Sequence[bytes]
    ) -> list[tuple[nodes.Node, list[bytes]]]:
        if len(self.clients) == 1:
            (node,) = self.clients.values()
            return [(node, list(keys))] if keys else []
        homes = collections.defaultdict(list)
        for key in keys:
            homes[self.hasher.get_node(key)].append(key)
        return [(self.clients[name], some) for name, some in homes.items()]

    def close(self) -> None:
        """Close all connections."""
        for node in self.clients.values():
            node.close()


def parse_servers(texts: Iterable[str]) -> list[Any]:
    """What pymemcache takes for servers, each once.

    :raises ConfigurationError: if there is none, or one is none.
    """
    servers = []
    texts = list(texts)
    # Not even a part of a URL that was pasted here: it may have a password.
    secret = any('@' in text or '://' in text for text in texts)
    for number, text in enumerate(texts, 1):
        server = _parse_server(text.strip())
        if server is None:
            shown = f'number {number}' if secret else repr(text)
            raise exception.ConfigurationError(
                f'[resolver_memcached] servers: {shown} is not host:port, '
                '[IPv6 address]:port or unix:/path'
            )
        if server not in servers:
            servers.append(server)
    if not servers:
        raise exception.ConfigurationError(
            '[resolver_memcached] servers names no server'
        )
    return servers


def _parse_server(text: str) -> Any:
    """What pymemcache takes for a server; None if it is none.

    Without its brackets an IPv6 address would lose its end to the port.
    """
    if text.startswith(('unix:', '/')):
        return base.normalize_server_spec(text) or None
    if not _ADDRESS.fullmatch(text):
        return None
    server = base.normalize_server_spec(text)
    return server if 0 < server[1] < 65536 else None
