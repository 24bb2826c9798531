"""A private Galera cluster: MariaDBs that replicate to each other."""

from __future__ import annotations

import secrets
import time
from typing import ClassVar

from cellplug.testing.services import admin
from cellplug.testing.services import base
from cellplug.testing.services import galera_node
from cellplug.testing.services import startable

NODES = 3
"""The fewest of which one may die."""

_POLL = 0.05


class Galera(startable.Startable):
    """Three MariaDBs on loopback; each takes writes, each has them all.

    Every method is bounded. A node is killed and brought back by its index;
    what else can be done to a server is done to one of :attr:`nodes`.

    :ivar nodes: the three, the first one first.
    """

    title: ClassVar[str] = 'Galera'
    variable: ClassVar[str] = 'CELLPLUG_TEST_GALERA'

    def __init__(self) -> None:
        cluster = f'cellplug-{secrets.token_hex(4)}'
        password = secrets.token_hex(12)
        self.nodes = tuple(
            galera_node.Node(
                f'node{number}', cluster, password, self._addresses
            )
            for number in range(NODES)
        )

    @classmethod
    def why_unavailable(cls) -> str | None:
        """Name the program, module or library that is missing."""
        return galera_node.Node.why_unavailable()

    @property
    def admin_url(self) -> str:
        """The admin URLs of all nodes, with blanks between them."""
        return ' '.join(node.admin_url for node in self.nodes)

    @property
    def port(self) -> int:
        """The first node's; 0 unless started."""
        return self.nodes[0].port

    @property
    def running(self) -> bool:
        """Whether all nodes run."""
        return all(node.running for node in self.nodes)

    def start(self, index: int | None = None) -> None:
        """Start the cluster, one node after the other; or bring one back.

        :param index: of a node that was killed: it is sent what it missed.
        :raises ServiceUnavailable: the machine lacks what it needs.
        :raises ServiceError: a node is running already or does not start, or
            no other node runs from which it could learn what it missed.
        """
        if index is not None:
            self._bring_back(self.nodes[index])
            return
        if self._addresses():
            raise base.ServiceError(f'{self.title} is running already')
        try:
            for node in self.nodes:
                node.start()
            self.wait_synced()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes at once and remove their data; may be repeated."""
        for node in self.nodes:
            node.stop()

    def kill(self, index: int) -> None:
        """Kill one node (SIGKILL); its data stays.

        The others notice within seconds; until then no commit of theirs
        returns. See :meth:`wait_synced`.
        """
        self.nodes[index].kill()

    def wait_synced(self, timeout: float = 60.0) -> None:
        """Wait until the nodes that run are one cluster and serve.

        :param timeout: in seconds.
        :raises ServiceError: they are not after that time.
        """
        deadline = time.monotonic() + timeout
        running = [node for node in self.nodes if node.running]
        while not all(node.synced(len(running)) for node in running):
            if time.monotonic() > deadline:
                raise base.ServiceError(
                    f'{self.title} did not become one cluster of '
                    f'{len(running)} within {timeout:g} s'
                )
            time.sleep(_POLL)

    def create_database(self, name: str) -> list[str]:
        """Make an empty database, in utf8mb4, on all nodes that run.

        :param name: lower-case letters, digits, underscores; at most 63.
        :returns: its URL at each node.
        """
        running = [node for node in self.nodes if node.running]
        admin.create_database(running[0].admin_url, name)
        for node in running:
            node.catch_up()
        return [node.url(name) for node in self.nodes]

    def _bring_back(self, node: galera_node.Node) -> None:
        if not self._addresses():
            raise base.ServiceError(
                f'no node runs that {node.name} could join; stop and start '
                'the cluster'
            )
        node.start()
        self.wait_synced()

    def _addresses(self) -> list[str]:
        return [node.address for node in self.nodes if node.running]
