"""What a run of the lab was asked for, checked before anything starts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from cellplug import exception
from cellplug.lab import breaking
from cellplug.lab import errors
from cellplug.objects import urls

DEFAULT_CELLS = 3
MAX_CELLS = 30
DEFAULT_INSTANCES = 30
MAX_INSTANCES = 100_000
DEFAULT_SECONDS = 8.0
MAX_SECONDS = 3600.0

_FIELD = '{cell}'
_ANY_FIELD = re.compile(r'\{[^{}]*\}')
_IN_PROCESS = ('fake:', 'kombu+memory:', 'memory:')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The arguments of one run.

    :ivar cells: how many cells beside cell0; None: as many as the former lab
        in the directory has, else :data:`DEFAULT_CELLS`.
    :ivar instances: how many to boot.
    :ivar directory: where to keep everything; None: nowhere.
    :ivar real: on a private MariaDB and RabbitMQ.
    :ivar crash: kill processes at random, and settle the books afterwards.
    :ivar seed: what decides, with ``crash``; None: anything.
    :ivar breaks: which cells to break, and how, as :func:`.breaking.parse`
        reads it.
    :ivar seconds: with ``breaks``: how long each part takes.
    :ivar config_files: whose choice of drivers to follow; likewise
        ``config_dirs``.
    :ivar database_template: a URL with ``{cell}``, for servers of one's own;
        a secret. Likewise ``transport_template``.
    """

    cells: int | None = None
    instances: int = DEFAULT_INSTANCES
    directory: str | None = None
    real: bool = False
    crash: bool = False
    seed: int | None = None
    breaks: tuple[str, ...] = ()
    seconds: float | None = None
    config_files: tuple[str, ...] = ()
    config_dirs: tuple[str, ...] = ()
    database_template: str | None = dataclasses.field(default=None, repr=False)
    transport_template: str | None = dataclasses.field(
        default=None, repr=False
    )

    @property
    def own_servers(self) -> bool:
        """Whether the servers are the user's own."""
        return self.database_template is not None

    @property
    def broken(self) -> Mapping[str, breaking.Kind]:
        """How to break each cell, by name.

        :raises LabUsageError: naming what cannot be read.
        """
        return breaking.parse(self.breaks) if self.breaks else {}

    def check(self) -> None:
        """Refuse what cannot be.

        :raises LabUsageError: naming the option.
        """
        if self.cells is not None:
            _within('--cells', self.cells, MAX_CELLS)
        _within('--instances', self.instances, MAX_INSTANCES)
        self._check_combination()
        self._check_breaks()
        if self.database_template is not None:
            _check_template('--database-connection', self.database_template)
        if self.transport_template is not None:
            _check_template('--transport-url', self.transport_template)

    def _check_combination(self) -> None:
        if self.seed is not None and not self.crash:
            raise errors.LabUsageError('--seed goes with --crash')
        if (self.database_template is None) != (
            self.transport_template is None
        ):
            raise errors.LabUsageError(
                '--database-connection and --transport-url go together'
            )
        if self.real and self.own_servers:
            raise errors.LabUsageError(
                '--real starts private servers; leave it out to use those of '
                '--database-connection and --transport-url'
            )
        if self.real and self.directory is not None:
            raise errors.LabUsageError(
                '--directory: the private servers of --real end with the '
                'run, and what they hold with them; to keep it, name servers '
                'of your own with --database-connection and --transport-url'
            )

    def _check_breaks(self) -> None:
        if self.seconds is not None:
            if not self.breaks:
                raise errors.LabUsageError('--seconds goes with --break')
            _within('--seconds', self.seconds, MAX_SECONDS)
        if not self.broken:
            return
        if self.crash:
            raise errors.LabUsageError(
                '--break and --crash are two stories; tell one at a time'
            )
        if self.own_servers:
            raise errors.LabUsageError(
                '--break: breaks cells on files, and with --real; leave out '
                '--database-connection and --transport-url'
            )


def fill(template: str, cell: str) -> str:
    """The template's URL for ``api``, ``cell0``, ``cell1`` and so on."""
    return template.replace(_FIELD, cell)


def _within(name: str, value: float, most: float) -> None:
    if not 1 <= value <= most:
        raise errors.LabUsageError(
            f'{name}: {value} is not between 1 and {most:g}'
        )


def _check_template(name: str, template: str) -> None:
    """Never repeats the template, which may hold a password."""
    if _FIELD not in template:
        raise errors.LabUsageError(
            f"{name}: must have the field '{_FIELD}' in it, which stands for "
            'api, cell0, cell1 and so on'
        )
    filled = fill(template, 'cell1')
    if _ANY_FIELD.search(filled):
        raise errors.LabUsageError(
            f"{name}: '{_FIELD}' is the only field it may have; write other "
            'braces as %7B and %7D'
        )
    try:
        if name == '--transport-url':
            urls.check_transport(name, filled)
            digest = urls.transport_digest
        else:
            urls.check_database(name, filled)
            digest = urls.database_digest
    except exception.InvalidURL as exc:
        raise errors.LabUsageError(str(exc)) from exc
    if filled.lower().startswith(_IN_PROCESS) or digest(filled) is None:
        raise errors.LabUsageError(
            f'{name}: the workers are processes of their own; name a broker, '
            'e.g. rabbit://user:password@host/{cell}'
        )
    if digest(filled) == digest(fill(template, 'cell2')):
        raise errors.LabUsageError(
            f"{name}: '{_FIELD}' must make another "
            + ('vhost' if name == '--transport-url' else 'database')
            + ' of each cell; here all cells would share one'
        )
