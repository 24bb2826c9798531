"""All options for oslo-config-generator: ours and every driver's."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from cellplug import conf
from cellplug import loader


def list_opts() -> list[tuple[str, Sequence[cfg.Opt]]]:
    """Groups and options: the framework's, then the installed drivers'.

    A driver that cannot be loaded is left out.
    """
    return [*conf.list_opts(), *loader.driver_options(loader.installed())]
