"""Instances that no cell can take."""

from __future__ import annotations

from collections.abc import Mapping

from cellplug.exception.root import CellplugError


class NoCellAvailable(CellplugError):
    """No cell can take the instance.

    :ivar refused: the cells, by uuid: each one's name, and why not.
    :ivar reason: why none fits, where that is no matter of a single cell;
        '' otherwise.
    """

    def __init__(
        self,
        instance_uuid: str,
        refused: Mapping[str, tuple[str, str]] | None = None,
        reason: str = '',
    ) -> None:
        self.instance_uuid = instance_uuid
        self.refused = {
            uuid: (name, why) for uuid, (name, why) in (refused or {}).items()
        }
        self.reason = reason
        told = [reason] if reason else []
        told += [
            f'{name!r} ({uuid}): {why}'
            for uuid, (name, why) in self.refused.items()
        ]
        super().__init__(
            f'no cell can take instance {instance_uuid}: '
            f'{"; ".join(told) or "there is none to place it in"}'
        )

    @property
    def why(self) -> dict[str, str]:
        """The cells that were refused, by name, and why."""
        return dict(self.refused.values())
