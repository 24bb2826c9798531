"""What services and others offer by entry points, beside drivers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any

import stevedore.extension

from cellplug import exception
from cellplug.loader import finding


@dataclasses.dataclass(frozen=True, slots=True)
class Plugin:
    """Something that an entry point led to.

    :ivar group: the entry point's group, e.g. ``cellplug.quota_resource``.
    :ivar name: the entry point's name.
    :ivar target: ``module:attribute``.
    :ivar loaded: what stands there.
    """

    group: str
    name: str
    target: str
    loaded: Any = None

    def failed(self, error: BaseException) -> exception.PluginError:
        """What to raise if it cannot be loaded or used."""
        why = f'{type(error).__name__}: {error}'
        if isinstance(error, exception.CellplugError):
            why = str(error)
        return exception.PluginError(self.group, self.name, self.target, why)


class _Manager(stevedore.extension.ExtensionManager):  # type: ignore[type-arg]
    """Stevedore's, where the entry points of somebody cannot be read."""

    def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
        """Those of the namespace, as far as they can be read."""
        try:
            return super().list_entry_points()
        except Exception:  # noqa: BLE001 (whatever the parser stumbles over)
            return finding.entry_points(self.namespace)


def load_plugins(group: str) -> list[Plugin]:
    """Everything that is offered in a group, sorted by name.

    :raises PluginError: names the one that cannot be imported.
    """
    failed: list[tuple[Any, BaseException]] = []

    def note(manager: Any, point: Any, error: BaseException) -> None:
        failed.append((point, error))

    try:
        found = _Manager(
            group, invoke_on_load=False, on_load_failure_callback=note
        )
    # A stranger's module: stevedore lets sys.exit() pass.
    except SystemExit as exc:
        raise exception.PluginError(
            group, '?', 'one of its modules', 'exits when it is imported'
        ) from exc
    for point, error in failed:
        raise Plugin(group, point.name, point.value).failed(error) from error
    plugins = [
        Plugin(group, one.name, one.entry_point.value, one.plugin)
        for one in found
    ]
    return sorted(plugins, key=lambda one: (one.name, one.target))
