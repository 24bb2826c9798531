"""Options of quotas, ``[quota]``."""

from __future__ import annotations

from oslo_config import cfg

from cellplug.conf import drivers


def opts() -> list[cfg.Opt]:
    """Where they are kept, and what there are quotas for."""
    return [
        *drivers.opts('quota'),
        cfg.ListOpt(
            'resource_plugins',
            default=[],
            help='Names of the entry points "cellplug.quota_resource" that '
            'say what can be limited; by default those of all packages that '
            "are installed. Name your service's where another service stands "
            'in the same environment, all the more if both have a resource '
            'of one name.',
        ),
    ]
