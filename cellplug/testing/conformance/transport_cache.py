"""The suite of transport caches."""

from __future__ import annotations

from cellplug.testing.conformance import base


class TransportCacheSuite(base.Suite):
    """Whether one keeps :class:`cellplug.interfaces.TransportCache`.

    No message queue is needed: the suite's host opens transports that
    connect to nothing, and counts what becomes of them.
    """

    interface = 'transport_cache'
