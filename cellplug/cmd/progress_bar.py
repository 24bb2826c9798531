"""How far long work has come, drawn in one line of a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

_CLEAR = '\r\x1b[K'
_WIDTH = 76
"""A longer line would wrap on a narrow terminal, and not be cleared."""

_BAR = 12
_PAUSE = 0.1
_MINUTE = 60
_HOUR = 3600


class Bar:
    """Shows how much is done, how fast, and how long the rest takes.

    On a terminal alone: a log file gets nothing.

    :param stream: where people look.
    :param name: of what is worked on.
    :param total: how much there is, None if nobody knows.
    :param clock: seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        name: str,
        total: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._name = name
        self._total = total
        self._clock = clock
        self._terminal = stream.isatty()
        self._began = clock()
        self._shown_at = float('-inf')
        self._drawn = False

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._clock() - self._began

    def rate(self, done: int) -> int:
        """How much is done in a second."""
        return round(done / max(self.seconds, 1e-6))

    def show(self, done: int) -> None:
        """So much is done; drawn at most ten times in a second."""
        now = self._clock()
        if self._terminal and now - self._shown_at >= _PAUSE:
            self._shown_at = now
            self._stream.write(f'{_CLEAR}{self._line(done)[:_WIDTH]}')
            self._stream.flush()
            self._drawn = True

    def clear(self) -> None:
        """Leave the line to others."""
        if self._drawn:
            self._stream.write(_CLEAR)
            self._stream.flush()
            self._drawn = False

    def _line(self, done: int) -> str:
        rate = self.rate(done)
        if not self._total:
            return f'{self._name}: {done:,}  {rate:,}/s'
        # It was an estimate: more may have come since.
        share = min(done / self._total, 1)
        bar = ('#' * int(share * _BAR)).ljust(_BAR)
        line = (
            f'{self._name}: [{bar}] {share:4.0%}  {done:,} of '
            f'{self._total:,}  {rate:,}/s'
        )
        if rate:
            left = max(self._total - done, 0) / rate
            line += f'  {_duration(left)} left'
        return line


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole >= _HOUR:
        return f'{whole // _HOUR} h {whole % _HOUR // _MINUTE} min'
    if whole >= _MINUTE:
        return f'{whole // _MINUTE} min {whole % _MINUTE} s'
    return f'{whole} s'
