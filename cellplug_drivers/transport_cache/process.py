"""The ``process`` transport cache: one transport per URL, kept for ever."""

from __future__ import annotations

from typing import Any

from cellplug import interfaces
from cellplug_drivers.transport_cache import lending


class ProcessTransportCache(lending.Lender):
    """Keeps a transport for each URL for as long as the process lives.

    *When it is right.* Almost always: it is the default. No message but the
    first to a cell waits for a connection.

    *What it costs.* A transport that was used holds two connections to the
    broker, one to send and one for answers, more while several threads send
    at once, and a thread for each.

    *What clears it.* An edited or deleted cell, for that cell: calls in
    flight finish on the old connections. A transport that lost a message is
    replaced by the next one. Closing the router closes all.

    *How large it grows.* One transport for each cell that this process ever
    sent to. One that talks to very many cells may want ``lru``.

    *Fork.* A child opens its own, and leaves the parent's alone.
    """

    capabilities = frozenset({interfaces.TransportCacheCapability.KEEPS})

    def __init__(self, options: Any, host: interfaces.DriverHost) -> None:
        super().__init__(lambda: lending.Book(host.open_transport))
