"""One run of the lab, from an empty directory to the check."""

from __future__ import annotations

import dataclasses
import time

import cellplug
from cellplug.lab import check as lab_check
from cellplug.lab import choosing
from cellplug.lab import deployment as lab_deployment
from cellplug.lab import directory as lab_directory
from cellplug.lab import errors
from cellplug.lab import quiet
from cellplug.lab import report
from cellplug.lab import servers as lab_servers
from cellplug.lab import settings as lab_settings
from cellplug.lab import traffic as lab_traffic


def run(
    settings: lab_settings.Settings, progress: lab_traffic.Progress
) -> report.Report:
    """Build, send requests, check, and end everything that was started.

    :raises LabUsageError: if the settings cannot be.
    :raises CellplugError: if something does not work as it should; what was
        started has ended then, also after a KeyboardInterrupt.
    """
    settings.check()
    taken = choosing.chosen(settings.config_files, settings.config_dirs)
    began = time.monotonic()
    with lab_directory.opened(settings.directory) as directory:
        log = directory.file(lab_directory.LOG) if directory.kept else None
        with quiet.logging_to(log) as warnings:
            found = _run(settings, directory, progress, began, taken)
            return dataclasses.replace(found, warnings=warnings)


def check(path: str) -> lab_check.Outcome:
    """Check a kept lab again.

    :raises LabError: if there is none.
    """
    with lab_directory.existing(path) as directory, quiet.logging_to(None):
        return _check(directory, directory.read()['deleted'])


def _run(
    settings: lab_settings.Settings,
    directory: lab_directory.Directory,
    progress: lab_traffic.Progress,
    began: float,
    taken: choosing.Groups,
) -> report.Report:
    count, deleted = _former(settings, directory)
    directory.write(count, deleted)
    progress.phase(
        'Starting MariaDB and RabbitMQ' if settings.real else 'Preparing'
    )
    with lab_servers.opened(settings, directory) as servers:
        progress.phase(f'Making {count} cells and their workers')
        with lab_deployment.opened(
            servers, directory, count, taken
        ) as deployment:
            traffic = lab_traffic.Traffic(deployment, progress)
            try:
                traffic.run(settings.instances)
            finally:
                deleted += [o.uuid for o in traffic.placed if o.deleted]
                directory.write(count, deleted)
            cells = _cell0_first(deployment.router.cells.list())
            progress.phase('Stopping the workers')
        progress.phase('Checking every database')
        outcome = _check(directory, deleted)
        outcome.problems[:0] = traffic.problems
    return report.Report(
        kind=deployment.kind,
        drivers=deployment.drivers,
        directory=directory.path if directory.kept else None,
        own_servers=settings.own_servers,
        cells=cells,
        placed=traffic.placed,
        listed=traffic.listed,
        latencies=traffic.latencies(),
        check=outcome,
        seconds=time.monotonic() - began,
    )


def _former(
    settings: lab_settings.Settings, directory: lab_directory.Directory
) -> tuple[int, list[str]]:
    """How many cells to have, and what was deleted before."""
    if not directory.is_lab:
        return settings.cells or lab_settings.DEFAULT_CELLS, []
    former = directory.read()
    count: int = former['cells']
    if settings.cells is not None and settings.cells < count:
        raise errors.LabError(
            f'the lab in {directory.path} has {count} cells; continue with '
            f'as many or more (leave out --cells), or name another directory'
        )
    return settings.cells or count, former['deleted']


def _check(
    directory: lab_directory.Directory, deleted: list[str]
) -> lab_check.Outcome:
    conf = lab_deployment.read_conf(directory.file(lab_directory.CONF))
    return lab_check.check(conf.api_database.connection, deleted)


def _cell0_first(
    cells: list[cellplug.CellMapping],
) -> list[cellplug.CellMapping]:
    return sorted(cells, key=lambda cell: not cell.is_cell0)
