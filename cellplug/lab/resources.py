"""What the entry point ``cellplug.quota_resource`` of the lab leads to."""

from __future__ import annotations

from typing import Any

import cellplug

PLUGIN = 'lab'
"""The name of the entry point, which a lab's configuration names."""


def resources(router: cellplug.CellRouter) -> list[Any]:
    """The lab's resources in a lab's deployment, and none elsewhere.

    The lab is installed wherever cellplug is, and limits nothing there. A
    deployment is a lab's if its configuration says so; then the resources of
    other services, whatever is installed, are none of its.
    """
    if PLUGIN not in router.conf.quota.resource_plugins:
        return []
    # Imported here: of no use to all other deployments.
    from cellplug.lab import quotas  # noqa: PLC0415

    return quotas.resources(router)
