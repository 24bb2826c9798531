"""What users can ask for: the sizes of instances."""

from __future__ import annotations

import dataclasses

LARGEST_MB = 65536
"""No host of any cell has more memory than this."""


@dataclasses.dataclass(frozen=True, slots=True)
class Flavor:
    """A size that instances come in."""

    name: str
    cores: int
    memory_mb: int

    def amounts(self) -> dict[str, int]:
        """What one instance of it uses, by resource."""
        return {
            'instances': 1,
            'cores': self.cores,
            'memory_mb': self.memory_mb,
        }


FLAVORS = (
    Flavor('tiny', 1, 512),
    Flavor('small', 1, 1024),
    Flavor('medium', 2, 2048),
    Flavor('large', 4, 4096),
)

TOO_LARGE = Flavor('giant', 1, LARGEST_MB + 1)
"""Within many a quota, and beyond every host."""
