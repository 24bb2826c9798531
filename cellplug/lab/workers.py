"""The workers of all cells, as processes or within this one."""

from __future__ import annotations

import contextlib

from cellplug.lab import processes


class Workers:
    """Started side by side, watched, and all of them ended."""

    def __init__(self) -> None:
        self._all: dict[str, processes.Process] = {}
        self._within = contextlib.ExitStack()

    def enter(self, threads: contextlib.AbstractContextManager[None]) -> None:
        """Take over workers within this process: :meth:`stop` ends them."""
        self._within.enter_context(threads)

    def start(
        self,
        cell: str,
        config_file: str,
        log_file: str,
        *,
        find_cell: bool = False,
    ) -> None:
        """Start one; :meth:`wait` for all of them afterwards.

        :param cell: the cell's name.
        :param find_cell: the cell is found by its name, in the configuration;
            else it is the process's own.
        """
        which = ('--cell', cell) if find_cell else ()
        self._all[cell] = processes.Process(
            f'the worker of {cell}',
            'cellplug.lab.worker',
            (
                *('--config-file', config_file),
                *('--host', f'worker-{cell}', '--stop-on-eof'),
                *which,
            ),
            log_file,
        )

    @property
    def by_cell(self) -> dict[str, processes.Process]:
        """The processes, by the names of their cells."""
        return dict(self._all)

    def wait(self) -> None:
        """Wait until every worker answers.

        :raises LabError: if one ends, or stays silent for too long.
        """
        processes.wait_until_ready(self._all.values())

    def check(self) -> None:
        """Do nothing while all of them live.

        :raises LabError: naming one that ended, and how.
        """
        for one in self._all.values():
            one.check()

    def stop(self) -> None:
        """End them all, at once, and reap them. Idempotent."""
        self._within.close()
        stopping, self._all = self._all, {}
        processes.stop(list(stopping.values()))
