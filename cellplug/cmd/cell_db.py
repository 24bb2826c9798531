"""``db``: the schema of cellplug's tables in the databases of cells."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cellplug import exception
from cellplug.cmd import base
from cellplug.cmd import outcome

if TYPE_CHECKING:
    from cellplug import CellMapping
    from cellplug import CellRouter

_COLUMNS = (
    'name', 'uuid', 'revision', 'latest', 'current', 'claimed_by', 'error'
)  # fmt: skip
_NOTES = """\
Without --cell and --all-cells, it is about the process's own database,
[database] connection.

columns: name, uuid (of the cell), revision (null: no schema), latest, current
  (true or false), claimed_by (the uuid that the database names), error"""


class _CellDatabases(base.Lister):
    """Works on one database, or on all; one that fails stops no other.

    :cvar may_create: a missing file of sqlite's is made.
    """

    may_create = False
    notes = _NOTES
    exit_codes = {  # noqa: RUF012 (typed as read-only in the base)
        outcome.FAILED: 'refused or failed; with --all-cells, at least one '
        'cell failed: see its error',
    }

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Which databases."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            '--cell', metavar='CELL', help='the name or the uuid of a cell'
        )
        which.add_argument(
            '--all-cells',
            action='store_true',
            help='every cell, cell0 included, one after the other',
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Any]:
        """Work on them."""
        if not (parsed_args.cell or parsed_args.all_cells):
            return _COLUMNS, [self._own_row(parsed_args)]
        with self.router() as router:
            if parsed_args.cell is not None:
                cell = self.known(router.cells.get(parsed_args.cell))
                return _COLUMNS, [self._row(router, cell, parsed_args)]
            rows = [
                self._row_or_error(router, self.known(cell), parsed_args)
                for cell in router.cells.list()
            ]
        return _COLUMNS, rows

    def _own_row(self, parsed_args: argparse.Namespace) -> base.Row:
        from cellplug.cells import schemas
        from cellplug.db import settings
        from cellplug.db import sources
        from cellplug.objects import urls

        url = self.conf.database.connection
        if not url:
            raise exception.ConfigurationError(
                '[database] connection is not set; set it, or pass --cell '
                'CELL or --all-cells'
            )
        urls.check_database('[database] connection', url)
        with schemas.bare_engine(
            url,
            sources.Label('own database, [database]'),
            settings.EngineSettings.from_group(self.conf.cell_database),
            may_create=True,
        ) as engine:
            self.work_on_own(engine, parsed_args)
            return _row(engine, '[database]', None)

    def _row(
        self,
        router: CellRouter,
        cell: CellMapping,
        parsed_args: argparse.Namespace,
    ) -> base.Row:
        from cellplug.cells import verify

        with verify.engine(
            self.conf, cell, may_create=self.may_create
        ) as engine:
            self.work_on(router, cell, engine, parsed_args)
            return _row(engine, cell.name, cell.uuid)

    def _row_or_error(
        self,
        router: CellRouter,
        cell: CellMapping,
        parsed_args: argparse.Namespace,
    ) -> base.Row:
        try:
            return self._row(router, cell, parsed_args)
        except Exception as exc:
            result = outcome.explain(exc)
            if result.code == outcome.UNFORESEEN:
                raise
            self.exit_code = outcome.FAILED
            error = self.app.hider.hide(result.line)
            return base.row((cell.name, cell.uuid, *[None] * 4, error))

    def work_on(
        self,
        router: CellRouter,
        cell: CellMapping,
        engine: Any,
        parsed_args: argparse.Namespace,
    ) -> None:
        """What to do with a cell's database before it is shown."""

    def work_on_own(
        self, engine: Any, parsed_args: argparse.Namespace
    ) -> None:
        """What to do with the process's own database."""


def _row(engine: Any, name: str, uuid: str | None) -> base.Row:
    from cellplug.db import schema
    from cellplug.db.cell import identity

    owner = None
    with engine.connect() as connection:
        found = schema.CELL.version(connection)
        if found is not None:
            owner = identity.read(connection)
    latest = schema.CELL.head()
    claimed_by = owner.uuid if owner else None
    return base.row(
        (name, uuid, found, latest, found == latest, claimed_by, None)
    )


class Sync(_CellDatabases):
    """Make cellplug's tables in cells' databases, or bring them up to date.

    "cell create" has done so for a new cell. May be repeated, and run by
    several processes at once. A database that another cell has claimed is
    refused.
    """

    may_create = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Also whether to claim."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--claim',
            action='store_true',
            help='claim the database for the cell, if nobody has claimed it',
        )
        return parser

    def work_on(
        self,
        router: CellRouter,
        cell: CellMapping,
        engine: Any,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Sync, and claim; refuse another cell's database untouched."""
        from cellplug.cells import verify
        from cellplug.db import schema

        verify.refuse_stranger(engine, cell)
        schema.CELL.sync(engine)
        if parsed_args.claim:
            router.cells.claim(cell)

    def work_on_own(
        self, engine: Any, parsed_args: argparse.Namespace
    ) -> None:
        """Sync; there is no cell to claim it for."""
        from cellplug.db import schema

        if parsed_args.claim:
            raise outcome.UsageError('--claim needs --cell or --all-cells')
        schema.CELL.sync(engine)


class Version(_CellDatabases):
    """Show at which revision cellplug's tables in cells' databases are."""
