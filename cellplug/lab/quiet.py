"""Keeping what libraries say off the screen, and their words in a file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def logging_to(path: str | None) -> Iterator[None]:
    """Send logging and warnings to a file, or nowhere.

    Handlers that somebody else has set up work on beside it.

    :param path: the file, which is appended to; None for nowhere.
    """
    handler: logging.Handler = logging.NullHandler()
    if path is not None:
        handler = logging.FileHandler(path)
        handler.setFormatter(
            logging.Formatter('%(asctime)s %(levelname)s %(name)s %(message)s')
        )
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()
