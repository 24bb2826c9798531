"""How the connections of one kind of database behave, read once."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class EngineSettings:
    """The options of ``[cell_database]`` or ``[api_database]``.

    Times are in seconds; see the options' help for their meaning.
    """

    max_pool_size: int
    max_overflow: int
    pool_timeout: float
    idle_timeout: float
    connection_recycle_time: int
    ping_after: float
    connect_timeout: float
    read_timeout: float
    write_timeout: float
    mysql_sql_mode: str
    isolation_level: str = 'READ COMMITTED'

    @classmethod
    def from_group(cls, group: Any) -> EngineSettings:
        """The settings in an option group."""
        names = {field.name for field in dataclasses.fields(cls)}
        given = names & set(group)
        return cls(**{name: getattr(group, name) for name in given})

    @property
    def connections(self) -> int:
        """How many transactions may be open in one database at a time."""
        return self.max_pool_size + self.max_overflow
