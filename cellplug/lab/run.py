"""One run of the lab, from an empty directory to the check."""

from __future__ import annotations

import dataclasses
import functools
import random
import time

import cellplug
from cellplug.lab import breaking
from cellplug.lab import breakroom
from cellplug.lab import check as lab_check
from cellplug.lab import choosing
from cellplug.lab import crash as lab_crash
from cellplug.lab import deployment as lab_deployment
from cellplug.lab import directory as lab_directory
from cellplug.lab import errors
from cellplug.lab import quiet
from cellplug.lab import report
from cellplug.lab import servers as lab_servers
from cellplug.lab import settings as lab_settings
from cellplug.lab import settling
from cellplug.lab import traffic as lab_traffic

_SEEDS = 2**32


def run(
    settings: lab_settings.Settings, progress: breakroom.Progress
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
            found = _Run(settings, directory, progress, taken).run()
            seconds = time.monotonic() - began
            return dataclasses.replace(
                found, seconds=seconds, warnings=warnings
            )


def check(path: str) -> lab_check.Outcome:
    """Check a kept lab again.

    :raises LabError: if there is none.
    """
    with lab_directory.existing(path) as directory, quiet.logging_to(None):
        return _check(directory, directory.read()['deleted'])


class _Run:
    """One run, in a directory that is ours meanwhile."""

    def __init__(
        self,
        settings: lab_settings.Settings,
        directory: lab_directory.Directory,
        progress: breakroom.Progress,
        taken: choosing.Groups,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._progress = progress
        self._taken = taken
        self._count, self._deleted, self._ended = self._former()
        if settings.broken:
            breaking.check_names(settings.broken, self._count)
            self._taken = breakroom.tuned(taken, real=settings.real)

    def run(self) -> report.Report:
        """Build, send requests, and check."""
        settings, progress = self._settings, self._progress
        self._note(ended=False)
        progress.phase(
            'Starting MariaDB and RabbitMQ' if settings.real else 'Preparing'
        )
        with lab_servers.opened(settings, self._directory) as servers:
            progress.phase(f'Making {self._count} cells and their workers')
            with lab_deployment.opened(
                servers,
                self._directory,
                self._count,
                self._taken,
                crash=settings.crash,
                hasty=settings.crash or bool(settings.broken),
            ) as deployment:
                found = self._use(deployment, servers.room)
                progress.phase('Stopping the workers')
            progress.phase('Checking every database')
            outcome = _check(self._directory, self._deleted)
        self._note(ended=True)
        outcome.problems[:0] = found.check.problems
        return dataclasses.replace(found, check=outcome)

    def _use(
        self,
        deployment: lab_deployment.Deployment,
        room: breaking.Room | None,
    ) -> report.Report:
        """Send the requests; what there is to say before the check."""
        settings = self._settings
        left = settling.Settled()
        if self._ended:
            deployment.recount()
        else:
            left = deployment.settle()
        self._deleted += left.forgotten
        traffic = lab_traffic.Traffic(deployment, self._progress)
        crash, story = None, None
        try:
            if settings.crash:
                crash = self._crash(deployment)
            elif room is not None:
                story = self._break(deployment, room)
            else:
                traffic.run(settings.instances)
        finally:
            self._deleted += [o.uuid for o in traffic.placed if o.deleted]
            self._note(ended=False)
        told = crash or story
        directory = self._directory
        return report.Report(
            kind=deployment.kind,
            drivers=deployment.drivers,
            directory=directory.path if directory.kept else None,
            own_servers=settings.own_servers,
            cells=_cell0_first(deployment.router.cells.list()),
            placed=traffic.placed,
            listed=traffic.listed,
            latencies=traffic.latencies(),
            quotas=told.quotas if told else traffic.quotas,
            refused=traffic.refused,
            left=left,
            crash=crash,
            story=story,
            check=lab_check.Outcome(problems=list((told or traffic).problems)),
        )

    def _break(
        self, deployment: lab_deployment.Deployment, room: breaking.Room
    ) -> breakroom.Story:
        settings = self._settings
        told = breakroom.BreakRoom(
            deployment,
            room,
            self._progress,
            settings.broken,
            settings.seconds or lab_settings.DEFAULT_SECONDS,
        )
        return told.run(settings.instances, self._deleted)

    def _crash(self, deployment: lab_deployment.Deployment) -> lab_crash.Crash:
        seed = self._settings.seed
        if seed is None:
            seed = random.randrange(_SEEDS)
        crashing = lab_crash.Crashing(
            deployment,
            self._directory,
            self._progress,
            functools.partial(_check, self._directory),
        )
        return crashing.run(self._settings.instances, seed, self._deleted)

    def _former(self) -> tuple[int, list[str], bool]:
        """How many cells to have, what was deleted, and if all had ended.

        Nobody knows that of servers whose former lab kept no directory.
        """
        settings, directory = self._settings, self._directory
        if not directory.is_lab:
            count = settings.cells or lab_settings.DEFAULT_CELLS
            return count, [], not settings.own_servers
        former = directory.read()
        had: int = former['cells']
        if settings.cells is not None and settings.cells < had:
            raise errors.LabError(
                f'the lab in {directory.path} has {had} cells; continue with '
                f'as many or more (leave out --cells), or name another '
                'directory'
            )
        return settings.cells or had, former['deleted'], former['ended']

    def _note(self, *, ended: bool) -> None:
        self._directory.write(self._count, self._deleted, ended=ended)


def _check(
    directory: lab_directory.Directory, deleted: list[str]
) -> lab_check.Outcome:
    conf = lab_deployment.read_conf(directory.conf)
    chain = choosing.chains(conf)['quota']
    return lab_check.check(
        conf.api_database.connection,
        deleted,
        quotas=choosing.keeps_books(chain),
    )


def _cell0_first(
    cells: list[cellplug.CellMapping],
) -> list[cellplug.CellMapping]:
    return sorted(cells, key=lambda cell: not cell.is_cell0)
