"""The suite of resolvers."""

from __future__ import annotations

from cellplug.testing.conformance import base


class ResolverSuite(base.Suite):
    """Whether a resolver keeps :class:`cellplug.interfaces.Resolver`.

    Its harness is a :class:`.harnesses.ResolverHarness`.
    """

    interface = 'resolver'
