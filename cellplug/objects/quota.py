"""Limits and usages: immutable records."""

from __future__ import annotations

import dataclasses

UNLIMITED = -1
"""The limit that is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """How much of a resource may be used.

    :ivar limit: units of the resource; -1 means unlimited.
    :ivar source: where it was found: ``user``, ``project``, ``class``,
        ``default class`` or ``default``.
    """

    resource: str
    limit: int
    source: str = 'default'


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """How much of a resource is used, in units of the resource.

    :ivar in_use: what exists.
    :ivar reserved: what open reservations hold; never negative.
    """

    resource: str
    in_use: int
    reserved: int
