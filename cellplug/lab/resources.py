"""What the entry point ``cellplug.quota_resource`` of the lab leads to."""

from __future__ import annotations

import os.path
from typing import Any

import cellplug

MARKER = 'lab.json'
"""The file that makes a directory a lab's."""


def resources(router: cellplug.CellRouter) -> list[Any]:
    """The lab's resources in a lab's deployment, and none elsewhere.

    The lab is installed wherever cellplug is, and limits nothing there. A
    deployment is a lab's if its configuration file stands in the directory of
    one: also that of a command which looks at it.
    """
    if not _is_of_a_lab(getattr(router.conf, 'config_file', None) or ()):
        return []
    # Imported here: of no use to all other deployments.
    from cellplug.lab import quotas  # noqa: PLC0415

    return quotas.resources(router)


def _is_of_a_lab(files: Any) -> bool:
    return any(
        os.path.exists(os.path.join(os.path.dirname(path), MARKER))
        for path in files
    )
