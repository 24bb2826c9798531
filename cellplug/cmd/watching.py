"""Telling people what runs, and what takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from typing import Self
from typing import TextIO

_CLEAR = '\r\x1b[K'
_WIDTH = 76
"""A longer line would wrap on a narrow terminal, and not be cleared."""


class Watch:
    """Names what runs on a terminal, and what takes long anywhere.

    A block: it has one thread, from its beginning to its end.

    :param stream: where people look.
    :param say: writes a line there.
    :param patience: how many seconds may pass without a word.
    """

    def __init__(
        self, stream: TextIO, say: Callable[[str], None], patience: float
    ) -> None:
        self._stream = stream
        self._say = say
        self._patience = patience
        self._terminal = stream.isatty()
        self._changed = threading.Condition()
        self._name: str | None = None
        self._count = 0
        self._since = 0.0
        self._over = False
        # A daemon: whoever is interrupted need not wait for it.
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        self._clear()

    def starting(self, name: str) -> None:
        """This runs now, and what ran before does no more."""
        with self._changed:
            self._name = name.replace('_', ' ')
            self._count += 1
            self._since = time.monotonic()
            self._show()
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._over:
                if self._name is None:
                    self._changed.wait()
                    continue
                left = self._since + self._patience - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                self._complain(self._name)
                self._name = None  # once is enough

    def _complain(self, name: str) -> None:
        self._clear()
        self._say(
            f'the check {name!r} has been running for {self._patience:g} s; '
            'it may hang (Ctrl-C ends it)'
        )
        self._show()

    def _show(self) -> None:
        if self._terminal:
            line = f'{self._count}: {self._name}'[:_WIDTH]
            self._stream.write(f'{_CLEAR}{line}')
            self._stream.flush()

    def _clear(self) -> None:
        if self._terminal:
            self._stream.write(_CLEAR)
            self._stream.flush()
