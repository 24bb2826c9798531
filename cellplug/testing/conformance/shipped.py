"""Harnesses of drivers that come with cellplug, found by entry points."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cellplug import objects
from cellplug.testing.conformance import finding


class MemcachedHarness(finding.DatabaseHarness):
    """Keys that no deployment uses, on the servers that are configured."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = f'suite{secrets.token_hex(8)}'

    @property
    def options(self) -> Mapping[str, Any]:
        """Another prefix for each check."""
        return {'prefix': self._prefix}


class StaticHarness(finding.DatabaseHarness):
    """A file with the cells, beside a database with the instances.

    The drivers make the generations of the cells as they reload the file.
    """

    breaks_cells = False

    def __init__(self) -> None:
        super().__init__()
        self._cells: dict[str, objects.CellMapping] = {}
        self._drivers: list[Any] = []

    @property
    def config_files(self) -> Sequence[str]:
        """The file with the cells."""
        return (str(self.folder / 'cells.conf'),)

    def start(self) -> None:
        """Make the database and a file without cells."""
        super().start()
        self._write()

    def attach(self, driver: Any) -> None:
        """Have the driver reload the file as it changes."""
        self._drivers.append(driver)

    def put_cell(self, cell: objects.CellMapping) -> objects.CellMapping:
        """Write it into the file, and a row that instances may refer to."""
        super().put_cell(cell)
        self._cells[cell.uuid] = cell
        self._write()
        known = self._drivers[0].get_cell(cell.uuid)
        return dataclasses.replace(cell, generation=known.generation)

    def remove_cell(self, cell_uuid: str) -> None:
        """Take it out of the file."""
        super().remove_cell(cell_uuid)
        del self._cells[cell_uuid]
        self._write()

    def _write(self) -> None:
        names = ', '.join(cell.name for cell in self._cells.values())
        lines = ['[resolver_static]', 'instances = database']
        lines += ['projects =', 'default_cell =', f'cells = {names}']
        for cell in self._cells.values():
            lines += [
                f'[cell_{cell.name}]',
                f'uuid = {cell.uuid}',
                f'database_connection = {cell.database_connection}',
                f'transport_url = {cell.transport_url}',
                f'slave_connection = {cell.slave_connection or ""}',
                f'state = {cell.state}',
            ]
        (path,) = self.config_files
        with open(path, 'w') as file:
            file.write('\n'.join(lines) + '\n')
        for driver in self._drivers:
            driver.reload()
