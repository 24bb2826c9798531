"""Reading the books while requests flow: no limit may ever be exceeded."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from cellplug.lab import books
from cellplug.lab import deployment as lab_deployment
from cellplug.lab import directory as lab_directory
from cellplug.lab import people
from cellplug.lab import plain
from cellplug.lab import quotas

_PAUSE = 0.02
"""Seconds between two looks."""

_MOST = 5


class Sampler:
    """Looks at all usages, again and again.

    :ivar samples: how often.
    :ivar problems: a line for each usage that was beyond its limit, or below
        zero, once.
    """

    def __init__(self, limits: Mapping[books.Key, int]) -> None:
        self._limits = limits
        self.samples = 0
        self.problems: list[str] = []

    def look(self, kept: Mapping[books.Key, books.Kept]) -> None:
        """One look at all of them, in the same instant."""
        self.samples += 1
        for key, one in kept.items():
            limit = self._limits.get(key, -1)
            used = one.in_use + one.reserved
            if min(one.in_use, one.reserved) < 0 or 0 <= limit < used:
                project, user, resource = key
                line = (
                    f'while processes were killed, {resource} of '
                    f'{user or f"project {project}"} were {one.in_use} in use '
                    f'and {one.reserved} reserved of {limit}'
                )
                if line not in self.problems and len(self.problems) < _MOST:
                    self.problems.append(line)

    def follow(self, url: str, stopping: threading.Event) -> None:
        """Look until it is time to stop."""
        while not stopping.is_set():
            # A look that a busy database refused is one look less.
            with contextlib.suppress(plain.Unreadable):
                self._follow(url, stopping)

    def _follow(self, url: str, stopping: threading.Event) -> None:
        with plain.connected(url) as connection:
            while not stopping.wait(_PAUSE):
                self.look(books.kept(connection))
                # The next look is at what has been committed by then.
                connection.rollback()


@contextlib.contextmanager
def sampling(
    directory: lab_directory.Directory, limits: Sequence[quotas.Row]
) -> Iterator[Sampler]:
    """Look at the books while the block runs.

    :param limits: those in force; none: the books are not looked at.
    """
    sampler = Sampler(
        {
            (people.PROJECT, row.user, row.resource): row.usage.limit
            for row in limits
        }
    )
    if not limits:
        yield sampler
        return
    url = lab_deployment.read_conf(directory.conf).api_database.connection
    stopping = threading.Event()
    thread = threading.Thread(
        target=sampler.follow, args=(url, stopping), daemon=True
    )
    thread.start()
    try:
        yield sampler
    finally:
        stopping.set()
        thread.join()
