"""What services and others offer by entry points, beside drivers."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from cellplug import exception
from cellplug.loader import finding


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """Something that an entry point led to.

    :ivar group: the entry point's group, e.g. ``cellplug.quota_resource``.
    :ivar name: the entry point's name.
    :ivar target: ``module:attribute``.
    :ivar origin: the distribution and its version.
    :ivar loaded: what stands there.
    """

    group: str
    name: str
    target: str
    origin: str
    loaded: Any = None

    def __str__(self) -> str:
        return f'entry point {self.name!r} of {self.origin}'

    def failed(self, error: BaseException) -> exception.PluginError:
        """What to raise if it cannot be loaded or used."""
        why = f'{type(error).__name__}: {error}'
        if isinstance(error, exception.CellplugError):
            why = str(error)
        return exception.PluginError(
            self.group, self.name, self.target, why, origin=self.origin
        )


def load_plugins(group: str, names: Collection[str] = ()) -> list[Plugin]:
    """What is offered in a group, sorted by name.

    Not by stevedore's managers, which cannot tell whose module it was that
    exits or fails an assertion.

    :param names: of the entry points; by default all are loaded.
    :raises PluginError: names the first that cannot be imported.
    """
    plugins = []
    for point in finding.entry_points(group):
        if names and point.name not in names:
            continue
        plugin = Plugin(group, point.name, point.value, finding.origin(point))
        try:
            loaded = point.load()
        # A stranger's module.
        except (Exception, SystemExit) as exc:
            raise plugin.failed(exc) from exc
        plugins.append(dataclasses.replace(plugin, loaded=loaded))
    return sorted(plugins, key=lambda one: (one.name, one.target))
