"""Configuration files that name cells, and routers on them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import fixtures
from oslo_config import cfg

import cellplug
from cellplug.testing import fixtures as cellplug_fixtures

UUIDS = {
    'cell0': cellplug.CELL0_UUID,
    'east': 'e0000000-0000-4000-8000-00000000000e',
    'west': 'a0000000-0000-4000-8000-00000000000a',
    'north': 'b0000000-0000-4000-8000-00000000000b',
}
"""The cells' uuids, by name."""

Sections = dict[str, dict[str, str]]


class StaticFixture(fixtures.Fixture):
    """A configuration file with static cells, and what reads it.

    :param cells: the names of the cells.
    :param options: further values by group and option.
    :ivar path: of the file.
    :ivar sections: what stands in it; change it and :meth:`write` again.
    """

    def __init__(
        self,
        *cells: str,
        backend: cellplug_fixtures.Backend = 'sqlite',
        options: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self.backend: cellplug_fixtures.Backend = backend
        self._cells = cells
        self._options = options or {}
        self.clock = 1_000_000.0

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = folder / 'cellplug.conf'
        self.sections: Sections = {
            'resolver': {'driver': 'static'},
            'resolver_static': {'cells': ', '.join(self._cells)},
            'rpc': {'call_timeout': '20'},
        }
        for name in self._cells:
            self.sections[f'cell_{name}'] = self.cell(name)
        for group, values in self._options.items():
            self.sections.setdefault(group, {}).update(values)
        self.write()

    def cell(self, name: str) -> dict[str, str]:
        """The options of a cell on a fresh database."""
        return {
            'uuid': UUIDS[name],
            'database_connection': self.fresh_database(),
            'transport_url': (
                'none:///' if name == 'cell0' else f'fake://{name}/'
            ),
        }

    def fresh_database(self) -> str:
        """The URL of an empty database."""
        fixture = cellplug_fixtures.DatabaseFixture(self.backend)
        url: str = self.useFixture(fixture).url
        return url

    def write(self, text: str | None = None) -> None:
        """Write the file: the sections, or any text."""
        if text is None:
            lines = []
            for group, values in self.sections.items():
                lines.append(f'[{group}]')
                lines += [f'{key} = {one}' for key, one in values.items()]
            text = '\n'.join(lines) + '\n'
        self.path.write_text(text)

    def conf(self) -> cfg.ConfigOpts:
        """The file, read as a service reads it."""
        conf = cfg.ConfigOpts()
        cellplug.register_opts(conf)
        conf([], project='cellplug', default_config_files=[str(self.path)])
        return conf

    def open_router(self, **options: Any) -> cellplug.CellRouter:
        """A router on the file, closed on cleanup."""
        router = cellplug.CellRouter.from_conf(
            self.conf(), **{'clock': lambda: self.clock, **options}
        )
        self.addCleanup(router.close)
        return router

    def claim(self, router: cellplug.CellRouter) -> None:
        """Claim each cell's database for it."""
        for cell in router.cells.list():
            router.cells.claim(cell)
