"""What the checks of transport caches share: transports that count."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from cellplug import interfaces
from cellplug.testing.conformance import base
from cellplug.testing.conformance import common

Capability = interfaces.TransportCacheCapability


class TransportCacheCase(common.DriverChecks):
    """A transport cache, and a host that counts transports."""

    interface = 'transport_cache'
    capability_enum = Capability

    def setUp(self) -> None:
        super().setUp()
        self._number = 0

    def new_url(self) -> str:
        """A transport URL that was not used yet; it holds a password."""
        self._number += 1
        return f'rabbit://suite:{base.CANARY}@mq.invalid/v{self._number}'

    @contextlib.contextmanager
    def using(self, url: str) -> Iterator[Any]:
        """Borrow the transport, and notice if it is closed meanwhile."""
        with self.subject.use(url) as transport:
            transport.enter()
            try:
                yield transport
            finally:
                transport.leave()

    def exercise(self, driver: Any) -> None:
        """Borrow a transport twice."""
        url = self.new_url()
        for _ in range(2):
            with driver.use(url) as transport:
                self.assertEqual(url, transport.url)
                self.assertEqual(0, transport.closed, 'lent a closed one')

    def _need_keeps(self) -> None:
        if not self.can(Capability.KEEPS):
            self.not_applicable('it does not declare KEEPS')

    def check_closed(self) -> None:
        """Assert that every transport of this process was closed once."""
        for one in self.host.opened:
            if one.pid == os.getpid():
                self.assertEqual(1, one.closed, 'times that it was closed')
                self.assertFalse(one.closed_in_use, 'closed while in use')
