"""The suite of quota drivers."""

from __future__ import annotations

from cellplug.testing.conformance import base


class QuotaSuite(base.Suite):
    """Whether one keeps :class:`cellplug.interfaces.QuotaDriver`."""

    interface = 'quota'
