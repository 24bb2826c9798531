"""Keeping what libraries say off the screen, and their words in a file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

_OURS = ('cellplug', 'cellplug_drivers')
_MOST = 5


class Warnings(logging.Handler):
    """Keeps what cellplug and its drivers warned of.

    :ivar lines: the first of them, each once.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, if it is one of ours."""
        line = record.getMessage()
        is_ours = record.name.partition('.')[0] in _OURS
        if is_ours and line not in self.lines and len(self.lines) < _MOST:
            self.lines.append(line)


@contextlib.contextmanager
def logging_to(path: str | None) -> Iterator[list[str]]:
    """Send logging and warnings to a file, or nowhere.

    Handlers that somebody else has set up work on beside it.

    :param path: the file, which is appended to; None for nowhere.
    :returns: yields the list of what cellplug warns of.
    """
    ours = Warnings()
    handler: logging.Handler = logging.NullHandler()
    if path is not None:
        handler = logging.FileHandler(path)
        handler.setFormatter(
            logging.Formatter('%(asctime)s %(levelname)s %(name)s %(message)s')
        )
    root = logging.getLogger()
    root.addHandler(handler)
    root.addHandler(ours)
    logging.captureWarnings(True)
    try:
        yield ours.lines
    finally:
        logging.captureWarnings(False)
        root.removeHandler(ours)
        root.removeHandler(handler)
        handler.close()
