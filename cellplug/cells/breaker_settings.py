"""How circuits open and are tried again, read once."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The options ``[cells] breaker_*``; times in seconds."""

    threshold: int
    retry: float
    retry_max: float

    @classmethod
    def from_group(cls, group: Any) -> Settings:
        """The settings in the option group."""
        return cls(
            group.breaker_threshold,
            group.breaker_retry,
            max(group.breaker_retry, group.breaker_retry_max),
        )
