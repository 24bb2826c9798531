"""Cell and instance mappings."""

from __future__ import annotations

from cellplug.exception.root import CellplugError


class CellMappingNotFound(CellplugError):
    """No cell has this uuid or name.

    :ivar cell: the uuid or name that was looked for.
    """

    def __init__(self, cell: str) -> None:
        super().__init__(
            f'cell {cell!r} does not exist (names and uuids match exactly)'
        )
        self.cell = cell


class CellMappingExists(CellplugError):
    """Another cell has this uuid, name, database or message queue already.

    :ivar attribute: ``uuid``, ``name``, ``database_connection`` or
        ``transport_url``.
    :ivar other: the name of the cell that has it, None if unknown.
    """

    def __init__(self, attribute: str, other: str | None = None) -> None:
        whose = f'cell {other!r}' if other else 'another cell'
        super().__init__(
            f'{whose} already has this {attribute}; no two cells share one'
        )
        self.attribute = attribute
        self.other = other


class CellInUse(CellplugError):
    """A cell cannot be deleted while instances are mapped to it.

    :ivar instances: how many instance mappings name the cell.
    """

    def __init__(self, cell_uuid: str, cell_name: str, instances: int) -> None:
        super().__init__(
            f'cell {cell_name!r} ({cell_uuid}) still has {instances} '
            'instance mapping(s); move or unmap them first'
        )
        self.cell_uuid = cell_uuid
        self.cell_name = cell_name
        self.instances = instances


class InstanceMappingNotFound(CellplugError):
    """No mapping says in which cell this instance lives."""

    def __init__(self, instance_uuid: str) -> None:
        super().__init__(f'instance {instance_uuid} is not mapped to a cell')
        self.instance_uuid = instance_uuid


class InstanceAlreadyMapped(CellplugError):
    """The instance is mapped to another cell; mappings move, never jump.

    :ivar cell_uuid: the cell that the instance is mapped to.
    :ivar requested: the uuid of the cell that was asked for.
    """

    def __init__(
        self, instance_uuid: str, cell_uuid: str, requested: str
    ) -> None:
        super().__init__(
            f'instance {instance_uuid} is mapped to cell {cell_uuid}, not to '
            f'{requested}; use instances.move to change that'
        )
        self.instance_uuid = instance_uuid
        self.cell_uuid = cell_uuid
        self.requested = requested


class StaleRoute(CellplugError):
    """The instance's mapping changed since the route was looked up.

    :ivar expected: the generation the caller knew.
    :ivar actual: the generation found, None if not known.
    """

    def __init__(
        self, instance_uuid: str, expected: int, actual: int | None = None
    ) -> None:
        found = '' if actual is None else f', found {actual}'
        super().__init__(
            f'the mapping of instance {instance_uuid} has changed: expected '
            f'generation {expected}{found}; look it up again'
        )
        self.instance_uuid = instance_uuid
        self.expected = expected
        self.actual = actual
