"""Which instance source a deployment has."""

from __future__ import annotations

from typing import Any

from cellplug import exception
from cellplug import loader
from cellplug.cells import instance_table
from cellplug.interfaces import instance_source

GROUP = 'cellplug.instance_source'
"""The entry points; see :mod:`cellplug.interfaces.instance_source`."""

Source = instance_source.InstanceSource


def find(router: Any) -> Source | None:
    """The source that is configured, or the one that is installed.

    :returns: None if there is none.
    :raises ConfigurationError: if it is not clear which one.
    :raises PluginError: if an entry point cannot be used.
    """
    options = router.conf.instances
    if options.table:
        if options.source:
            raise exception.ConfigurationError(
                '[instances] table and source: set one of them'
            )
        return instance_table.TableSource(options, router.database)
    names = [options.source] if options.source else []
    plugins = loader.load_plugins(GROUP, names)
    if len(plugins) > 1:
        offered = ', '.join(str(plugin) for plugin in plugins)
        raise exception.ConfigurationError(
            f'[instances] source: set it, as there are several: {offered}'
        )
    if names and not plugins:
        raise exception.ConfigurationError(
            f'[instances] source: no installed package offers {names[0]!r}'
        )
    return _made(plugins[0], router) if plugins else None


def need(router: Any) -> Source:
    """The source.

    :raises ConfigurationError: also if there is none.
    """
    found = find(router)
    if found is None:
        raise exception.ConfigurationError(
            "nothing says where the service's instances are: set [instances] "
            'table, or install a package that offers an entry point '
            f'"{GROUP}"'
        )
    return found


def _made(plugin: loader.Plugin, router: Any) -> Source:
    """The source itself, made if the entry point leads to its maker."""
    found = plugin.loaded
    try:
        if isinstance(found, type) or not isinstance(found, Source):
            found = found(router)
        if not isinstance(found, Source):
            raise TypeError(f'{found!r} is no instance source')
    # A stranger's code.
    except (Exception, SystemExit) as exc:
        raise plugin.failed(exc) from exc
    return found
